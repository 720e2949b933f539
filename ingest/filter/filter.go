package filter

import (
	"fmt"
	"net/netip"
	"sync/atomic"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Filter are the filters of all projects. It is safe for concurrent use.
type Filter struct {
	projects atomic.Pointer[map[string]*rules]
}

// New makes filters that let everything pass until Configure.
func New() *Filter {
	f := &Filter{}
	f.projects.Store(&map[string]*rules{})
	return f
}

// Configure puts the filters of all projects in force, by configured name; an
// error names the project and key and changes nothing.
func (f *Filter) Configure(projects map[string]Config) error {
	next := make(map[string]*rules, len(projects))
	for name, c := range projects {
		r, err := compile(c)
		if err != nil {
			return fmt.Errorf("project %s: filters.%w", name, err)
		}
		next[name] = r
	}
	f.projects.Store(&next)
	return nil
}

// Name is "filter".
func (f *Filter) Name() string { return "filter" }

// Apply drops the items a filter matches as filtered, with the filter's name
// as the reason, and with them what cannot live without them. It never returns
// an error.
func (f *Filter) Apply(b *ingest.Batch) error {
	if b.Request.Project == nil || len(b.Items) == 0 {
		return nil
	}
	r := (*f.projects.Load())[b.Request.Project.Name]
	if r == nil {
		return nil
	}
	items := b.Items
	for _, it := range items {
		if !it.Alive() {
			continue
		}
		if it.Header.Type == "log" && b.Request.Budget == ingest.BudgetReports {
			r.reportLogs(b, it)
		}
		switch it.Header.Type {
		case "log":
			members(b, it, "body", r.logs, LogMessage)
			continue
		case "trace_metric":
			members(b, it, "name", r.metrics, TraceMetricName)
			continue
		}
		if name := r.decide(b, it); name != "" {
			b.Drop(it, schemas.Filtered, name)
		}
	}
	return nil
}

// decide is the name of the filter that matches an item, "" for none.
func (r *rules) decide(b *ingest.Batch, it *ingest.Item) string {
	switch it.Header.Type {
	case "event", "transaction", "feedback", "security":
		return r.event(b.Request, it.Event(), it.Header.Type)
	case "raw_security":
		if ev := it.Event(); ev != nil {
			if name := r.report(ev); name != "" {
				return name
			}
		}
		release, _ := it.Header.String("sentry_release")
		return r.client(b.Request, "", release, "")
	case "nel":
		return r.client(b.Request, "", "", "")
	case "session", "sessions":
		var release, agent, ip string
		if ev := it.Event(); ev != nil {
			if attrs, ok := ev.Object.Object("attrs"); ok {
				release, _ = attrs.String("release")
				agent, _ = attrs.String("user_agent")
				ip, _ = attrs.String("ip_address")
			}
		}
		return r.client(b.Request, ip, release, agent)
	case "span":
		release := ""
		if trace, ok := b.Header.Trace(); ok {
			release, _ = trace.String("release")
		}
		return r.client(b.Request, "", release, "")
	}
	return ""
}

// event runs all filters in their order.
func (r *rules) event(req *ingest.Request, ev *schemas.Event, typ string) string {
	if ev == nil {
		return r.client(req, "", "", "")
	}
	t := texts{ev: ev}
	switch {
	case r.ReactHydrationErrors && t.values(hydrationGlobs):
		return ReactHydration
	case r.ChunkLoadErrors && t.match(chunkGlobs):
		return ChunkLoad
	case r.csp(ev, typ):
		return InvalidCSP
	case r.address(req, ev.UserIP):
		return IPAddress
	case len(r.releases) > 0 && r.releases.match(ev.Release()):
		return ReleaseVersion
	case len(r.messages) > 0 && t.match(r.messages):
		return ErrorMessage
	case r.Localhost && isLocal(ev):
		return Localhost
	case r.BrowserExtensions && isExtension(t.load()):
		return BrowserExtensions
	}
	if name := r.agent(req, ev.UserAgent, func() string { return ev.RequestHeader("Sec-CH-UA") }); name != "" {
		return name
	}
	if typ == "transaction" && len(r.transactions) > 0 && r.transactions.match(ev.Transaction()) {
		return Transaction
	}
	return ""
}

// client runs the filters that need no event, on what is known of an item.
func (r *rules) client(req *ingest.Request, ip, release, agent string) string {
	switch {
	case r.address(req, func() string { return ip }):
		return IPAddress
	case r.releases.match(release):
		return ReleaseVersion
	case r.Localhost && isLocalIP(ip):
		return Localhost
	}
	return r.agent(req, func() string { return agent }, func() string { return "" })
}

// address tells whether the client or the user it reports stands on the list.
func (r *rules) address(req *ingest.Request, userIP func() string) bool {
	if len(r.networks) == 0 {
		return false
	}
	if r.listed(req.ClientIP) {
		return true
	}
	user, err := netip.ParseAddr(userIP())
	return err == nil && r.listed(user)
}

func (r *rules) listed(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range r.networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// agent runs the filters on the browser: the one the item names, else the one
// that sent it, else the one in the client hints.
func (r *rules) agent(req *ingest.Request, userAgent, hints func() string) string {
	if len(r.legacy) == 0 && !r.WebCrawlers {
		return ""
	}
	agent := userAgent()
	if agent == "" {
		agent = req.UserAgent
	}
	a := knownAgents.read(agent)
	if len(r.legacy) > 0 {
		if agent == "" {
			hint := hints()
			if hint == "" {
				hint = hintHeader(req.Header)
			}
			a.browser = hinted(hint)
		}
		if isLegacy(r.legacy, a.browser) {
			return LegacyBrowsers
		}
	}
	if r.WebCrawlers && a.crawler {
		return WebCrawlers
	}
	return ""
}

// texts are what an event says, read once.
type texts struct {
	ev         *schemas.Event
	read       bool
	exceptions []schemas.Exception
}

func (t *texts) load() []schemas.Exception {
	if !t.read {
		t.read, t.exceptions = true, t.ev.Exceptions()
	}
	return t.exceptions
}

// values holds the exceptions' values against globs.
func (t *texts) values(g globs) bool {
	for _, ex := range t.load() {
		if g.match(ex.Value) {
			return true
		}
	}
	return false
}

// match holds the message, and each exception's "Type: value", value and type
// against globs.
func (t *texts) match(g globs) bool {
	if g.match(t.ev.Message()) {
		return true
	}
	for _, ex := range t.load() {
		if ex.Type != "" && ex.Value != "" && g.match(ex.Type+": "+ex.Value) {
			return true
		}
		if g.match(ex.Value) || g.match(ex.Type) {
			return true
		}
	}
	return false
}
