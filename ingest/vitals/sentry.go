package vitals

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/ingest"
	"breakwater/schemas"
)

// FromSentry is the stage that reads vitals out of Sentry traffic, so that
// unchanged SDKs fill the histograms. It looks at transactions and spans, drops
// nothing and changes nothing. Put it after the filters (what is filtered is not
// counted) and before sampling and limits (what is only not relayed still is).
//
// Where the SDKs put them:
//
//	page load transaction      measurements.lcp cls fcp ttfb        static lifecycle
//	span of its own (v1, v2)   measurements.inp, browser.web_vital.inp.value
//	page load span (v2)        browser.web_vital.fcp.value ttfb.value   streaming
//	own spans, sent later      browser.web_vital.lcp.value cls.value
//	mobile transaction         measurements.app_start_cold time_to_initial_display frames_slow …
//	mobile spans (v2)          app.vitals.start.value app.vitals.ttid.value …
//
// The id of a web vital is the page load's span id where the SDK names it, so a
// value that comes twice, in the transaction and in a span, is one observation.
func (v *Vitals) FromSentry() ingest.Stage { return fromSentry{v} }

type fromSentry struct{ v *Vitals }

// Name is "vitals".
func (fromSentry) Name() string { return "vitals" }

// Apply reads the items that are alive and may hold vitals.
func (s fromSentry) Apply(b *ingest.Batch) error {
	if b.Request == nil || b.Request.Project == nil || len(b.Beacons) > 0 {
		return nil // spans beside a beacon were made from it
	}
	p := s.v.project(b.Request.Project.Name)
	if !p.settings.Load().fromSentry {
		return nil
	}
	for _, it := range b.Items {
		typ := it.Header.Type
		if typ != "span" && typ != "transaction" || !it.Alive() {
			continue
		}
		raw, ok := it.InMemory()
		if !ok || !bytes.Contains(raw, []byte(`"measurements"`)) &&
			!bytes.Contains(raw, []byte(`browser.web_vital.`)) && !bytes.Contains(raw, []byte(`app.vitals.`)) &&
			!maySegment(raw) {
			continue // most spans measure nothing
		}
		x := extraction{v: s.v, p: p, req: b.Request, sent: sentAt(b)}
		switch {
		case typ == "transaction":
			x.transaction(it)
		case it.Header.IsContainer():
			x.container(raw)
		default:
			x.span(raw)
		}
	}
	return nil
}

func sentAt(b *ingest.Batch) time.Time {
	if b.Header.Object == nil {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, b.Header.SentAt())
	if err != nil {
		return time.Time{}
	}
	return t
}

// extraction reads one item.
type extraction struct {
	v    *Vitals
	p    *project
	req  *ingest.Request
	sent time.Time
}

// carrier is what is known around the values of one transaction or span.
type carrier struct {
	trace, span string // ids of what carries the values
	load        string // id of the page load or navigation they belong to
	nav         string
	name        string // of the route
	source      string // of the name
	url         string
	release     string
	environment string
	userAgent   string
	os          string
	// why finds what explains a value, by Sentry's name for it: lcp.element,
	// lcp.url, cls.source.1, inp.target, inp.interaction_type; "" when not said.
	why func(name string) string
}

// sentryNames are the measurement names of the SDKs that differ from ours.
var sentryNames = map[string]string{
	"time_to_initial_display": "ttid", "time_to_full_display": "ttfd", "stall_longest_time": "stall_longest",
}

// transaction reads a transaction's measurements. Only page loads carry web
// vitals; app starts, frames and stalls come with any transaction of an app.
func (x *extraction) transaction(it *ingest.Item) {
	ev := it.Event()
	if ev == nil {
		return
	}
	measured, ok := ev.Get("measurements")
	if !ok || measured.Kind() != '{' {
		return
	}
	trace, _ := ev.Path("contexts", "trace")
	c := carrier{
		trace: text(trace, "trace_id"), span: text(trace, "span_id"), nav: text(trace, "data", "browser.navigation.type"),
		name: ev.Transaction(), source: ev.TransactionSource(), url: ev.RequestURL(),
		release: ev.Release(), environment: ev.Environment(), userAgent: ev.UserAgent(),
	}
	if osText, ok := ev.Path("contexts", "os"); ok {
		c.os = text(osText, "name")
	}
	c.load = c.span
	c.why = func(name string) string { return text(trace, "data", name) }
	pageload := text(trace, "op") == "pageload"
	if pageload && c.nav == "" {
		c.nav = "navigate" // older SDKs do not say
	}
	x.send(&c, measurements(measured, pageload))
}

// measurements turns {"lcp": {"value": 1, "unit": "millisecond"}} into entries.
func measurements(m jsontext.Value, web bool) (list []schemas.Vital) {
	for key, value := range schemas.Members(m) {
		name := strings.ToLower(string(key))
		if ours, ok := sentryNames[name]; ok {
			name = ours
		}
		k, known := lookup(name)
		if !known && name != "fid" || (!known || k < webVitals) && !web {
			continue // a measurement of the project's own, or of no page load
		}
		raw, _ := schemas.Lookup(value, "value")
		n, ok := num(raw)
		if ok && (!known || specs[k].div == 1000) {
			n *= milliseconds(text(value, "unit"))
		}
		list = append(list, schemas.Vital{Name: name, Value: n, HasValue: ok})
	}
	return list
}

// milliseconds is how many a unit has; SDKs that name none mean milliseconds.
func milliseconds(unit string) float64 {
	switch unit {
	case "nanosecond":
		return 1e-6
	case "microsecond":
		return 1e-3
	case "second":
		return 1000
	case "minute":
		return 60_000
	}
	return 1
}

// span reads a standalone span of the first version: one JSON object.
func (x *extraction) span(raw []byte) {
	o, err := schemas.ParseObject(raw)
	if err != nil {
		return
	}
	measured, ok := o.Get("measurements")
	if !ok || measured.Kind() != '{' {
		return
	}
	data, _ := o.Get("data")
	str := func(name string) string { s, _ := o.String(name); return s }
	c := carrier{
		trace: str("trace_id"), span: str("span_id"), nav: text(data, "browser.navigation.type"),
		name: text(data, "transaction"), source: text(data, "sentry.source"), url: text(data, "url.full"),
		release: text(data, "release"), environment: text(data, "environment"), userAgent: text(data, "user_agent.original"),
		os: text(data, "os.name"),
	}
	if c.name == "" {
		c.name = text(data, "sentry.transaction")
	}
	c.why = func(name string) string {
		if name == "inp.target" {
			return str("description") // the path of the element
		}
		return text(data, name)
	}
	c.load = first(text(data, "sentry.pageload.span_id"), str("segment_id"), c.span)
	if c.nav == "" {
		c.nav = "navigate"
	}
	x.send(&c, measurements(measured, true))
}

// route is what a carrier's page is called.
func (x *extraction) route(c *carrier) string {
	router := x.p.settings.Load().router
	if route, ok := x.v.segments.Get(x.p.name + "\x00" + c.load); ok && c.load != c.span {
		return route
	}
	switch c.source {
	case "route", "custom", "view", "component", "task", "sanitized":
		return router.route(c.name)
	}
	// A URL, or a name the SDK gives every page ("Pageload").
	if !strings.HasPrefix(c.name, "/") && !strings.Contains(c.name, "://") && c.url != "" {
		return router.route(c.url)
	}
	return router.route(c.name)
}

// send records the values of one carrier.
func (x *extraction) send(c *carrier, list []schemas.Vital) {
	if len(list) == 0 || len(c.span) != 16 {
		return // without an id a repeat would count twice
	}
	for i := range list {
		e := &list[i]
		e.NavigationType = c.nav
		k, known := lookup(e.Name)
		if e.ID = c.load; !known || k >= webVitals {
			e.ID = c.span
		} else if c.why != nil && specs[k].rate(e.Value/specs[k].div) == poor {
			e.Attribution = attributionOf(k, c.why)
		}
	}
	ua, header := c.userAgent, x.req.Header
	if ua == "" {
		ua = x.req.UserAgent
	} else if ua != x.req.UserAgent {
		header = nil // the hints are of another client
	}
	x.v.record(x.req, &schemas.Beacon{
		Route: x.route(c), Release: c.release, Environment: c.environment, OS: c.os, TraceID: c.trace,
		Vitals: list, Source: SourceSentry, SentAt: x.sent,
	}, x.v.clients.read(ua, header))
}

func first(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// text is a string inside a JSON object, "" for all else.
func text(v jsontext.Value, path ...string) string {
	found, ok := schemas.Lookup(v, path...)
	if !ok {
		return ""
	}
	return plain(found)
}

// plain is a JSON string's text, "" for all else.
func plain(v jsontext.Value) string {
	s, _ := schemas.UnquoteString(v)
	return s
}

// num reads a JSON number; one too large for a float is infinite, and rejected
// as such.
func num(v jsontext.Value) (float64, bool) {
	if v.Kind() != '0' {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}
