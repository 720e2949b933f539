package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/cmd/breakwater/redistest"
	"breakwater/relay/relaytest"
)

// Updates of one page view reach three gateways in turn: it is observed once, by
// the gateway that saw it first, with the value that counts.
func TestVitalsSettleOverGateways(t *testing.T) {
	s := redistest.Start(t)
	up := startUpstream(t, relaytest.Options{})
	config := doorConfig(up, "", sharing(s, ""))
	gateways := trio(t, config)
	const views = 20
	eventually(t, time.Minute, func() error {
		if reply := s.Say("PUBSUB CHANNELS breakwater:to:*"); !strings.HasPrefix(reply, "*3\r\n") {
			return fmt.Errorf("not every gateway listens: %q", reply)
		}
		return nil
	})
	beacon := func(view int, vitals string) string {
		return `{"route":"/product/:id","release":"shop@1","vitals":[` + strings.ReplaceAll(vitals, "VIEW", strconv.Itoa(view)) + `]}`
	}
	post := func(a *app, body string) {
		t.Helper()
		if w := send(a, "/api/1/vitals/?key="+testKey, body, ""); w.Code != 204 {
			t.Fatalf("answered %d %s", w.Code, w.Body)
		}
	}
	for view := range views {
		for step, vitals := range []string{
			`{"name":"LCP","value":1000,"id":"l-VIEW"},{"name":"INP","value":300,"delta":300,"id":"i-VIEW"},{"name":"TTFB","value":90,"id":"t-VIEW"}`,
			`{"name":"LCP","value":3000,"id":"l-VIEW"},{"name":"INP","value":400,"delta":100,"id":"i-VIEW"},{"name":"TTFB","value":90,"id":"t-VIEW"}`,
			`{"name":"LCP","value":2000,"id":"l-VIEW"},{"name":"INP","value":150,"delta":-250,"id":"i-VIEW"},{"name":"app_start_cold","value":900,"id":"a-VIEW"}`,
			`{"name":"CLS","value":0.05,"id":"c-VIEW"},{"name":"app_start_cold","value":900,"id":"a-VIEW"}`,
			`{"name":"CLS","value":0.3,"id":"c-VIEW"}`,
		} {
			post(gateways[(view+step)%3], beacon(view, vitals))
		}
	}
	waiting := func() (n int) {
		for _, a := range gateways {
			n += a.vitals.Pending()
		}
		return n
	}
	if n := waiting(); n != 4*views {
		t.Errorf("%d page views wait to settle, want 4 vitals of %d", n, views)
	}
	for _, a := range gateways {
		if n := a.vitals.Pending(); n == 0 {
			t.Error("a gateway has none of its own")
		}
	}
	// An update at another gateway travels to the one that had the id first: of each
	// view three of the second step, two of the third and the last of CLS.
	eventually(t, time.Minute, func() error {
		heard := int64(0)
		for _, a := range gateways {
			heard += a.fleet.Heard()
		}
		if heard != 6*views {
			return fmt.Errorf("%d updates have travelled, want %d", heard, 6*views)
		}
		return nil
	})
	for _, a := range gateways {
		a.vitals.Flush()
	}
	rated := func(vital, rating string) float64 {
		return counted(t, "web_vitals_ratings_total", []string{"vital=" + vital, "rating=" + rating}, gateways[:]...)
	}
	for _, tt := range []struct {
		family, vital, rating string
	}{
		{"web_vitals_lcp_seconds", "LCP", "needs-improvement"}, // the largest: 3 s
		{"web_vitals_inp_seconds", "INP", "good"},              // the latest: 150 ms
		{"web_vitals_cls", "CLS", "poor"},
		{"web_vitals_ttfb_seconds", "TTFB", "good"},
	} {
		if n := counted(t, tt.family, nil, gateways[:]...); n != views {
			t.Errorf("%s: %v observations of %d page views", tt.family, n, views)
		}
		if n := rated(tt.vital, tt.rating); n != views {
			t.Errorf("%s: %v are %s, want all %d", tt.vital, n, tt.rating, views)
		}
	}
	if n := counted(t, "mobile_app_start_seconds", nil, gateways[:]...); n != views {
		t.Errorf("%v app starts, want %d", n, views)
	}
	// Once observed, an update comes late, wherever it arrives.
	for i := range 3 {
		post(gateways[i], beacon(0, `{"name":"LCP","value":9000,"id":"l-VIEW"}`))
	}
	eventually(t, 30*time.Second, func() error {
		if n := counted(t, "web_vitals_late_updates_total", []string{"vital=LCP"}, gateways[:]...); n != 3 {
			return fmt.Errorf("%v late updates, want 3", n)
		}
		return nil
	})
}

// A request costs at most one round trip, whatever is in it, as Redis itself
// counts; what an own bucket refuses costs none. What a beacon sends on to another
// gateway rides along with the next one's, or goes by itself when there was none
// for 10 ms.
func TestOneRoundTripForARequest(t *testing.T) {
	s := redistest.Start(t)
	up := startUpstream(t, relaytest.Options{})
	more := "    limits: {categories: {error: {rate: 1000/s, burst: 100000}, session: {rate: 1000/s, burst: 100000}}, quota: {error: 1000000/month}}\n"
	gateways := trio(t, doorConfig(up, more, sharing(s, "{rate: 1/s, burst: 100}")))
	scripts := func() (n int) {
		for _, line := range strings.Split(s.Say("INFO commandstats"), "\r\n") {
			if rest, ok := strings.CutPrefix(line, "cmdstat_evalsha:calls="); ok {
				n, _ = strconv.Atoi(rest[:strings.IndexByte(rest, ',')])
			}
		}
		return n
	}
	trips := func() float64 { return counted(t, "breakwater_limits_redis_round_trips_total", nil, gateways[:]...) }
	mixed := errorEnvelope(t, 1, "Mixed", "shop@1") + "\n{\"type\":\"attachment\",\"length\":2,\"filename\":\"a\"}\nhi\n" + strings.SplitN(sessionEnvelope, "\n", 2)[1]
	faro := `{"meta":{"app":{"name":"shop","version":"1"}},"exceptions":[` + strings.TrimSuffix(strings.Repeat(`{"type":"Error","value":"x","timestamp":"2026-11-26T12:00:00Z"},`, 20), ",") + `]}`
	thirty := func(name, path, body string, status int, sendsOn bool) {
		before, at, began := trips(), scripts(), time.Now()
		for n := range 30 {
			if w := send(gateways[n%3], path, body, "198.51.100."+strconv.Itoa(n)); w.Code != status {
				t.Fatalf("%s: %d %s", name, w.Code, w.Body)
			}
		}
		most := 30.0
		if sendsOn { // each of three gateways after each 10 ms without one
			most += 3 * (1 + float64(time.Since(began)/(10*time.Millisecond)))
		}
		if got := trips() - before; got > most {
			t.Errorf("%s: 30 requests took %v round trips, want at most %v", name, got, most)
		}
		// The gateways' own pulse is one script a second each.
		if got, pulses := scripts()-at, 3*(2+int(time.Since(began)/time.Second)); got > 30+pulses {
			t.Errorf("%s: 30 requests and at most %d pulses ran %d scripts", name, pulses, got)
		}
	}
	thirty("envelope", envelopePath, mixed, 200, false)
	thirty("faro", "/api/1/faro/?key="+testKey, faro, 202, false)
	for range 100 {
		send(gateways[0], envelopePath, "{}", "203.0.113.9")
	}
	before := trips()
	refused := 0
	for range 500 {
		if w := send(gateways[0], envelopePath, mixed, "203.0.113.9"); w.Code == 429 {
			refused++
		}
	}
	if got := trips() - before; refused < 490 || got > float64(500-refused) {
		t.Errorf("%d of 500 requests were refused at once, %v round trips", refused, got)
	}
	// Last: what the last of them sends on goes some milliseconds later.
	thirty("beacon", "/api/1/vitals/?key="+testKey, `[{"name":"LCP","value":1,"id":"x"},{"name":"CLS","value":0,"id":"y"},{"name":"INP","value":9,"id":"z"}]`, 204, true)
}

// While Redis is away, stricter lets each of the gateways pass its part only, and
// what it passed counts when Redis is back.
func TestStricterWhileRedisIsAway(t *testing.T) {
	s := redistest.Start(t)
	up := startUpstream(t, relaytest.Options{MaxRequests: 1})
	gateways := trio(t, doorConfig(up, "    limits: {categories: {session: {rate: 1/s, burst: 60}}, quota: {error: 90/day}}\n    storm: {window: 1h, first: 30, then_one_in: 1000}\n",
		sharing(s, "", ", when_away: stricter, gateways: 3")))
	s.Kill()
	each := func(n int, body func(gateway, n int) string) (passed [3]int) {
		for i, a := range gateways {
			for j := range n {
				if w := send(a, envelopePath, body(i, j), ""); w.Code == 200 {
					passed[i]++
				}
			}
		}
		return passed
	}
	for i, n := range each(60, func(int, int) string { return sessionEnvelope }) {
		if n < 20 || n > 25 {
			t.Errorf("gateway %d alone passed %d sessions of a burst of 60, want 20", i, n)
		}
	}
	for i, n := range each(50, func(g, n int) string { return errorEnvelope(t, 1000*g+n, "Error"+letters(n), "shop@1") }) {
		if n != 30 {
			t.Errorf("gateway %d alone passed %d errors of a quota of 90, want 30", i, n)
		}
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
	// Each tells what it counted alone as soon as it finds Redis again.
	eventually(t, 30*time.Second, func() error {
		if reply := s.Say("GET breakwater:quota:shop:error:day:" + time.Now().UTC().Format("2006-01-02")); !strings.Contains(reply, "\r\n90\r\n") {
			return fmt.Errorf("Redis knows of %q", reply)
		}
		return nil
	})
	total := 0
	for _, n := range each(20, func(g, n int) string { return errorEnvelope(t, 10_000*(g+1)+n, "More"+letters(n), "shop@1") }) {
		total += n
	}
	if total > 0 {
		t.Errorf("%d more errors passed of a quota that was used up", total)
	}
}

// What an upstream tells one gateway quiets all of them.
func TestUpstreamLimitsOverGateways(t *testing.T) {
	s := redistest.Start(t)
	var requests atomic.Int64
	up := startUpstream(t, relaytest.Options{Decide: func(*relaytest.Request) relaytest.Step {
		requests.Add(1)
		return relaytest.Status(429, "X-Sentry-Rate-Limits", "600:error:organization:quota_exceeded", "Retry-After", "600")
	}})
	gateways := trio(t, doorConfig(up, "", sharing(s, "")))
	if w := send(gateways[0], envelopePath, errorEnvelope(t, 1, "First", "shop@1"), ""); w.Code != 200 {
		t.Fatalf("answered %d", w.Code)
	}
	eventually(t, 30*time.Second, func() error {
		for i, a := range gateways {
			if w := send(a, envelopePath, sessionEnvelope, ""); !strings.Contains(w.Header().Get("X-Sentry-Rate-Limits"), "error:organization") {
				return fmt.Errorf("gateway %d does not know: %q", i, w.Header().Get("X-Sentry-Rate-Limits"))
			}
		}
		return nil
	})
	if w := send(gateways[2], envelopePath, errorEnvelope(t, 2, "Second", "shop@1"), ""); w.Code != 429 {
		t.Errorf("answered %d, want 429", w.Code)
	}
	// One that comes later hears of it, too.
	late, _ := inProcess(t, doorConfig(up, "", sharing(s, "")))
	eventually(t, 30*time.Second, func() error {
		if w := send(late, envelopePath, errorEnvelope(t, 3, "Third", "shop@1"), ""); w.Code != 429 {
			return fmt.Errorf("a gateway that came later answers %d", w.Code)
		}
		return nil
	})
}
