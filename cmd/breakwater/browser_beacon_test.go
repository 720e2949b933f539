package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

// The beacon client in a real Chromium, on a page of another origin: an error,
// a rejection and a broken React tree arrive at the upstream with frames,
// release and route; what the page measured is in the histograms under the
// template its router told, with the soft navigation beside them.
func TestBrowserBeacon(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "", "limits: {per_ip: {rate: 100000/s, burst: 1000000}}\nvitals: {settle: 1s, count_bots: true}\n")).start()
	var seen []struct {
		Phase, Path, Via string
		Status           int
		Body             json.RawMessage
	}
	out := drive(t, "beacon.mjs", "http://"+testKey+"@"+g.public+"/1", "http://"+g.private+"/metrics")
	if err := json.Unmarshal(out, &seen); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	t.Logf("%s", out)
	for _, r := range seen {
		if r.Path == "/api/1/vitals/" { // of a page that lives a second longer than it needs: the histograms tell
			continue
		}
		if got := fmt.Sprint(r.Phase, " ", r.Via, " ", r.Path, " ", r.Status); got != "errors fetch /api/1/crash/ 200" {
			t.Errorf("request %q", got)
		}
	}

	eventually(t, 20*time.Second, func() error {
		if n := up.Totals().Items["event"]; n != 3 {
			return fmt.Errorf("%d events at the upstream, want 3", n)
		}
		return g.emptySpool()
	})
	type event struct {
		Release, Environment, Platform string
		Tags                           map[string]string
		Exception                      []struct {
			Type, Value string
			Mechanism   struct {
				Type    string
				Handled *bool
			}
			Stacktrace struct {
				Frames []struct {
					Function, Filename string
					Lineno             int
				}
			}
		}
		Contexts map[string]map[string]any
	}
	found := map[string]bool{}
	for _, r := range up.Taken() {
		for _, it := range r.Items {
			var ev event
			if err := json.Unmarshal(it.Payload, &ev); err != nil || len(ev.Exception) == 0 {
				t.Fatalf("%v in %s", err, it.Payload)
			}
			ex := ev.Exception[0]
			found[fmt.Sprintf("%s: %s (%s, %v)", ex.Type, ex.Value, ex.Mechanism.Type, *ex.Mechanism.Handled)] = true
			if ev.Release != "shop@1.4.2" || ev.Environment != "production" || ev.Platform != "javascript" || ev.Tags["team"] != "cart" || ev.Tags["route"] != "/product/:id" {
				t.Errorf("%s has %+v", ex.Type, ev)
			}
			if url := fmt.Sprint(ev.Contexts["page"]["url"]); !strings.HasSuffix(url, "/product/42") {
				t.Errorf("the page is %q, want it without its query", url)
			}
			frames := ex.Stacktrace.Frames
			if len(frames) == 0 || !strings.Contains(frames[len(frames)-1].Filename, "page.js") || frames[len(frames)-1].Lineno == 0 {
				t.Errorf("%s has frames %+v", ex.Value, frames)
			}
			if ex.Type == "TypeError" && frames[len(frames)-1].Function != "payOrder" {
				t.Errorf("the crash is in %q, want payOrder", frames[len(frames)-1].Function)
			}
			if strings.HasPrefix(ex.Mechanism.Type, "react") && !strings.Contains(fmt.Sprint(ev.Contexts["react"]["componentStack"]), "main") {
				t.Errorf("no component stack in %s", it.Payload)
			}
		}
	}
	for _, want := range []string{
		"TypeError: cart is undefined (onerror, false)",
		"RangeError: stock is negative (onunhandledrejection, false)",
		"Error: no price for this (react.errorboundary, true)",
	} {
		if !found[want] {
			t.Errorf("no %q in %v", want, found)
		}
	}

	eventually(t, 20*time.Second, func() error {
		text := g.scrape()
		for _, family := range []string{"web_vitals_lcp_seconds", "web_vitals_fcp_seconds", "web_vitals_ttfb_seconds", "web_vitals_inp_seconds", "web_vitals_cls"} {
			if line := family + `_count{device="desktop",environment="production",project="shop",route="/product/:id"} 1`; !strings.Contains(text, line) {
				return fmt.Errorf("no %s", line)
			}
		}
		// The button was busy for 250 ms: between good and poor.
		for _, line := range []string{
			// How long this machine took to paint decides which word, by the thresholds of LCP.
			fmt.Sprintf(`web_vitals_releases_total{project="shop",rating=%q,release="shop@1.4.2",vital="LCP"} 1`, ratingOfLCP(sumSeries(text, "web_vitals_lcp_seconds_sum{"))),
			`web_vitals_ratings_total{device="desktop",environment="production",project="shop",rating="good",route="/product/:id",vital="INP"} 0`,
		} {
			if !strings.Contains(text, line) {
				return fmt.Errorf("no %s", line)
			}
		}
		// The walk to the cart changed the address without a load.
		if n := sumSeries(text, "web_vitals_navigations_total{", `navigation_type="soft-navigation"`, `vital="FCP"`); n != 1 {
			return fmt.Errorf("%v first paints of soft navigations", n)
		}
		// Two pages; and a page that is left fires pagehide first, and only then the event at which web-vitals says its last.
		if n := regexp.MustCompile(`(?m)^breakwater_http_requests_total{.*endpoint="vitals".*} [1-4]$`).FindString(text); n == "" {
			return errors.New("the vitals of two pages took more than four requests")
		}
		return nil
	})
}

// ratingOfLCP is the word for a largest contentful paint, in seconds.
func ratingOfLCP(seconds float64) string {
	switch {
	case seconds <= 2.5:
		return "good"
	case seconds <= 4:
		return "needs-improvement"
	}
	return "poor"
}

// A client that was told to wait keeps its reports and sends them after the
// time, each once.
func TestBrowserBeaconObeysLimits(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "    limits: {categories: {error: {rate: 10/m, burst: 1}}}\n")).start()
	type request struct {
		At     float64
		IDs    []string
		Status int
	}
	var seen []request
	out := drive(t, "beacon-limits.mjs", "http://"+testKey+"@"+g.public+"/1")
	if err := json.Unmarshal(out, &seen); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	t.Logf("%s", out)
	// On a slow machine there may be room again for one more before one is refused.
	refused := slices.IndexFunc(seen, func(r request) bool { return r.Status == 429 })
	if refused < 1 || len(seen) < refused+2 || slices.ContainsFunc(seen[:refused], func(r request) bool { return r.Status != 200 }) {
		t.Fatalf("want reports taken, one refused, and it again later: %s", out)
	}
	if last := seen[len(seen)-1]; last.Status != 200 || !slices.Equal(last.IDs, seen[refused].IDs) {
		t.Errorf("what was refused is not what came later: %s", out)
	}
	for i := refused + 1; i < len(seen); i++ {
		if wait := seen[i].At - seen[i-1].At; wait < 900 {
			t.Errorf("asked again after %v ms", wait)
		}
	}
	eventually(t, 20*time.Second, g.emptySpool)
	if n := up.Totals().Items["event"]; n != int64(refused)+1 {
		t.Errorf("%d events at the upstream, want %d", n, refused+1)
	}
}
