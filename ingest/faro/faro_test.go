package faro

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater/ingest"
	"breakwater/schemas"
)

var arrived = time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)

func request() *ingest.Request {
	return &ingest.Request{Project: &ingest.Project{ID: 1, Name: "shop"}, Header: http.Header{}, ReceivedAt: arrived, UserAgent: "Mozilla/5.0 (X)"}
}

func decodeText(t testing.TB, body string) (*ingest.Batch, error) {
	t.Helper()
	return (&Protocol{}).Decode(t.Context(), request(), strings.NewReader(body))
}

func must(t *testing.T, body string) *ingest.Batch {
	t.Helper()
	b, err := decodeText(t, body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// item is the first item of a type as a stranger would read it.
func item(t *testing.T, b *ingest.Batch, typ string) map[string]any {
	t.Helper()
	for _, it := range b.Items {
		if it.Header.Type == typ && it.Alive() {
			raw, _ := it.InMemory()
			var m map[string]any
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			return m
		}
	}
	t.Fatalf("no %s among %d items", typ, len(b.Items))
	return nil
}

func at(m any, path string) any {
	for _, p := range strings.Split(path, ".") {
		switch x := m.(type) {
		case map[string]any:
			m = x[p]
		case []any:
			if i := int(p[0] - '0'); i < len(x) {
				m = x[i]
			} else {
				return nil
			}
		default:
			return nil
		}
	}
	return m
}

const full = `{"meta":{
	"sdk":{"name":"faro-web","version":"2.12.1"},"app":{"name":"harbour","namespace":"web","version":"3.14.2","release":"1187","environment":"staging"},
	"user":{"id":"u-9","username":"kim","email":"kim@example.com"},"session":{"id":"s-1"},"page":{"id":"/berth/:id","url":"https://harbour.example/berth/7?x=1"},
	"browser":{"name":"Chrome","version":"156","userAgent":"Mozilla/5.0 Chrome/156","language":"en-GB","mobile":true},"os":{"name":"Android"},"view":{"name":"berths"}},
	"exceptions":[{"type":"TypeError","value":"no berth","timestamp":"2026-11-24T02:59:00Z","fingerprint":"berths","context":{"berth":"B7"},"trace":{"trace_id":"ABABABABABABABABABABABABABABABAB","span_id":"cdcdcdcdcdcdcdcd"},
		"stacktrace":{"frames":[{"filename":"https://harbour.example/a.js","function":"crash","lineno":1,"colno":2},{"filename":"<anonymous>","function":""},{"filename":"https://harbour.example/node_modules/x.js","function":"caller","lineno":3,"colno":4}]}}],
	"logs":[{"message":"later","level":"warn","timestamp":"2026-11-24T02:59:30Z"},{"message":"before","level":"debug","timestamp":"2026-11-24T02:58:00Z","context":{"rows":12}}],
	"events":[{"name":"berth_selected","domain":"ui","timestamp":"2026-11-24T02:57:00Z","attributes":{"berth":"B7"}}],
	"measurements":[{"type":"web-vitals","values":{"inp":152,"delta":152,"input_delay":0.5},"context":{"id":"v6-1","rating":"good","navigation_type":"navigate","interaction_target":"#slow"},"trace":{"trace_id":"abababababababababababababababab"}},
		{"type":"custom","values":{"render_ms":42.5},"timestamp":"2026-11-24T02:59:00Z"}]}`

func TestEverySignal(t *testing.T) {
	b := must(t, full)
	if len(b.Items) != 2 || !b.Many || b.EventID == "" || b.Header.EventID() != b.EventID {
		t.Fatalf("%d items, event %q", len(b.Items), b.EventID)
	}
	ev := item(t, b, "event")
	for path, want := range map[string]any{
		"event_id": b.EventID, "platform": "javascript", "level": "error", "release": "3.14.2", "dist": "1187", "environment": "staging", "timestamp": "2026-11-24T02:59:00Z",
		"user.id": "u-9", "user.username": "kim", "user.email": "kim@example.com", "request.url": "https://harbour.example/berth/7?x=1", "request.headers.User-Agent": "Mozilla/5.0 Chrome/156",
		"tags.session.id": nil, "contexts.trace.trace_id": "abababababababababababababababab", "contexts.trace.span_id": "cdcdcdcdcdcdcdcd", "contexts.browser.name": "Chrome",
		"contexts.os.name": "Android", "contexts.app.app_name": "harbour", "contexts.culture.locale": "en-GB", "contexts.faro.session_id": "s-1", "contexts.faro_context.berth": "B7",
		"fingerprint.0": "berths", "sdk.name": "breakwater.faro",
		"exception.0.type": "TypeError", "exception.0.value": "no berth", "exception.0.mechanism.type": "faro", "exception.0.mechanism.handled": nil,
		"exception.0.stacktrace.frames.2.function": "crash", "exception.0.stacktrace.frames.2.filename": "/a.js", "exception.0.stacktrace.frames.2.abs_path": "https://harbour.example/a.js",
		"exception.0.stacktrace.frames.2.in_app": true, "exception.0.stacktrace.frames.1.function": "?", "exception.0.stacktrace.frames.0.in_app": false,
		"breadcrumbs.0.message": "berth_selected", "breadcrumbs.0.category": "ui", "breadcrumbs.0.data.berth": "B7", "breadcrumbs.1.message": "before", "breadcrumbs.1.level": "debug",
		"breadcrumbs.2.message": "measurement custom", "breadcrumbs.3": nil,
	} {
		if got := at(ev, path); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
	tags, _ := ev["tags"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"session.id": "s-1", "app.name": "harbour", "view.name": "berths"}, tags); diff != "" {
		t.Error(diff)
	}
	logs := item(t, b, "log")
	var bodies []string
	for _, l := range logs["items"].([]any) {
		bodies = append(bodies, at(l, "level").(string)+" "+at(l, "body").(string))
		attributes := at(l, "attributes").(map[string]any)
		for key, want := range map[string]any{"sentry.release": "3.14.2", "session.id": "s-1", "service.name": "harbour"} {
			if got := at(attributes[key], "value"); got != want {
				t.Errorf("%s of a log is %v", key, got)
			}
		}
		if id, _ := at(l, "trace_id").(string); len(id) != 32 {
			t.Errorf("a log of trace %q", id)
		}
	}
	if diff := cmp.Diff([]string{"warn later", "debug before", "info berth_selected", "info measurement custom"}, bodies); diff != "" {
		t.Error(diff)
	}
	want := []*schemas.Beacon{{
		Route: "/berth/:id", URL: "https://harbour.example/berth/7?x=1", Release: "3.14.2", Environment: "staging", Device: "mobile", OS: "Android", TraceID: "abababababababababababababababab", Source: "faro",
		Vitals: []schemas.Vital{{Name: "INP", Value: 152, HasValue: true, Delta: 152, ID: "v6-1", NavigationType: "navigate", Attribution: `{"inputDelay":0.5,"interactionTarget":"#slow"}`}},
	}}
	if diff := cmp.Diff(want, b.Beacons); diff != "" {
		t.Error(diff)
	}
}

// The same payload gives the same ids, another one others; React Native's
// frames are named as its source maps are.
func TestIDsAndPlatforms(t *testing.T) {
	if a, b := must(t, full), must(t, full); a.EventID != b.EventID {
		t.Error("a payload that is sent again brings another event")
	}
	if a, b := must(t, full), must(t, full+" "); a.EventID == b.EventID {
		t.Error("two payloads bring one event")
	}
	ev := item(t, must(t, `{"meta":{"sdk":{"name":"faro-react-native"}},"exceptions":[{"type":"E","value":"x","stacktrace":{"frames":[{"filename":"http://10.0.2.2:8081/index.bundle?platform=android","function":"f","lineno":1,"colno":7}]}}]}`), "event")
	if got := at(ev, "exception.0.stacktrace.frames.0.filename"); got != "app:///index.bundle" {
		t.Errorf("filename %v", got)
	}
	if at(ev, "contexts.react_native_context") == nil || at(ev, "timestamp") != "2026-11-24T03:00:00Z" {
		t.Errorf("%v", ev)
	}
}

func TestRoutes(t *testing.T) {
	for meta, want := range map[string]string{
		`{"page":{"id":"/a/:b"},"view":{"name":"v"}}`: "/a/:b", `{"view":{"name":"cart"}}`: "cart", `{"view":{"name":"default"},"page":{"url":"https://h.example/x"}}`: "", `{}`: "",
	} {
		b := must(t, `{"meta":`+meta+`,"measurements":[{"type":"web-vitals","values":{"cls":0}}]}`)
		if got := b.Beacons[0].Route; got != want {
			t.Errorf("%s: route %q, want %q", meta, got, want)
		}
	}
}

// A batch is remembered when it was taken, and only then.
func TestRepeats(t *testing.T) {
	now := arrived
	p := &Protocol{Repeats: ingest.NewRepeats(ingest.RepeatsOptions{TTL: RememberFor, Max: 10, Now: func() time.Time { return now }})}
	send := func(key string) (*ingest.Batch, error) {
		req := request()
		req.Header.Set("Idempotency-Key", key)
		return p.Decode(t.Context(), req, strings.NewReader(full))
	}
	first, err := send("k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := send("k"); !errors.Is(err, RejectBusy) {
		t.Errorf("while it is being taken: %v", err)
	}
	if err := first.Conclude(first, ingest.RejectFull); !errors.Is(err, ingest.RejectFull) {
		t.Error(err)
	}
	second, err := send("k")
	if err != nil || len(second.Items) != 2 {
		t.Fatalf("what was refused may come again: %v", err)
	}
	if err := second.Conclude(second, nil); err != nil {
		t.Error(err)
	}
	again, err := send("k")
	if err != nil || len(again.Items) != 1 || len(again.Beacons) != 0 || again.Items[0].Outcome != schemas.Filtered || again.Items[0].Category != schemas.CategoryUnknown {
		t.Fatalf("%+v %v", again, err)
	}
	for i := range 12 { // more keys than are kept: the oldest goes
		b, err := send(string(rune('a' + i)))
		if err != nil {
			t.Fatal(err)
		}
		_ = b.Conclude(b, nil)
	}
	if n := p.Repeats.Len("shop"); n > 10 {
		t.Errorf("%d keys are held", n)
	}
	now = now.Add(RememberFor)
	if b, err := send("l"); err != nil || len(b.Items) != 2 {
		t.Errorf("after %v it is new: %v", RememberFor, err)
	}
}

func FuzzDecode(f *testing.F) {
	bodies, _ := filepath.Glob("../../schemas/testdata/fixtures/faro/*/*/body.bin")
	for _, path := range bodies {
		if raw, err := os.ReadFile(path); err == nil && len(raw) > 0 && len(raw) < 4096 {
			f.Add(raw)
		}
	}
	f.Add([]byte(full))
	p := &Protocol{}
	f.Fuzz(func(t *testing.T, body []byte) {
		req := request()
		req.Project.OTLP = []string{"tempo"}
		b, err := p.Decode(t.Context(), req, bytes.NewReader(body))
		if err != nil {
			if r := ingest.AsRejection(err); r.Status >= 500 {
				t.Fatal(err)
			}
			return
		}
		for _, it := range b.Items {
			if !it.Alive() {
				continue
			}
			raw, ok := it.InMemory()
			if !ok || it.Quantity < 1 || !json.Valid(bytes.ToValidUTF8(raw, nil)) {
				t.Fatalf("%s of %d is no JSON: %.300q", it.Header.Type, it.Quantity, raw)
			}
		}
	})
}
