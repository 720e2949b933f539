package vitals

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/schemas"
)

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
	c.why = func(name string) string { return attr(attrs, "browser.web_vital."+name) }
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
