package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

// Whatever the limit counts, 64 clients at once get what is configured, within
// 5 %. Addresses that an untrusted peer makes up do not buy more; behind a
// trusted proxy the nearest address that is not a proxy's counts, whatever the
// client wrote before it.
func TestRatesUnderConcurrency(t *testing.T) {
	const perSecond, burst, clients = 100, 60, 64
	perIP := fmt.Sprintf("limits: {per_ip: {rate: %d/s, burst: %d}}\n", perSecond, burst)
	made := func() string {
		return fmt.Sprintf("X-Forwarded-For: %d.%d.%d.%d", 1+rand.IntN(200), rand.IntN(256), rand.IntN(256), rand.IntN(256))
	}
	trusting := func(cfg string) string {
		return strings.Replace(cfg, "server: {", `server: {trusted_proxies: ["127.0.0.0/8", "10.0.0.0/8"], `, 1)
	}
	for _, c := range []struct {
		name, more, head string
		header           func() string
		edit             func(string) string
		reason           string
	}{
		{name: "per key", more: fmt.Sprintf("    limits: {per_key: {rate: %d/s, burst: %d}}\n", perSecond, burst), reason: "per_key"},
		{name: "category", more: fmt.Sprintf("    limits: {categories: {error: {rate: %d/s, burst: %d}}}\n", perSecond, burst), reason: "category"},
		{name: "address", head: perIP, reason: "per_ip"},
		{name: "address, forged by an untrusted peer", head: perIP, header: made, reason: "per_ip"},
		{
			name: "address, forged before a trusted proxy", head: perIP, edit: trusting, reason: "per_ip",
			header: func() string { return made() + ", 203.0.113.9, 10.1.2.3" },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := startUpstream(t, relaytest.Options{IDsOnly: true})
			head := []string{}
			if c.head != "" {
				head = append(head, c.head)
			}
			config := doorConfig(up, "    storm: {then_one_in: 1}\n"+c.more, head...)
			if c.edit != nil {
				config = c.edit(config)
			}
			g := newGateway(t, config).start()
			began := time.Now()
			// For three seconds; on a machine with other work until both sides of the limit were met.
			got := blastUntil(t, g.public, clients, func(_ int, seen map[int]int) bool {
				since := time.Since(began)
				return since > time.Minute || since > 3*time.Second && seen[http.StatusOK] > burst && seen[http.StatusTooManyRequests] > 0
			}, func(n int) []byte {
				var headers []string
				if c.header != nil {
					headers = append(headers, c.header())
				}
				return postRequest(g.public, envelopePath, errorEnvelope(t, n, "TypeError", "shop@1"), headers...)
			})
			took := time.Since(began)
			want := burst + perSecond*took.Seconds()
			ok, limited := float64(got[http.StatusOK]), got[http.StatusTooManyRequests]
			t.Logf("%v of %d accepted in %v, %.1f %% of the configured %.0f", ok, got[200]+limited, took.Round(time.Millisecond), 100*ok/want, want)
			// The upper bound is the promise and holds on any machine. Below it, a
			// machine that stalls for longer than the burst lasts loses tokens; that
			// the limiter gives each token out is tested on a clock of its own.
			if ok > 1.05*want || ok <= burst {
				t.Errorf("%v were accepted in %v, want %.0f, at most 5 %% more", ok, took, want)
			}
			if len(got) != 2 || limited == 0 {
				t.Errorf("answers %v", got)
			}
			if n := g.outcomes(`outcome="rate_limited"`, `reason="`+c.reason+`"`); int(n) != limited {
				t.Errorf("%v counted as limited for %s, %d were answered so", n, c.reason, limited)
			}
		})
	}
	t.Run("behind a trusted proxy everybody has their own", func(t *testing.T) {
		up := startUpstream(t, relaytest.Options{IDsOnly: true})
		g := newGateway(t, trusting(doorConfig(up, "    storm: {then_one_in: 1}\n", "limits: {per_ip: {rate: 1/h, burst: 30}}\n"))).start()
		got := blast(t, g.public, 8, 240, time.Time{}, func(n int) []byte {
			return postRequest(g.public, envelopePath, errorEnvelope(t, n, "TypeError", "shop@1"), fmt.Sprintf("X-Forwarded-For: 203.0.113.%d", n%4))
		})
		if got[200] != 120 || got[429] != 120 {
			t.Errorf("4 addresses with 60 requests each, 30 allowed: %v", got)
		}
	})
}

// ask posts as a page of another origin would and returns the whole answer.
func ask(t *testing.T, url, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "https://shop.example")
	req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// What a client is told of limits: nothing of it by status as long as anything
// of the request was kept, all of it in a header that pages may read; 429 and
// when to come back if nothing was kept. Client reports always pass.
func TestAnswersOfLimits(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, `
    limits: {categories: {error: {rate: 1/h, burst: 1}}, quota: {transaction: 0/month}}
    storm: {then_one_in: 1}
`)).start()
	url := g.envelopeURL()
	event := func(n int) string { return errorEnvelope(t, n, "TypeError", "shop@1") }
	second := func(first, envelope string) string { // joins two envelopes' items
		_, items, _ := strings.Cut(envelope, "\n")
		return first + "\n" + items
	}
	const report = "{}\n{\"type\":\"client_report\"}\n{\"timestamp\":1764000000,\"discarded_events\":[{\"reason\":\"queue_overflow\",\"category\":\"error\",\"quantity\":2}]}"
	const attached = "\n{\"type\":\"attachment\",\"length\":5,\"filename\":\"a.txt\"}\nhello"
	exposed := func(t *testing.T, resp *http.Response) {
		t.Helper()
		for _, h := range []string{"x-sentry-rate-limits", "retry-after", "x-sentry-error"} {
			if !strings.Contains(strings.ToLower(resp.Header.Get("Access-Control-Expose-Headers")), h) {
				t.Errorf("%s is not exposed to pages", h)
			}
		}
		if resp.Header.Get("Access-Control-Allow-Origin") == "" {
			t.Error("no Access-Control-Allow-Origin")
		}
	}
	retryAfter := func(t *testing.T, resp *http.Response, most int) {
		t.Helper()
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || n < 1 || n > most {
			t.Errorf("Retry-After %q, want 1 to %d", resp.Header.Get("Retry-After"), most)
		}
	}
	if resp := ask(t, url, event(0)); resp.StatusCode != 200 || resp.Header.Get("X-Sentry-Rate-Limits") != "" {
		t.Fatalf("within the limit: %d %q", resp.StatusCode, resp.Header.Get("X-Sentry-Rate-Limits"))
	}
	t.Run("part of a request", func(t *testing.T) {
		resp := ask(t, url, second(event(1)+attached, sessionEnvelope))
		if h := resp.Header.Get("X-Sentry-Rate-Limits"); resp.StatusCode != 200 || !strings.HasSuffix(h, ":error:project:category") {
			t.Errorf("answered %d, limits %q", resp.StatusCode, h)
		}
		exposed(t, resp)
	})
	t.Run("all of a request", func(t *testing.T) {
		resp := ask(t, url, event(2)+attached)
		if h := resp.Header.Get("X-Sentry-Rate-Limits"); resp.StatusCode != 429 || !strings.HasSuffix(h, ":error:project:category") {
			t.Errorf("answered %d, limits %q", resp.StatusCode, h)
		}
		retryAfter(t, resp, 60)
		exposed(t, resp)
	})
	t.Run("a category that is closed", func(t *testing.T) {
		resp := ask(t, url, `{}`+"\n"+`{"type":"transaction"}`+"\n"+`{"type":"transaction","event_id":"9ec79c33ec9942ab8353589fcb2e0aaa","transaction":"/","start_timestamp":1764000000,"timestamp":1764000001,"contexts":{"trace":{"trace_id":"e292a4fcb0104e9ebef9b1c9cf689836","span_id":"b655c2191ddc62a1"}}}`)
		if h := resp.Header.Get("X-Sentry-Rate-Limits"); resp.StatusCode != 429 || !strings.Contains(h, ":transaction:project:quota") {
			t.Errorf("answered %d, limits %q", resp.StatusCode, h)
		}
	})
	t.Run("crash report", func(t *testing.T) {
		resp := ask(t, "http://"+g.public+"/api/1/crash/?key="+testKey, `{"platform":"javascript","message":"over the limit","exceptions":[{"type":"E","value":"v"}]}`)
		if resp.StatusCode != 429 {
			t.Errorf("answered %d", resp.StatusCode)
		}
		retryAfter(t, resp, 60)
		exposed(t, resp)
	})
	t.Run("client report", func(t *testing.T) {
		for range 20 {
			if resp := ask(t, url, report); resp.StatusCode != 200 {
				t.Fatalf("answered %d", resp.StatusCode)
			}
		}
		resp := ask(t, url, second(event(3), report))
		if h := resp.Header.Get("X-Sentry-Rate-Limits"); resp.StatusCode != 200 || !strings.HasSuffix(h, ":error:project:category") {
			t.Errorf("beside an error over its limit: answered %d, limits %q", resp.StatusCode, h)
		}
	})
	eventually(t, 20*time.Second, g.emptySpool)
	counts := map[string]int{}
	for _, r := range up.Taken() {
		for _, it := range r.Items {
			if it.Header.Type == "client_report" && !strings.Contains(string(it.Payload), "queue_overflow") {
				continue // the gateway's own, once a minute
			}
			counts[it.Header.Type]++
		}
	}
	if counts["event"] != 1 || counts["session"] != 1 || counts["client_report"] != 21 || len(counts) != 3 {
		t.Errorf("upstream has %v, want 1 event, 1 session, 21 client reports", counts)
	}
	// Before us, by us and after us are numbers of their own.
	text := g.scrape()
	if n := sumSeries(text, "breakwater_client_discarded_total{", `reason="queue_overflow"`); n != 42 {
		t.Errorf("before us: %v, want 42", n)
	}
	if n := sumSeries(text, "breakwater_items_outcome_total{", `outcome="rate_limited"`); n != 7 { // 3 events, 2 attachments with them, a transaction, a crash
		t.Errorf("by us: %v, want 7", n)
	}
	if n := sumSeries(text, "breakwater_items_outcome_total{", `reason="upstream_limit"`) + sumSeries(text, "breakwater_items_outcome_total{", `outcome="dead_letter"`); n != 0 {
		t.Errorf("after us: %v, want 0", n)
	}
}

// A beacon over the limit is a plain 429 as well.
func TestLimitedBeacon(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "    limits: {per_key: {rate: 1/h, burst: 1}}\n")).start()
	for n, want := range []int{204, 429, 429} {
		resp := ask(t, "http://"+g.public+"/api/1/vitals/?key="+testKey, `{"name":"LCP","value":1834.2,"id":"v6-1","navigationType":"navigate"}`)
		if resp.StatusCode != want {
			t.Fatalf("beacon %d was answered %d", n, resp.StatusCode)
		}
		if want == 429 && (resp.Header.Get("Retry-After") == "" || resp.Header.Get("X-Sentry-Rate-Limits") == "") {
			t.Errorf("headers %v", resp.Header)
		}
	}
}

// A limit of measurements holds for beacons and for what else brings some; what
// comes beside them is kept.
func TestLimitedMeasurements(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "    limits: {categories: {vital: {rate: 1/h, burst: 2}}}\n    vitals: {to_sentry: true}\n")).start()
	beacon := func(n int) *http.Response {
		return ask(t, "http://"+g.public+"/api/1/vitals/?key="+testKey, fmt.Sprintf(`{"name":"LCP","value":1834.2,"id":"v6-%d","navigationType":"navigate"}`, n))
	}
	for n, want := range []int{204, 204, 429} {
		resp := beacon(n)
		if resp.StatusCode != want {
			t.Fatalf("beacon %d was answered %d", n, resp.StatusCode)
		}
		if want == 429 && (resp.Header.Get("Retry-After") != "60" || resp.Header.Get("X-Sentry-Rate-Limits") != "60:vital:project:category") {
			t.Errorf("headers %v", resp.Header)
		}
	}
	faro := `{"meta":{"app":{"name":"shop","version":"1"}},"measurements":[{"type":"web-vitals","timestamp":"2026-11-26T10:00:00Z","values":{"lcp":900}}]`
	if resp := ask(t, "http://"+g.public+"/api/1/faro/?key="+testKey, faro+`}`); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("measurements alone: %d, headers %v", resp.StatusCode, resp.Header)
	}
	faro += `,"exceptions":[{"type":"Error","value":"x","timestamp":"2026-11-26T10:00:00Z"}]}`
	if resp := ask(t, "http://"+g.public+"/api/1/faro/?key="+testKey, faro); resp.StatusCode != 202 {
		t.Errorf("measurements beside an error: %d", resp.StatusCode)
	}
	eventually(t, 30*time.Second, func() error {
		text := g.scrape()
		for _, want := range []struct {
			category, outcome string
			n                 float64
		}{{"vital", "delivered", 2}, {"vital", "rate_limited", 3}, {"span", "delivered", 2}, {"span", "rate_limited", 1}, {"error", "delivered", 1}} {
			if n := sumSeries(text, "breakwater_items_outcome_total{", `category="`+want.category+`"`, `outcome="`+want.outcome+`"`); n != want.n {
				return fmt.Errorf("%v of %s ended as %s, want %v", n, want.category, want.outcome, want.n)
			}
		}
		return nil
	})
}

// A quota's count outlives the process: after an orderly stop exactly, after a
// kill as of at most five seconds before.
func TestQuotaOutlivesTheProcess(t *testing.T) {
	up := startUpstream(t, relaytest.Options{IDsOnly: true})
	g := newGateway(t, doorConfig(up, "    limits: {quota: {error: 9/month}}\n    storm: {then_one_in: 1}\n")).start()
	n := 0
	send := func(want ...int) {
		t.Helper()
		for _, status := range want {
			if got, body := post(t, g.envelopeURL(), errorEnvelope(t, n, "TypeError", "shop@1")); got != status {
				t.Fatalf("error %d was answered %d %s, want %d", n, got, body, status)
			}
			n++
		}
	}
	send(200, 200, 200)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	g.start()
	send(200, 200, 200)
	began := time.Now()
	eventually(t, 6*time.Second, func() error { // that it is written every 5 s is tested on a clock, in ingest/limit
		raw, err := os.ReadFile(filepath.Join(g.dir, "quotas.json"))
		if err == nil && !strings.Contains(string(raw), `"month": 6`) {
			err = fmt.Errorf("the file says %s", raw)
		}
		return err
	})
	t.Logf("the count was on disk after %v", time.Since(began).Round(time.Millisecond))
	g.kill()
	g.start()
	send(200, 200, 200, 429, 429)
	eventually(t, 20*time.Second, g.emptySpool)
	if got := up.Totals().Items["event"]; got != 9 {
		t.Errorf("%d errors reached the upstream, the quota is 9", got)
	}
}

// One project at fifty times its limit costs its neighbour nothing but time:
// every request of the quiet one is answered 200 and reaches the upstream. How
// much time is measured by `loadgen flood`; a test on a shared machine could
// not hold it to a figure.
func TestFloodedNeighbour(t *testing.T) {
	const otherKey = "fedcba9876543210fedcba9876543210"
	up := startUpstream(t, relaytest.Options{})
	config := doorConfig(up, "    limits: {per_key: {rate: 20/s, burst: 20}}\n") + `  - id: 2
    name: quiet
    keys: [{public: ` + otherKey + `}]
    upstreams: [{name: sentry, type: sentry, dsn: "` + up.DSN("6") + `"}]
    storm: {then_one_in: 1}
    limits: {per_key: {rate: 100000/s, burst: 1000000}}
`
	g := newGateway(t, config).start()
	request := func(n int) []byte {
		return postRequest(g.public, "/api/2/envelope/?sentry_key="+otherKey, errorEnvelope(t, n, "QuietError", "quiet@1"))
	}
	alone := startQuiet(g.public, request)
	time.Sleep(time.Second) // how long to measure, not what to wait for
	p99 := alone.end(t)
	beside := startQuiet(g.public, func(n int) []byte { return request(n + alone.sent) })
	began := time.Now()
	got := blastUntil(t, g.public, 8, func(_ int, seen map[int]int) bool {
		since := time.Since(began)
		return since > time.Minute || since > 3*time.Second && seen[429] > seen[200]
	}, func(n int) []byte {
		time.Sleep(8 * time.Millisecond) // 8 connections: about 1000/s, fifty times the limit
		return postRequest(g.public, envelopePath, errorEnvelope(t, n, "LoudError", "shop@1"))
	})
	flooded := beside.end(t)
	sent := alone.sent + beside.sent
	t.Logf("flooded at %.0f/s: p99 of the neighbour %v, alone %v, ratio %.2f; %d requests of it, none refused",
		float64(got[200]+got[429])/time.Since(began).Seconds(), flooded.Round(time.Microsecond), p99.Round(time.Microsecond), float64(flooded)/float64(p99), sent)
	if got[429] < got[200] {
		t.Errorf("the flood was not limited: %v", got)
	}
	eventually(t, 30*time.Second, g.emptySpool)
	arrived := 0
	for _, r := range up.Taken() {
		if r.Project == "6" {
			arrived += len(slices.DeleteFunc(r.Types(), func(s string) bool { return s != "event" }))
		}
	}
	if arrived != sent {
		t.Errorf("%d of the neighbour's %d errors reached its upstream", arrived, sent)
	}
}
