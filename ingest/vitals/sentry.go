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
	c.load = first(text(data, "sentry.pageload.span_id"), str("segment_id"), c.span)
	if c.nav == "" {
		c.nav = "navigate"
	}
	x.send(&c, measurements(measured, true))
}

// maxVitalSpans bounds the spans of one container that are looked into.
const maxVitalSpans = 500

// container reads the spans of a container (v2). Spans without vitals are
// skipped after a search for two words; the segments among them are remembered
// by what they call their page, since the spans that come later name only the
// segment's id.
func (x *extraction) container(raw []byte) {
	box, err := schemas.ParseContainer(raw)
	if err != nil {
		return
	}
	looked := 0
	// Segments come last, but their spans need their names.
	for i := len(box.Items) - 1; i >= 0 && looked < maxVitalSpans; i-- {
		if v := box.Items[i]; isSegment(v) {
			looked++
			x.remember(v)
		}
	}
	looked = 0
	for _, v := range box.Items {
		if looked < maxVitalSpans && (bytes.Contains(v, []byte(`browser.web_vital.`)) || bytes.Contains(v, []byte(`app.vitals.`))) {
			looked++
			x.spanV2(v)
		}
	}
}

// maySegment is a cheap look before the exact one.
func maySegment(raw []byte) bool {
	return bytes.Contains(raw, []byte(`"is_segment":true`)) || bytes.Contains(raw, []byte(`"is_segment": true`))
}

func isSegment(span jsontext.Value) bool {
	if !maySegment(span) {
		return false
	}
	flag, _ := schemas.Lookup(span, "is_segment")
	return flag.Kind() == 't'
}

// remember keeps what a page load or navigation is called, by its span id.
func (x *extraction) remember(span jsontext.Value) {
	attrs, _ := schemas.Lookup(span, "attributes")
	switch attr(attrs, "sentry.op") {
	case "pageload", "navigation", "ui.load":
	default:
		return
	}
	id := text(span, "span_id")
	if len(id) != 16 {
		return
	}
	c := x.carrierV2(span, attrs)
	x.v.segments.Add(x.p.name+"\x00"+id, x.route(&c))
}

// carrierV2 reads what a streamed span says about itself, in one pass.
func (x *extraction) carrierV2(span, attrs jsontext.Value) carrier {
	var c carrier
	var segmentName, name, pageload, segment, spanSource, oldSource, path string
	for key, value := range schemas.Members(span) {
		switch string(key) {
		case "trace_id":
			c.trace = plain(value)
		case "span_id":
			c.span = plain(value)
		case "name":
			name = plain(value)
		}
	}
	into := func(key []byte) *string {
		switch string(key) {
		case "browser.navigation.type":
			return &c.nav
		case "sentry.transaction":
			return &c.name
		case "sentry.segment.name":
			return &segmentName
		case "sentry.segment.name.source":
			return &c.source
		case "sentry.span.source":
			return &spanSource
		case "sentry.source":
			return &oldSource
		case "url.full":
			return &c.url
		case "url.path":
			return &path
		case "sentry.release":
			return &c.release
		case "sentry.environment":
			return &c.environment
		case "user_agent.original":
			return &c.userAgent
		case "os.name":
			return &c.os
		case "sentry.pageload.span_id":
			return &pageload
		case "sentry.segment.id":
			return &segment
		}
		return nil
	}
	for key, value := range schemas.Members(attrs) {
		if field := into(key); field != nil {
			*field = plain(attrValue(value))
		}
	}
	c.name, c.url = first(c.name, segmentName, name), first(c.url, path)
	c.source, c.load = first(c.source, spanSource, oldSource), first(pageload, segment, c.span)
	return c
}

// webAttributes and appAttributes are where streamed spans carry values.
var webAttributes = [webVitals]string{
	lcp: "browser.web_vital.lcp.value", inp: "browser.web_vital.inp.value", cls: "browser.web_vital.cls.value",
	fcp: "browser.web_vital.fcp.value", ttfb: "browser.web_vital.ttfb.value",
}

var appAttributes = map[string]string{
	"app.vitals.start.cold.value": "app_start_cold", "app.vitals.start.warm.value": "app_start_warm",
	"app.vitals.ttid.value": "ttid", "app.vitals.ttfd.value": "ttfd",
	"app.vitals.frames.slow.count": "frames_slow", "app.vitals.frames.frozen.count": "frames_frozen", "app.vitals.frames.total.count": "frames_total",
}

func (x *extraction) spanV2(span jsontext.Value) {
	attrs, ok := schemas.Lookup(span, "attributes")
	if !ok {
		return
	}
	c := x.carrierV2(span, attrs)
	if c.nav == "" {
		c.nav = "navigate"
	}
	var list []schemas.Vital
	segment := isSegment(span)
	for key, value := range schemas.Members(attrs) {
		name, word := "", string(key)
		for k, a := range webAttributes {
			if a == word {
				name = specs[k].name
			}
		}
		switch ours, app := appAttributes[word]; {
		case app && (segment || !strings.HasPrefix(ours, "frames_")):
			name = ours // frames of spans within a screen are part of the screen's
		case word == "app.vitals.start.value":
			switch typ := attr(attrs, "app.vitals.start.type"); typ {
			case "cold", "warm", "hot":
				name = "app_start_" + typ
			}
		}
		if name != "" {
			n, ok := num(attrValue(value))
			list = append(list, schemas.Vital{Name: name, Value: n, HasValue: ok})
		}
	}
	x.send(&c, list)
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
		id := c.load
		if k, ok := lookup(e.Name); !ok || k >= webVitals {
			id = c.span
		}
		e.ID = id
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

// attrValue is the value of {"value": …, "type": …}.
func attrValue(v jsontext.Value) jsontext.Value {
	if v.Kind() == '{' {
		v, _ = schemas.Lookup(v, "value")
	}
	return v
}

// attr is a string attribute of a span; "" for all else.
func attr(attrs jsontext.Value, name string) string {
	v, ok := schemas.Lookup(attrs, name)
	if !ok {
		return ""
	}
	return plain(attrValue(v))
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
