package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/cmd/breakwater/simulate"
	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// recorder makes a relaytest upstream speak as `loadgen sink` does on GET.
func recorder(t *testing.T, up *relaytest.Upstream) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		unique, repeated := up.IDs().Len()
		_ = json.NewEncoder(w).Encode(map[string]int{"requests": len(up.Taken()), "unique": unique, "repeated": repeated})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func simulation1(g *gateway, scenario string) simulate.Options {
	dsn, err := schemas.ParseDSN("http://" + testKey + "@" + g.public + "/1")
	if err != nil {
		g.t.Fatal(err)
	}
	return simulate.Options{
		DSN: dsn, Project: "shop", Scenario: scenario, Rate: 600, Duration: 2 * time.Second, Seed: 7, Connections: 16,
		Metrics: "http://" + g.private + "/metrics", Releases: []string{"shop@1.4.1", "shop@1.4.2"},
	}
}

// Every scenario through a real process: each item sent ends in one column, and
// the upstream has each event that the gateway says it delivered.
func TestSimulateAccountsForEveryItem(t *testing.T) {
	up := startUpstream(t, relaytest.Options{MaxRequests: 100_000, Key: relaytest.TestKey})
	g := newGateway(t, doorConfig(up, "    storm: {window: 1h, first: 5, then_one_in: 10}\n")).start()
	for i, scenario := range simulate.ScenarioNames() {
		o := simulation1(g, scenario)
		o.Upstream, o.Seed = recorder(t, up), uint64(100+i)
		r, err := simulate.Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Balanced {
			t.Errorf("%s: %s", scenario, asText(t, r))
		}
		for _, row := range r.Rows {
			if row.Waiting != 0 {
				t.Errorf("%s: %d of %s wait in the spool", scenario, row.Waiting, row.Category)
			}
		}
		if len(r.Answers) == 0 || r.Answers["none"] != 0 || r.Requests < 20 {
			t.Errorf("%s: %d requests, answers %v", scenario, r.Requests, r.Answers)
		}
		if scenario == "storm" && outcomeOf(r, schemas.CategoryError, schemas.Suppressed) == 0 {
			t.Error("a storm of one bug was not cut")
		}
	}
	if p := up.Problems(); len(p) > 0 {
		t.Errorf("the upstream found the shapes wrong: %v", p)
	}
}

// With one address and a tight limit most requests are refused unread; they are
// accounted for as such.
func TestSimulateUnderLimits(t *testing.T) {
	up := startUpstream(t, relaytest.Options{MaxRequests: 100_000, Key: relaytest.TestKey})
	g := newGateway(t, doorConfig(up, "    limits: {per_key: {rate: 100000/s, burst: 1000000}, categories: {session: {rate: 5/s, burst: 10}}}\n",
		"limits: {per_ip: {rate: 20/s, burst: 60}}\n")).start()
	r, err := simulate.Run(t.Context(), simulation1(g, "mixed"))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Balanced || r.Answers["429"] == 0 {
		t.Errorf("%s", asText(t, r))
	}
	if outcomeOf(r, schemas.CategoryUnknown, schemas.RateLimited) == 0 || outcomeOf(r, schemas.CategorySession, schemas.RateLimited) == 0 {
		t.Errorf("limits on the address and on a category should both show: %s", asText(t, r))
	}
}

// The comparison must notice a proxy that answers 200 for what it threw away.
func TestSimulateFindsALiar(t *testing.T) {
	up := startUpstream(t, relaytest.Options{MaxRequests: 100_000, Key: relaytest.TestKey})
	g := newGateway(t, doorConfig(up, "")).start()
	target, err := url.Parse("http://" + g.public)
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	proxy := httputil.NewSingleHostReverseProxy(target)
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%10 == 0 {
			_, _ = w.Write([]byte("{}"))
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(liar.Close)
	o := simulation1(g, "errors")
	o.DSN.Host = strings.TrimPrefix(liar.URL, "http://")
	r, err := simulate.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	missing := 0
	for _, row := range r.Rows {
		missing += row.Missing
	}
	if r.Balanced || missing != int(n.Load()/10) {
		t.Errorf("%d requests were swallowed, %d items found missing: %s", n.Load()/10, missing, asText(t, r))
	}
}

// The command takes the gateway's address and key from its configuration, and
// its exit code is the verdict.
func TestSimulateCommand(t *testing.T) {
	up := startUpstream(t, relaytest.Options{MaxRequests: 100_000, Key: relaytest.TestKey})
	g := newGateway(t, doorConfig(up, "")).start()
	t.Setenv("BREAKWATER_DATA_DIR", g.dir)
	var out, errs bytes.Buffer
	code := run([]string{"simulate", "--config", g.config, "--scenario", "vitals", "--duration", "1s", "--rate", "200"}, &out, &errs)
	var r simulate.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || code != exitGood || !r.Balanced {
		t.Errorf("exit %d, %v\n%s%s", code, err, out.String(), errs.String())
	}
	text := renderSimulation(&r)
	if !strings.Contains(text, "✓ every item is accounted for") || !strings.Contains(text, "vital") {
		t.Error(text)
	}
	errs.Reset()
	code = run([]string{"simulate", "--dsn", "http://" + testKey + "@" + g.public + "/1", "--metrics", "http://" + g.public + "/nothing"}, &out, &errs)
	if code != exitFault || !strings.Contains(errs.String(), "--metrics") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	if code := run([]string{"simulate", "--scenario", "sunshine"}, &out, &errs); code != exitUsage {
		t.Errorf("an unknown scenario ends with %d", code)
	}
}

func outcomeOf(r *simulate.Report, c schemas.Category, o schemas.Outcome) int {
	for _, row := range r.Rows {
		if row.Category == c {
			return row.Outcomes[o]
		}
	}
	return 0
}

func asText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
