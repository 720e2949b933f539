package health

import (
	"fmt"
	"math/rand/v2"
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

// Errors that name no release take no release's place, and lose theirs to none.
func TestErrorsWithoutAReleaseHaveALabelOfTheirOwn(t *testing.T) {
	h := newHarness(t, Config{ReleaseSlots: 3})
	for i := range 9 {
		h.item("event", "", `{"level":"error"}`)
		h.item("session", "", update(i, true, "ok", 0, fmt.Sprint("app@", i)))
	}
	if n := h.sum("release_errors_total", "release", "__unknown__"); n != 9 {
		t.Errorf("%v errors without a release, want 9", n)
	}
	for i := 6; i < 9; i++ {
		h.expect(map[string]float64{started: 1}, "release", fmt.Sprint("app@", i))
	}
	h.expect(map[string]float64{started: 0}, "release", "app@5")
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

// The newest release is the one that was seen last for the first time; names
// that are no release have no time, and a release that lost its place loses it.
func TestFirstSeen(t *testing.T) {
	h := newHarness(t, Config{ReleaseSlots: 2})
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
