package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// stockConfig counts the test's headless browser and settles at once.
func stockConfig(up *relaytest.Upstream) string {
	return doorConfig(up, "    vitals: {routes: [\"/product/:id\"]}\n", "limits: {per_ip: {rate: 100000/s, burst: 1000000}}\nvitals: {settle: 1s, count_bots: true}\n")
}

// arrivedEvents are the events at the upstream by their first exception.
func arrivedEvents(t *testing.T, up *relaytest.Upstream) map[string]*schemas.Event {
	t.Helper()
	events := map[string]*schemas.Event{}
	for _, r := range up.Taken() {
		for _, it := range r.Items {
			if it.Header.Type != "event" {
				continue
			}
			ev, err := schemas.ParseEvent(it.Payload)
			if err != nil {
				t.Fatal(err)
			}
			ex, _ := ev.FirstException()
			events[ex.Type+": "+ex.Value] = ev
		}
	}
	return events
}

// readable is nil when the event's stack names the function that threw, in the
// page's script, with a line.
func readable(ev *schemas.Event, function string) error {
	if ev == nil {
		return fmt.Errorf("no event of %s", function)
	}
	ex, _ := ev.FirstException()
	if ex.Stack.Len() == 0 {
		return fmt.Errorf("%s has no frames", ex.Value)
	}
	top := ex.Stack.Frame(ex.Stack.Len() - 1)
	if !strings.HasSuffix(top.Function, function) || top.Filename != "/page.js" || top.Lineno == 0 || top.Colno == 0 || ev.Release() != "shop@1.4.2" || ev.Environment() != "production" {
		return fmt.Errorf("%s: thrown in %+v, release %q", ex.Value, top, ev.Release())
	}
	return nil
}

// counted is nil when every web vital has n observations.
func (g *gateway) counted(n map[string]float64, labels ...string) error {
	text := g.scrape()
	for name, family := range webVitalFamilies {
		if got := sumSeries(text, family+"_count{", labels...); got != n[name] {
			return fmt.Errorf("%v observations of %s with %v, want %v", got, name, labels, n[name])
		}
	}
	if off := imbalance(text); off != 0 {
		return fmt.Errorf("the ledger is off by %v", off)
	}
	return nil
}

// The stock Faro SDK for React in a real Chromium, on a page of another origin:
// an error, a rejection and a broken tree arrive with readable stacks, and the
// page's five vitals are in the histograms of its route.
func TestBrowserFaro(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, stockConfig(up)).start()
	out := drive(t, "faro.mjs", "http://"+g.public+"/api/1/faro/", testKey)
	t.Logf("%s", out)
	var seen []struct {
		Path, Key string
		Status    int
	}
	if err := json.Unmarshal(out, &seen); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	for _, r := range seen {
		if r.Path != "/api/1/faro/" || r.Status != 202 || r.Key == "" {
			t.Errorf("request %+v", r)
		}
	}
	eventually(t, 20*time.Second, g.emptySpool)
	events := arrivedEvents(t, up)
	pay := events["TypeError: cart is undefined"]
	if err := readable(pay, "payForCart"); err != nil {
		t.Error(err)
	}
	if pay != nil && (!strings.Contains(pay.RequestURL(), "/product/42") || !strings.Contains(pay.UserAgent(), "Chrome")) {
		t.Errorf("the page is %q, the browser %q", pay.RequestURL(), pay.UserAgent())
	}
	if err := readable(events["RangeError: no berth left"], "onClick"); err != nil {
		t.Error(err)
	}
	tree := false
	for key, ev := range events {
		if strings.Contains(key, "toFixed") && readable(ev, "Price") == nil {
			tree = true
		}
	}
	if !tree {
		t.Errorf("no readable event of the broken tree among %d", len(events))
	}
	all := map[string]float64{"lcp": 1, "inp": 1, "cls": 1, "fcp": 1, "ttfb": 1}
	eventually(t, 20*time.Second, func() error { return g.counted(all, `route="/product/:id"`, `environment="production"`) })
	if up.Totals().Items["log"] == 0 {
		t.Error("no logs of the page's events arrived")
	}
}

// Stock OpenTelemetry packages in a real Chromium, on a page of another origin:
// what the errors instrumentation and a span recorded arrive with readable
// stacks, the web vitals are in the histograms, the span is at the OTLP upstream.
func TestBrowserOpenTelemetry(t *testing.T) {
	up, traces := startUpstream(t, relaytest.Options{}), otlpUpstream(t)
	config := strings.Replace(stockConfig(up), `dsn: "`+up.DSN("5")+`"}]`, `dsn: "`+up.DSN("5")+`"}, {type: otlp, url: "`+traces.URL()+`", headers: {x-api-key: topsecret}}]`, 1)
	g := newGateway(t, config).start()
	out := drive(t, "otel.mjs", "http://"+g.public+"/api/1/integration/otlp", testKey)
	t.Logf("%s", out)
	var seen []struct {
		Path, Answer string
		Status       int
	}
	if err := json.Unmarshal(out, &seen); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	var paths []string
	for _, r := range seen {
		paths = append(paths, r.Path)
		if r.Status != 200 || r.Answer != "{}" {
			t.Errorf("request %+v", r)
		}
	}
	for _, signal := range []string{"logs", "traces", "metrics"} {
		if !slices.Contains(paths, "/api/1/integration/otlp/v1/"+signal) {
			t.Errorf("no request of %s", signal)
		}
	}
	eventually(t, 20*time.Second, g.emptySpool)
	events := arrivedEvents(t, up)
	pay := events["TypeError: cart is undefined"]
	if err := readable(pay, "payForCart"); err != nil {
		t.Error(err)
	} else if !pay.IsUnhandledCrash() {
		t.Error("nobody caught it")
	}
	if err := readable(events["RangeError: card refused"], "chargeCard"); err != nil {
		t.Error(err)
	}
	names := map[string]int{}
	for key, n := range spansAt(t, traces) {
		names[strings.Join(strings.Fields(key)[:3], " ")] += n
	}
	if names["harbour-shop POST /pay"] != 1 {
		t.Errorf("spans %v", names)
	}
	// One INP is the page's own, one the histogram's that the page made.
	eventually(t, 20*time.Second, func() error {
		return g.counted(map[string]float64{"lcp": 1, "inp": 2, "cls": 1, "fcp": 1, "ttfb": 1}, `environment="production"`)
	})
	if n := g.outcomes(`category="trace_metric"`, `reason="unsupported_metric"`); n != 1 {
		t.Errorf("%v data points of other metrics were filtered, want the counter's", n)
	}
	if up.Totals().Items["log"] != 1 {
		t.Errorf("%d log containers", up.Totals().Items["log"])
	}
}
