package health

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"breakwater/ingest"
	"breakwater/schemas"
)

type harness struct {
	*Health
	t   testing.TB
	reg *prometheus.Registry
	now time.Time
	req *ingest.Request
}

func newHarness(t testing.TB, cfg Config) *harness {
	h := &harness{t: t, reg: prometheus.NewRegistry(), now: time.Date(2026, 11, 23, 21, 45, 0, 0, time.UTC)}
	cfg.Now = func() time.Time { return h.now }
	h.Health = New(cfg, h.reg)
	h.req = &ingest.Request{Project: &ingest.Project{Name: "shop", Release: ingest.ReleaseRule{Environment: "production"}}}
	return h
}

func (h *harness) sum(family string, want ...string) float64 {
	h.t.Helper()
	families, err := h.reg.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	total := 0.0
	for _, f := range families {
		if f.GetName() != family {
			continue
		}
	next:
		for _, m := range f.Metric {
			for i := 0; i < len(want); i += 2 {
				if label(m, want[i]) != want[i+1] {
					continue next
				}
			}
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.Label {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// item runs one item through the stage; sent is the envelope's sent_at.
func (h *harness) item(typ, sent, payload string) {
	h.t.Helper()
	b := &ingest.Batch{
		Request: h.req, Header: schemas.EmptyHeader(),
		Items: []*ingest.Item{ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader(typ), Payload: schemas.Bytes(payload)})},
	}
	if sent != "" {
		b.Header.SetString("sent_at", sent)
	}
	if err := h.Apply(b); err != nil {
		h.t.Fatal(err)
	}
	if !b.Items[0].Alive() {
		h.t.Error("the stage dropped an item")
	}
}

func (h *harness) expect(want map[string]float64, labels ...string) {
	h.t.Helper()
	for status, n := range want {
		if got := h.sum("release_sessions_total", append(labels, "status", status)...); got != n {
			h.t.Errorf("%s %v: %v, want %v", status, labels, got, n)
		}
	}
}

func update(sid int, init bool, status string, errs int, release string) string {
	return fmt.Sprintf(`{"sid":"%032x","init":%t,"started":"2026-11-23T21:00:00Z","timestamp":"2026-11-23T21:01:00Z","status":%q,"errors":%d,"did":"u-%d","attrs":{"release":%q,"environment":"production"}}`,
		sid+1, init, status, errs, sid, release)
}

// TestCrashFreeRateEqualsAHandCount plays 10,000 scripted sessions of two
// releases. Every update is delivered once to three times, all of them
// shuffled; some starts are lost. The counters must equal what the script says.
func TestCrashFreeRateEqualsAHandCount(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	h := newHarness(t, Config{})
	want := map[string]map[string]float64{"app@1": {}, "app@2": {}}
	users := map[string]map[int]bool{"app@1": {}, "app@2": {}}
	var deliveries []string
	add := func(u string) {
		for range 1 + rng.IntN(3) {
			deliveries = append(deliveries, u)
		}
	}
	for sid := range 10_000 {
		release := []string{"app@1", "app@2"}[rng.IntN(2)]
		w := want[release]
		users[release][sid] = true
		if rng.IntN(50) > 0 {
			add(update(sid, true, "ok", 0, release))
			w[started]++
		}
		errs := rng.IntN(10) == 0
		if errs {
			add(update(sid, false, "ok", 1, release))
			add(update(sid, false, "ok", 2, release))
		}
		switch n := rng.IntN(100); {
		case n < 4:
			add(update(sid, false, "crashed", 1, release))
			w[crashed]++
			errs = true
		case n < 6:
			add(update(sid, false, "abnormal", 0, release))
			w[abnormal]++
			errs = true
		case n < 9:
			add(update(sid, false, "unhandled", 1, release)) // and the page stays open
			errs = true
		case n < 70:
			e := 0
			if errs {
				e = 2
			}
			add(update(sid, false, "exited", e, release))
			w[exited]++
		}
		if errs {
			w[errored]++
		}
	}
	rng.Shuffle(len(deliveries), func(i, j int) { deliveries[i], deliveries[j] = deliveries[j], deliveries[i] })
	for _, d := range deliveries {
		h.item("session", "", d)
	}
	for release, w := range want {
		if w[crashed] < 100 || w[abnormal] < 50 {
			t.Fatalf("the script is too tame: %v", w)
		}
		h.expect(w, "release", release)
		got := 1 - h.sum("release_sessions_total", "release", release, "status", crashed)/h.sum("release_sessions_total", "release", release, "status", started)
		if exact := 1 - w[crashed]/w[started]; got != exact {
			t.Errorf("%s: crash-free rate %v, by hand %v", release, got, exact)
		}
		if est, n := h.sum("release_users_estimate", "release", release), float64(len(users[release])); est < 0.97*n || est > 1.03*n {
			t.Errorf("%s: %v users estimated, %v were there", release, est, n)
		}
		if est, n := h.sum("release_crashed_users_estimate", "release", release), w[crashed]; est < 0.95*n || est > 1.05*n {
			t.Errorf("%s: %v crashed users estimated, %v were there", release, est, n)
		}
	}
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

func TestErrorsByReleaseLevelAndHandled(t *testing.T) {
	h := newHarness(t, Config{})
	h.item("event", "", `{"release":"a@1","level":"fatal","exception":{"values":[{"type":"E","mechanism":{"type":"onerror","handled":false}}]}}`)
	h.item("event", "", `{"release":"a@1","environment":"staging","exception":{"values":[{"type":"E","mechanism":{"type":"generic","handled":true}}]}}`)
	h.item("event", "", `{"message":"hi","level":"sudden"}`)
	h.item("event", "", `not JSON`)
	for _, c := range []struct{ env, release, level, handled string }{
		{"production", "a@1", "fatal", "false"}, {"staging", "a@1", "error", "true"}, {"production", "__unknown__", "error", "unknown"},
	} {
		if n := h.sum("release_errors_total", "environment", c.env, "release", c.release, "level", c.level, "handled", c.handled); n != 1 {
			t.Errorf("%+v: %v, want 1", c, n)
		}
	}
	if n := h.sum("release_errors_total"); n != 3 {
		t.Errorf("%v errors in all, want 3", n)
	}
}

func TestReleasesAndEnvironmentsAreBounded(t *testing.T) {
	h := newHarness(t, Config{ReleaseSlots: 3, Environments: 2})
	for i := range 5000 {
		h.item("session", "", strings.Replace(update(i, true, "ok", 0, fmt.Sprint("app@", i)), `"production"`, fmt.Sprintf(`"env-%d"`, i), 1))
		h.item("event", "", fmt.Sprintf(`{"release":"app@%d","environment":"env-%d","level":"fatal"}`, i, i))
	}
	if n := testutil.CollectAndCount(h.m.sessions); n > 4*3*len(statuses) {
		t.Errorf("%d series of sessions", n)
	}
	if n := testutil.CollectAndCount(h.m.errors); n > 4*3*5*3 {
		t.Errorf("%d series of errors", n)
	}
	if n := testutil.CollectAndCount(h.Health); n > 2*4*3 {
		t.Errorf("%d series of users", n)
	}
	if h.sum("release_sessions_total", "status", started, "release", "__other__") < 4900 {
		t.Error("forged releases are not counted together")
	}
}

func TestNewestReleasesHaveThePlaces(t *testing.T) {
	h := newHarness(t, Config{})
	for i := range 7 {
		h.item("session", "", update(i, true, "ok", 0, fmt.Sprint("app@", i)))
	}
	h.item("session", "", update(0, false, "crashed", 1, "app@0")) // late, of a release that lost its place
	h.expect(map[string]float64{started: 1}, "release", "app@6")
	h.expect(map[string]float64{started: 1}, "release", "app@2")
	h.expect(map[string]float64{started: 0}, "release", "app@0")
	h.expect(map[string]float64{crashed: 1}, "release", "__other__")
}

func TestUsersAreOfToday(t *testing.T) {
	h := newHarness(t, Config{})
	for i := range 100 {
		h.item("session", "", update(i%10, i < 10, "ok", 0, "app@1"))
	}
	if n := h.sum("release_users_estimate"); n != 10 {
		t.Errorf("%v users, want 10", n)
	}
	h.now = h.now.Add(3 * time.Hour) // midnight has passed
	if n := h.sum("release_users_estimate"); n != 0 {
		t.Errorf("%v users of yesterday, want none", n)
	}
}

func TestMetricsAreClean(t *testing.T) {
	h := newHarness(t, Config{})
	h.item("session", "", update(1, true, "ok", 0, "app@1"))
	h.item("event", "", `{}`)
	problems, err := testutil.GatherAndLint(h.reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
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

// The newest release is the one that was seen last for the first time; names
// that are no release have no time, and a release that lost its place loses it.
func TestFirstSeen(t *testing.T) {
	h := newHarness(t, Config{ReleaseSlots: 3}) // errors without a release hold one
	began := h.now
	for i, release := range []string{"app@1", "app@2", "app@1", "", "app@3"} {
		h.now = began.Add(time.Duration(i) * time.Minute)
		h.item("event", "", fmt.Sprintf(`{"message":"boom","release":%q}`, release))
	}
	for release, want := range map[string]float64{"app@1": 0, "app@2": float64(began.Add(time.Minute).Unix()), "app@3": float64(began.Add(4 * time.Minute).Unix()), noRelease: 0, ingest.OtherLabel: 0} {
		if got := h.sum("release_first_seen_timestamp_seconds", "project", "shop", "release", release); got != want {
			t.Errorf("%s: %v, want %v", release, got, want)
		}
	}
}
