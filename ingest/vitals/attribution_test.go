package vitals

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"breakwater/ingest"
	"breakwater/schemas"
)

// logged is the one line that was written.
func logged(t *testing.T, out *bytes.Buffer) map[string]any {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 1 {
		t.Fatalf("%d lines, want one: %s", len(lines), out.String())
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
		t.Fatal(err)
	}
	return line
}

func TestAttributionIsScrubbed(t *testing.T) {
	var out bytes.Buffer
	h := newHarness(t, Config{Log: zerolog.New(&out), Scrub: func(project, text string) string {
		return strings.ReplaceAll(text, "ida", project)
	}})
	bad := one("INP", 700, "")
	bad.Attribution = `{"interactionTarget":"button#pay-ida","inputDelay":12}`
	h.beacon("/p/:id", bad)
	if line := logged(t, &out); line["interactionTarget"] != "button#pay-shop" || line["inputDelay"] != 12.0 {
		t.Errorf("line is %v", line)
	}
}

func TestAttributionIsPlain(t *testing.T) {
	for text, want := range map[string]string{
		"https://ida:secret@shop.example/a.png?token=1#x": "https://shop.example/a.png",
		"/a.png?token=1":                     "/a.png",
		"data:image/png;base64,iVBORw0KGgo=": "data:",
		"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'>ida</svg>": "data:",
		`input[value="ida@example.com"]`:                                       `input[value="…"]`,
		"div#ad>a.big":                                                         "div#ad>a.big",
	} {
		if got := plainText(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if got := plainText(strings.Repeat("ü", maxAttribution)); len(got) > maxAttribution+len("…") || strings.Contains(got, "\ufffd") {
		t.Errorf("cut to %d bytes: %q", len(got), got)
	}
}

// Both lifecycles of Sentry's SDK, and its standalone spans, say what made a
// value poor in places of their own.
func TestAttributionFromSentryTraffic(t *testing.T) {
	const ids = `"trace_id":"0123456789abcdef0123456789abcdef","span_id":"0123456789abcdef"`
	for _, c := range []struct{ name, typ, contentType, payload, field, want string }{
		{"static", "transaction", "", `{"transaction":"/a","contexts":{"trace":{` + ids + `,"op":"pageload","data":{"lcp.element":"img.hero","lcp.url":"https://shop.example/a.png?t=1"}}},"measurements":{"lcp":{"value":9000,"unit":"millisecond"}}}`, "url", "https://shop.example/a.png"},
		{"streamed", "span", "application/vnd.sentry.items.span.v2+json", `{"items":[{` + ids + `,"name":"/a","attributes":{"sentry.op":{"value":"ui.webvital.cls"},"browser.web_vital.cls.value":{"value":0.9},"browser.web_vital.cls.source.1":{"value":"div#ad"}}}]}`, "largestShiftTarget", "div#ad"},
		{"standalone", "span", "", `{` + ids + `,"op":"ui.interaction.click","description":"button#buy","data":{"transaction":"/a"},"measurements":{"inp":{"value":900,"unit":"millisecond"}}}`, "interactionTarget", "button#buy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			h := newHarness(t, Config{Log: zerolog.New(&out)})
			header := schemas.NewItemHeader(c.typ)
			if c.contentType != "" {
				header = schemas.NewItemHeader(c.typ, "content_type", c.contentType)
			}
			it := ingest.NewItem(schemas.Item{Header: header, Payload: schemas.Bytes(c.payload)})
			if err := h.FromSentry().Apply(&ingest.Batch{Request: h.req, Header: schemas.EmptyHeader(), Items: []*ingest.Item{it}}); err != nil {
				t.Fatal(err)
			}
			if line := logged(t, &out); line[c.field] != c.want || line["route"] != "/a" || line["trace_id"] == "" {
				t.Errorf("line is %v", line)
			}
		})
	}
}
