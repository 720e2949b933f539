package health

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"breakwater/ingest"
	"breakwater/schemas"
)

func update(sid int, init bool, status string, errs int, release string) string {
	return fmt.Sprintf(`{"sid":"%032x","init":%t,"started":"2026-11-23T21:00:00Z","timestamp":"2026-11-23T21:01:00Z","status":%q,"errors":%d,"did":"u-%d","attrs":{"release":%q,"environment":"production"}}`,
		sid+1, init, status, errs, sid, release)
}

func TestSessionRules(t *testing.T) {
	const sid = `"sid":"17a189c3-3bac-4669-8cd7-2910cda25151"`
	s := func(fields string) string {
		return `{` + sid + `,"started":"2026-11-23T21:00:00Z","attrs":{"release":"app@1"},` + fields + `}`
	}
	for _, c := range []struct {
		name    string
		sent    string
		updates []string
		want    map[string]float64
		ignored string
	}{
		{"start and exit", "", []string{s(`"init":true,"status":"ok"`), s(`"status":"exited"`)}, map[string]float64{started: 1, exited: 1, errored: 0}, ""},
		{"all in one", "", []string{s(`"init":true,"status":"crashed","errors":1`)}, map[string]float64{started: 1, crashed: 1, errored: 1, exited: 0}, ""},
		{"crash without a start", "", []string{s(`"status":"crashed"`)}, map[string]float64{started: 0, crashed: 1, errored: 1}, ""},
		{"crash reported after the exit", "", []string{s(`"status":"exited"`), s(`"status":"crashed"`)}, map[string]float64{exited: 1, crashed: 1}, ""},
		{"exit that arrives after the crash", "", []string{s(`"status":"crashed"`), s(`"status":"exited"`)}, map[string]float64{exited: 0, crashed: 1}, ""},
		{"unhandled is errored, not crashed", "", []string{s(`"status":"unhandled","errors":1`)}, map[string]float64{crashed: 0, errored: 1}, ""},
		{"sid in both spellings", "", []string{s(`"init":true`), strings.Replace(s(`"init":true`), "17a189c3-3bac-4669-8cd7-2910cda25151", "17A189C33BAC46698CD72910CDA25151", 1)}, map[string]float64{started: 1}, ""},
		{"anonymous sessions are not one", "", []string{`{"sid":"00000000-0000-0000-0000-000000000000","init":true,"started":"2026-11-23T21:00:00Z","attrs":{"release":"a"}}`, `{"sid":"00000000-0000-0000-0000-000000000000","init":true,"started":"2026-11-23T21:00:00Z","attrs":{"release":"a"}}`}, map[string]float64{started: 2}, ""},
		{"unknown status", "", []string{s(`"init":true,"status":"dancing"`)}, map[string]float64{started: 1, exited: 0, crashed: 0}, ""},
		{"no release", "", []string{`{` + sid + `,"init":true,"started":"2026-11-23T21:00:00Z","attrs":{}}`}, map[string]float64{started: 0}, "release"},
		{"a release Sentry refuses", "", []string{`{` + sid + `,"init":true,"started":"2026-11-23T21:00:00Z","attrs":{"release":"latest"}}`}, map[string]float64{started: 0}, "release"},
		{"no start", "", []string{`{` + sid + `,"init":true,"attrs":{"release":"a"}}`}, map[string]float64{started: 0}, "invalid"},
		{"no sid", "", []string{`{"init":true,"started":"2026-11-23T21:00:00Z","attrs":{"release":"a"}}`}, map[string]float64{started: 0}, "invalid"},
		{"no JSON", "", []string{`{`}, nil, "invalid"},
		{"six days old", "", []string{strings.Replace(s(`"init":true`), "2026-11-23", "2026-11-17", 1)}, map[string]float64{started: 0}, "too_old"},
		{"four days old is a late crash", "", []string{strings.Replace(s(`"status":"crashed"`), "2026-11-23", "2026-11-19", 1)}, map[string]float64{crashed: 1}, ""},
		{"in the future", "", []string{strings.Replace(s(`"init":true`), "T21:00", "T22:00", 1)}, map[string]float64{started: 0}, "in_future"},
		{"a clock a year behind", "2025-11-23T21:45:00Z", []string{strings.Replace(s(`"init":true`), "2026-", "2025-", 1)}, map[string]float64{started: 1}, ""},
		{"a clock a day ahead", "2026-11-24T21:45:00Z", []string{strings.Replace(s(`"init":true`), "11-23", "11-24", 1)}, map[string]float64{started: 1}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t, Config{})
			for range 2 {
				if c.name == "anonymous sessions are not one" && h.sum("release_sessions_total") > 0 {
					break
				}
				for _, u := range c.updates {
					h.item("session", c.sent, u)
				}
			}
			h.t = t
			h.expect(c.want)
			ignored := h.sum("release_sessions_ignored_total")
			if c.ignored == "" && ignored != 0 || c.ignored != "" && h.sum("release_sessions_ignored_total", "reason", c.ignored) != ignored || c.ignored != "" && ignored == 0 {
				t.Errorf("%v ignored, want reason %q", ignored, c.ignored)
			}
		})
	}
}

func TestAggregatesAddTheirNumbers(t *testing.T) {
	const payload = `{"aggregates":[{"started":"2026-11-23T21:45:00Z","exited":10,"errored":2,"crashed":1,"abnormal":1,"unhandled":1,"did":"u1"},{"started":"2026-11-23T21:44:00Z","exited":5},{"started":"soon","exited":5},{"started":"2026-11-23T21:44:00Z","exited":-7,"crashed":1e300}],"attrs":{"release":"api@1","environment":"staging"}}`
	h := newHarness(t, Config{})
	h.item("sessions", "2026-11-23T21:45:00.1Z", payload)
	h.item("sessions", "2026-11-23T21:45:00.1Z", payload) // a retry
	h.expect(map[string]float64{started: 20, exited: 15, errored: 5, crashed: 1, abnormal: 1}, "environment", "staging", "release", "api@1")
	h.item("sessions", "2026-11-23T21:45:00.2Z", payload) // another server
	h.expect(map[string]float64{started: 40, crashed: 2})
}

func TestAggregatesBeyondTheBoundAreIgnoredAndCounted(t *testing.T) {
	h := newHarness(t, Config{})
	entries := strings.Repeat(`{"started":"2026-11-23T21:45:00Z","exited":1},`, maxAggregates+2)
	h.item("sessions", "", `{"aggregates":[`+strings.TrimSuffix(entries, ",")+`],"attrs":{"release":"api@1"}}`)
	h.expect(map[string]float64{started: maxAggregates, exited: maxAggregates})
	if n := h.sum("release_sessions_ignored_total", "reason", "invalid"); n != 2 {
		t.Errorf("%v entries ignored, want 2", n)
	}
}

func TestCapturedSessions(t *testing.T) {
	for name, want := range map[string]map[string]float64{
		"session-page":  {started: 1, errored: 1, crashed: 0, exited: 0},
		"session-route": {started: 3, errored: 1, exited: 2, crashed: 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, Config{})
			bodies, err := filepath.Glob("../../schemas/testdata/fixtures/sentry-browser/" + name + "/*/body.bin")
			if err != nil || len(bodies) == 0 {
				t.Fatalf("no captured sessions: %v", err)
			}
			for range 2 {
				for _, path := range bodies {
					body, err := os.ReadFile(path)
					if err != nil {
						t.Fatal(err)
					}
					h.envelope(body)
				}
			}
			h.expect(want, "release", "harbour-web@3.14.2", "environment", "production")
			if n := h.sum("release_errors_total", "release", "harbour-web@3.14.2"); n == 0 {
				t.Error("the errors between the sessions are not counted")
			}
		})
	}
}

func (h *harness) envelope(body []byte) {
	r := schemas.NewReader(bytes.NewReader(body))
	head, err := r.Header()
	if err != nil {
		return
	}
	b := &ingest.Batch{Request: h.req, Header: head}
	for {
		ih, payload, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return
		}
		raw, err := io.ReadAll(payload)
		if err != nil {
			return
		}
		b.Items = append(b.Items, ingest.NewItem(schemas.Item{Header: ih, Payload: schemas.Bytes(raw)}))
	}
	if err := h.Apply(b); err != nil {
		h.t.Fatal(err)
	}
}

func FuzzSessions(f *testing.F) {
	f.Add(update(1, true, "crashed", 1, "a"))
	f.Add(`{"aggregates":[{"started":1,"exited":1}],"attrs":{"release":"a"}}`)
	f.Add(`{"sid":"00000000000000000000000000000000","started":1e308,"seq":18446744073709551615,"attrs":{"release":"\ud800"}}`)
	f.Fuzz(func(t *testing.T, payload string) {
		h := newHarness(t, Config{})
		for _, typ := range []string{"session", "sessions", "event"} {
			h.item(typ, "", payload)
		}
		if _, err := h.reg.Gather(); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkSession(b *testing.B) {
	h := newHarness(b, Config{})
	payloads := make([]string, 1024)
	for i := range payloads {
		payloads[i] = update(i, true, "ok", 0, "app@1")
	}
	b.ReportAllocs()
	for i := range b.N {
		h.item("session", "", payloads[i%1024])
	}
}
