package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater/cmd/breakwater/redistest"
	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// sharing is the head of a configuration that shares its limits; more are
// further keys of limits.redis.
func sharing(s *redistest.Server, perIP string, more ...string) string {
	if perIP == "" {
		perIP = "{rate: 100000/s, burst: 1000000}"
	}
	return fmt.Sprintf("limits: {per_ip: %s, redis: {url: %q, timeout: 2s%s}}\n", perIP, s.URL(), strings.Join(more, ""))
}

// trio is three gateways in one process, each with a data directory of its own.
func trio(t *testing.T, config string) [3]*app {
	t.Helper()
	var list [3]*app
	for i := range list {
		list[i], _ = inProcess(t, config)
		eventually(t, 30*time.Second, func() error {
			if !list[i].fleet.Up() {
				return fmt.Errorf("gateway %d has no Redis", i)
			}
			return nil
		})
	}
	return list
}

// send posts a body to a gateway in this process, as a client of this address.
func send(a *app, path, body, addr string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	if addr != "" {
		r.RemoteAddr = addr + ":1234"
	}
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.edge.ServeHTTP(w, r)
	return w
}

// counted adds up a counter's series of all gateways whose labels hold all of
// the given name=value pairs.
func counted(t *testing.T, name string, pairs []string, apps ...*app) (sum float64) {
	t.Helper()
	for _, a := range apps {
		families, err := prometheus.Gatherers{a.registry, a.pages}.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() != name {
				continue
			}
		series:
			for _, m := range f.GetMetric() {
				for _, pair := range pairs {
					found := false
					for _, l := range m.GetLabel() {
						found = found || l.GetName()+"="+l.GetValue() == pair
					}
					if !found {
						continue series
					}
				}
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func outcomesOf(t *testing.T, outcome, reason string, apps ...*app) float64 {
	t.Helper()
	return counted(t, "breakwater_items_outcome_total", []string{"outcome=" + outcome, "reason=" + reason}, apps...)
}

// told adds up what forwarded events say about those that were not.
type told struct {
	mu                          sync.Mutex
	events, suppressed, thinned int
	summaries                   []map[string]string
}

func (k *told) note(r *relaytest.Request) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, it := range r.Items {
		if it.Header.Type != "event" {
			continue
		}
		ev, err := schemas.ParseEvent(it.Payload)
		if err != nil {
			return err
		}
		tags := map[string]string{}
		for _, name := range []string{"storm.sample_rate", "storm.suppressed_since_last", "storm.events", "storm.forwarded", "storm.suppressed"} {
			if v, ok := ev.Tag(name); ok {
				tags[name] = v
			}
		}
		if tags["storm.events"] != "" {
			k.summaries = append(k.summaries, tags)
			continue
		}
		k.events++
		n, _ := strconv.Atoi(tags["storm.suppressed_since_last"])
		k.suppressed += n
		if tags["storm.sample_rate"] == "0.02" {
			k.thinned++
		}
	}
	return nil
}

func (k *told) counts() (events, suppressed, thinned, summaries int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.events, k.suppressed, k.thinned, len(k.summaries)
}

// One bug storms through three gateways at once: together they let through the
// budget to the item, count every one, and what they let through tells exactly
// how many are missing. Redis dies in between and comes back: no client notices,
// and still each error is counted once.
func TestStormOverThreeGateways(t *testing.T) {
	s := redistest.Start(t)
	seen := &told{}
	up := startUpstream(t, relaytest.Options{MaxRequests: 1, Expect: seen.note})
	const first, oneIn, events = 50, 50, 3000
	gateways := trio(t, doorConfig(up, fmt.Sprintf("    storm: {window: 1h, first: %d, then_one_in: %d}\n", first, oneIn), sharing(s, "")))
	storm := func(from, to int) {
		var all sync.WaitGroup
		for worker := range 9 {
			all.Go(func() {
				for n := from + worker; n < to; n += 9 {
					if w := send(gateways[worker%3], envelopePath, errorEnvelope(t, n, "SameError", "shop@1"), ""); w.Code != 200 {
						t.Errorf("answered %d %s", w.Code, w.Body)
					}
				}
			})
		}
		all.Wait()
	}
	suppressed := func() float64 { return outcomesOf(t, "suppressed", "storm", gateways[:]...) }
	storm(0, events)
	budget := stormBudget(events, first, oneIn)
	if got := suppressed(); int(got) != events-budget {
		t.Errorf("%v suppressed, want exactly %d", got, events-budget)
	}
	eventually(t, 60*time.Second, func() error {
		if n, _, _, _ := seen.counts(); n < budget {
			return fmt.Errorf("%d events arrived", n)
		}
		return nil
	})
	arrived, missing, thinned, _ := seen.counts()
	if arrived != budget || thinned != budget-first {
		t.Errorf("%d arrived, %d of them say that they stand for %d; want %d and %d", arrived, thinned, oneIn, budget, budget-first)
	}
	// events is a multiple of the share: the last one passed and told of the rest.
	if missing != events-budget {
		t.Errorf("those that arrived tell of %d suppressed, want exactly %d", missing, events-budget)
	}
	if shared, alone := counted(t, "breakwater_limits_decisions_total", []string{"by=shared"}, gateways[:]...), counted(t, "breakwater_limits_decisions_total", []string{"by=alone"}, gateways[:]...); shared != events || alone != 0 {
		t.Errorf("%v decisions together and %v alone, want all %d together", shared, alone, events)
	}

	s.Kill()
	storm(events, events+300)
	if up := counted(t, "breakwater_limits_redis_up", nil, gateways[:]...); up != 0 {
		t.Errorf("%v gateways think that a killed Redis is up", up)
	}
	s.Start()
	eventually(t, 30*time.Second, func() error {
		for i, a := range gateways {
			if !a.fleet.Up() {
				return fmt.Errorf("gateway %d has not found Redis again", i)
			}
		}
		return nil
	})
	storm(events+300, events+600)
	accepted := outcomesOf(t, "accepted", "", gateways[:]...)
	if got := suppressed(); int(got+accepted) != events+600 {
		t.Errorf("%v suppressed and %v accepted are not %d", got, accepted, events+600)
	}
	if got := counted(t, "breakwater_storm_suppressed_total", nil, gateways[:]...); got != suppressed() {
		t.Errorf("storm control counts %v, the ledger %v", got, suppressed())
	}
	for i, a := range gateways {
		if off := ledgerOff(t, a); off != 0 {
			t.Errorf("gateway %d: the ledger is off by %v", i, off)
		}
	}
}

// ledgerOff is what a gateway's books are off by; 0 at rest.
func ledgerOff(t *testing.T, a *app) float64 {
	t.Helper()
	var off float64
	eventually(t, 30*time.Second, func() error { // deliveries go on
		ends := counted(t, "breakwater_items_outcome_total", nil, a) - counted(t, "breakwater_items_outcome_total", []string{"outcome=accepted"}, a)
		off = counted(t, "breakwater_items_received_total", nil, a) - ends - counted(t, "breakwater_items_in_spool", nil, a)
		if off != 0 {
			return fmt.Errorf("off by %v", off)
		}
		return nil
	})
	return off
}

// The gateway that saw a storm begin is killed: another one sums it up, once, and
// with what both saw.
func TestSummaryAfterKill(t *testing.T) {
	s := redistest.Start(t)
	seen := &told{}
	up := startUpstream(t, relaytest.Options{Expect: seen.note})
	config := doorConfig(up, "    storm: {window: 10s, first: 5, then_one_in: 50}\n", sharing(s, ""))
	a, b := newGateway(t, config).start(), newGateway(t, config).start()
	for n := range 40 {
		g := a
		if n >= 20 {
			g = b
		}
		if status, body := post(t, g.envelopeURL(), errorEnvelope(t, n, "SameError", "shop@1")); status != 200 {
			t.Fatalf("answered %d %s", status, body)
		}
	}
	a.kill()
	eventually(t, 90*time.Second, func() error {
		if _, _, _, n := seen.counts(); n == 0 {
			return fmt.Errorf("no summary yet")
		}
		return nil
	})
	// What could bring a second one is the sweep, every second, and an order to stop.
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	if len(seen.summaries) != 1 || seen.summaries[0]["storm.events"] != "40" || seen.summaries[0]["storm.forwarded"] != "5" {
		t.Errorf("summaries %v, want one of 40 events, 5 forwarded", seen.summaries)
	}
}

// Addresses, keys, categories and quotas are limited over all gateways, within
// what a bucket gets back in the time it takes.
func TestLimitsOverThreeGateways(t *testing.T) {
	s := redistest.Start(t)
	up := startUpstream(t, relaytest.Options{MaxRequests: 1})
	const burst = 200
	gateways := trio(t, doorConfig(up, "    limits: {categories: {session: {rate: 1/s, burst: 50}}, quota: {error: 300/day}}\n    storm: {first: 1000000}\n", sharing(s, "{rate: 1/s, burst: 200}")))
	blast := func(n int, body func(n int) string, addr func(n int) string) (answers map[int]int, began time.Time) {
		var all sync.WaitGroup
		var mu sync.Mutex
		answers, began = map[int]int{}, time.Now()
		for worker := range 9 {
			all.Go(func() {
				for i := worker; i < n; i += 9 {
					w := send(gateways[i%3], envelopePath, body(i), addr(i))
					if w.Code == 429 && (w.Header().Get("Retry-After") == "" || w.Header().Get("X-Sentry-Rate-Limits") == "") {
						t.Error("429 without saying when to come back")
					}
					mu.Lock()
					answers[w.Code]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		return answers, began
	}
	within := func(what string, got, want int, began time.Time) {
		t.Helper()
		if most := want + int(time.Since(began).Seconds()) + 1; got < want || got > most {
			t.Errorf("%s: %d passed, want %d to %d", what, got, want, most)
		}
	}
	other := func(n int) string { return fmt.Sprintf("198.51.%d.%d", n/250, n%250+1) }

	// One address, client reports only: they cost the address and nothing else.
	report := `{"discarded_events":[{"reason":"sample_rate","category":"error","quantity":1}]}`
	answers, began := blast(450, func(int) string { return "{}\n{\"type\":\"client_report\"}\n" + report }, func(int) string { return "203.0.113.7" })
	within("address", answers[200], burst, began)
	if answers[200]+answers[429] != 450 {
		t.Errorf("answers %v", answers)
	}

	// Many addresses, one category.
	answers, began = blast(300, func(int) string { return sessionEnvelope }, other)
	within("category", answers[200], 50, began)

	// A quota, to the item; then it is known, and nobody asks any more.
	answers, _ = blast(600, func(n int) string { return errorEnvelope(t, n, "Error"+letters(n), "shop@1") }, other)
	if answers[200] != 300 || answers[429] != 300 {
		t.Errorf("quota of 300: answers %v", answers)
	}
	for i, a := range gateways {
		q := a.limiter.Quotas(time.Now())
		if len(q) != 1 || q[0].Used < 290 || q[0].Used > 300 {
			t.Errorf("gateway %d believes %+v", i, q)
		}
	}
	// Redis forgets all: the quota stays used up.
	s.Say("FLUSHALL")
	if w := send(gateways[0], envelopePath, errorEnvelope(t, 9999, "ErrorZ", "shop@1"), other(9)); w.Code != 429 {
		t.Errorf("after a flush the quota begins anew: %d", w.Code)
	}
}

// A crash report and a batch of Faro that come again by another gateway were
// taken already.
func TestRepeatsOverGateways(t *testing.T) {
	s := redistest.Start(t)
	up := startUpstream(t, relaytest.Options{})
	gateways := trio(t, doorConfig(up, "", sharing(s, "")))
	crash := `{"id":"0123456789abcdef0123456789abcdef","platform":"ios","message":"boom","release":"shop@1"}`
	faro := `{"meta":{"app":{"name":"shop","version":"1"}},"exceptions":[{"type":"Error","value":"x","timestamp":"2026-11-26T12:00:00Z"}],"measurements":[{"type":"web-vitals","values":{"lcp":1200},"context":{"id":"v5-1"},"timestamp":"2026-11-26T12:00:00Z"}]}`
	for _, tt := range []struct {
		path, body string
		status     int
		header     []string
	}{
		{crashPath, crash, 200, nil},
		{"/api/1/faro/?key=" + testKey, faro, 202, []string{"Idempotency-Key", "batch-1"}},
	} {
		before := outcomesOf(t, "accepted", "", gateways[:]...)
		if w := send(gateways[0], tt.path, tt.body, "", tt.header...); w.Code != tt.status {
			t.Fatalf("%s: %d %s", tt.path, w.Code, w.Body)
		}
		taken := outcomesOf(t, "accepted", "", gateways[:]...) - before
		if taken < 1 {
			t.Fatalf("%s: nothing was taken", tt.path)
		}
		eventually(t, 30*time.Second, func() error { // the memory is written without waiting
			if w := send(gateways[1], tt.path, tt.body, "", tt.header...); w.Code != tt.status {
				return fmt.Errorf("again: %d %s", w.Code, w.Body)
			}
			return nil
		})
		if got := outcomesOf(t, "accepted", "", gateways[:]...) - before; got != taken {
			t.Errorf("%s: %v items were accepted, %v of them the first time", tt.path, got, taken)
		}
		if got := outcomesOf(t, "filtered", "duplicate", gateways[1]); got < 1 {
			t.Errorf("%s: no duplicate was counted", tt.path)
		}
	}
	if got := counted(t, "release_errors_total", nil, gateways[1]); got != 0 {
		t.Errorf("the second gateway counts %v errors of releases", got)
	}
}
