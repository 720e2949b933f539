package doctor

import (
	"context"
	"net/http"
	"time"

	"breakwater/cmd/breakwater/config"
	"breakwater/ingest"
)

// Options are one examination's. Config or Problem is wanted.
type Options struct {
	// Config is the configuration as the gateway would load it; nil when it
	// could not be, and Problem says why.
	Config  *config.Config
	Problem error
	// Path is the configuration's file, "" for embedded defaults.
	Path string
	// Public is where clients reach the gateway, with a proxy if there is one:
	// https://errors.example.com. By default the listener itself.
	Public string
	// Private is the private listener's address, by default the configured one.
	Private string
	// Peers are private addresses of further gateways behind Public: nobody knows
	// which of them a request reaches, or which delivers its event.
	Peers []string
	// Prometheus and Alertmanager are base addresses; "" leaves them out.
	Prometheus, Alertmanager string
	// Origins are pages to send as; by default those the configuration names.
	Origins []string
	// CAFile is a PEM file of further certificate authorities for Public.
	CAFile string
	// Stream and Redis look at what several gateways share, where it is
	// configured. Optional.
	Stream, Redis func(context.Context) []Seen
	// Queries are the expressions of panels and rules; Rules the rules that
	// Prometheus should have loaded.
	Queries []Query
	Rules   []Rule
	// Patience bounds each wait: for a delivery, for a scrape. 75 s.
	Patience time.Duration
	// Transport carries the requests to upstreams; nil for the system's own.
	Transport http.RoundTripper
	Now       func() time.Time // time.Now
	// Progress is told of each result as it comes. Optional.
	Progress func(Result)
	// Quiet leaves out the event for each project and sends a client report in
	// its place, which costs no quota: for repeated rounds.
	Quiet bool
}

// Query is one expression that somebody looks at.
type Query struct {
	Where string // the panel or rule
	Expr  string
	// MayBeEmpty says that no data is no sign of a fault: nobody crashed.
	MayBeEmpty bool
}

// Rule is one rule of ours.
type Rule struct{ Name, Expr string }

// Status of a result.
type Status string

// The closed list of statuses. Only a Fault makes an examination fail.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Fault   Status = "fault"
	Skipped Status = "skipped"
)

// Result is what one check found.
type Result struct {
	// Check is the part of the path, Subject which one: a project, an origin.
	Check   string `json:"check"`
	Subject string `json:"subject,omitempty"`
	Status  Status `json:"status"`
	// Name is the fault's word, one of Faults; "" when there is none.
	Name string `json:"name,omitempty"`
	// Detail is what was seen; Cause and Fix what it means and what to do.
	Detail string `json:"detail,omitempty"`
	Cause  string `json:"cause,omitempty"`
	Fix    string `json:"fix,omitempty"`
}

// Report is an examination's result.
type Report struct {
	Results  []Result `json:"results"`
	Faults   int      `json:"faults"`
	Warnings int      `json:"warnings"`
}

// Healthy tells that no fault was found.
func (r *Report) Healthy() bool { return r.Faults == 0 }

// exam is one examination under way.
type exam struct {
	o      Options
	report Report
	client *http.Client // for the gateway, Prometheus and Alertmanager: no redirects
	canary string       // its id at the gateway, "" without one
	passed map[string]bool

	sightings []ingest.Sighting // of all gateways
	told      map[string]int    // how many of them by private address
}

// Run examines. It takes as long as its slowest wait, and ends early when ctx does.
func Run(ctx context.Context, o Options) *Report {
	if o.Patience <= 0 {
		o.Patience = 75 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	x := &exam{o: o, passed: map[string]bool{}, told: map[string]int{}}
	x.client = &http.Client{
		Timeout:       15 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if x.configuration() {
		x.machine()
		x.shared(ctx)
		if x.gateway(ctx) {
			x.tls(ctx)
			if x.door(ctx) {
				x.vitals(ctx)
			} else {
				x.skip("vitals", "the public address has to work first")
			}
		} else {
			x.skip("door", "the gateway does not run")
			x.skip("vitals", "the gateway does not run")
		}
		x.upstreams(ctx)
		x.spool(ctx)
		x.logs(ctx)
	} else {
		for _, check := range []string{"machine", "gateway", "door", "vitals", "upstream", "spool", "logs"} {
			x.skip(check, "the configuration has to load first")
		}
	}
	x.prometheus(ctx)
	x.alertmanager(ctx)
	x.passes(ctx)
	return &x.report
}

func (x *exam) add(r Result) {
	switch r.Status {
	case Fault:
		x.report.Faults++
	case Warning:
		x.report.Warnings++
	}
	x.report.Results = append(x.report.Results, r)
	if x.o.Progress != nil {
		x.o.Progress(r)
	}
}

func (x *exam) ok(check, subject, detail string) {
	x.add(Result{Check: check, Subject: subject, Status: OK, Detail: detail})
}

func (x *exam) skip(check, why string) {
	x.add(Result{Check: check, Status: Skipped, Detail: why})
}

// fault adds what is wrong by its word.
func (x *exam) fault(check, subject, name, detail string) {
	f := known(name)
	x.add(Result{Check: check, Subject: subject, Status: Fault, Name: name, Detail: detail, Cause: f.Cause, Fix: f.Fix})
}

func (x *exam) warn(check, subject, name, detail string) {
	f := known(name)
	x.add(Result{Check: check, Subject: subject, Status: Warning, Name: name, Detail: detail, Cause: f.Cause, Fix: f.Fix})
}
