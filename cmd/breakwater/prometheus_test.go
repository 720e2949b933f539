package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

// bounds are the published buckets, written down here once more so that this
// test does not take the code's word for them.
var bounds = map[string]string{
	"LCP":  "0.5 0.8 1 1.25 1.5 1.75 2 2.25 2.5 2.75 3 3.5 4 5 6 8 10 15 30 60",
	"FCP":  "0.2 0.4 0.6 0.8 1 1.2 1.4 1.6 1.8 2 2.25 2.5 3 3.5 4 5 8 15 30 60",
	"TTFB": "0.05 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1 1.2 1.5 1.8 2.5 4 8 15 30 60",
	"INP":  "0.016 0.024 0.04 0.056 0.08 0.104 0.128 0.152 0.176 0.2 0.224 0.256 0.3 0.4 0.5 0.75 1 2 5 60",
	"CLS":  "0 0.001 0.005 0.01 0.025 0.05 0.075 0.1 0.125 0.15 0.2 0.25 0.3 0.4 0.5 0.75 1 2",
	"cold": "0.4 0.8 1.2 1.6 2 2.5 3 4 5 7 10 20 60",
}

// bound is the bucket a value belongs to.
func bound(t *testing.T, vital string, value float64) float64 {
	t.Helper()
	for _, word := range strings.Fields(bounds[vital]) {
		b, err := strconv.ParseFloat(word, 64)
		if err != nil {
			t.Fatal(err)
		}
		if value <= b {
			return b
		}
	}
	return math.Inf(1)
}

var webFamilies = map[string]string{
	"LCP": "web_vitals_lcp_seconds", "INP": "web_vitals_inp_seconds", "CLS": "web_vitals_cls", "FCP": "web_vitals_fcp_seconds", "TTFB": "web_vitals_ttfb_seconds",
}

// measured is a project of the test below and what Prometheus must show of it.
type measured struct {
	name, key string
	id        int
	prefix    string // of its fixtures' folders
	want      map[string]map[float64]float64
	soft      map[string]float64
}

// TestCapturedVitalsInPrometheus sends what browsers and phones were seen to
// send to a gateway, and asks a real Prometheus what it scraped: every vital
// that was reported (index.json) is there once, in its bucket.
func TestCapturedVitalsInPrometheus(t *testing.T) {
	projects := capturedProjects(t)
	var config strings.Builder
	// The pages were driven by a headless browser, and some late requests say so.
	config.WriteString("server: {listen: \"LISTEN\", admin_listen: \"ADMIN\"}\nspool: {dir: \"DATA/spool\", min_free: 0B}\n" +
		"vitals: {settle: 1s, count_bots: true}\nlimits: {per_ip: {rate: 100000/s, burst: 100000}}\nprojects:\n")
	for _, p := range projects {
		fmt.Fprintf(&config, "  - {id: %d, name: %s, keys: [{public: %s}]}\n", p.id, p.name, p.key)
	}
	g := newGateway(t, config.String()).start()
	prom := startPrometheus(t, debianPrometheus(t), "", []string{g.private})
	for _, p := range projects {
		for _, f := range loadFixtures(t, func(f fixture) bool { return strings.HasPrefix(f.Dir, p.prefix+"/") && f.Method == http.MethodPost }) {
			sendCaptured(t, g, p, f)
		}
	}
	for _, p := range projects {
		t.Run(p.name, func(t *testing.T) {
			eventually(t, 2*time.Minute, func() error { return p.check(prom) })
		})
	}
}

// check compares what Prometheus knows of a project with what was sent.
func (p *measured) check(prom *promServer) error {
	for vital, want := range p.want {
		family, matchers := webFamilies[vital], fmt.Sprintf("project=%q", p.name)
		if vital == "cold" {
			family, matchers = "mobile_app_start_seconds", matchers+`, type="cold"`
		}
		got, err := prom.buckets(family, matchers)
		if err != nil {
			return err
		}
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			return fmt.Errorf("%s %s: buckets %s, want %s", p.name, vital, g, w)
		}
		n, err := prom.value(fmt.Sprintf("sum(web_vitals_ratings_total{project=%q, vital=%q})", p.name, vital))
		if total := sum(want); err != nil || vital != "cold" && n != total {
			return fmt.Errorf("%s %s: %v ratings, want %v (%w)", p.name, vital, n, total, err)
		}
	}
	if len(p.want) == 0 { // forms: the index does not read their values
		if n, err := prom.value(fmt.Sprintf("sum(web_vitals_ratings_total{project=%q})", p.name)); err != nil || n != float64(len(webFamilies)) {
			return fmt.Errorf("%s: %v ratings, want one of each vital (%w)", p.name, n, err)
		}
	}
	for vital, want := range p.soft {
		n, err := prom.value(fmt.Sprintf("sum(web_vitals_navigations_total{project=%q, vital=%q, navigation_type=\"soft-navigation\"})", p.name, vital))
		if err != nil || n != want {
			return fmt.Errorf("%s %s: %v of soft navigations, want %v (%w)", p.name, vital, n, want, err)
		}
	}
	return nil
}

// capturedProjects gives each captured scenario a project of its own, with what
// the index says the browser reported.
func capturedProjects(t *testing.T) []*measured {
	t.Helper()
	var list []*measured
	byPrefix := map[string]*measured{}
	project := func(prefix string) *measured {
		p := byPrefix[prefix]
		if p == nil {
			id := 1000 + len(list)
			p = &measured{
				name: strings.ReplaceAll(prefix, "/", "-"), key: fmt.Sprintf("%032x", id), id: id, prefix: prefix,
				want: map[string]map[float64]float64{}, soft: map[string]float64{},
			}
			byPrefix[prefix], list = p, append(list, p)
		}
		return p
	}
	reported := 0
	for _, f := range loadFixtures(t, func(f fixture) bool { return f.Method == http.MethodPost }) {
		prefix := path.Dir(f.Dir)
		switch {
		case strings.HasPrefix(prefix, "web-vitals/"), strings.HasPrefix(prefix, "sentry-browser/tracing-"), prefix == "sentry-react-native/bridge-transaction":
		default:
			continue
		}
		p := project(prefix)
		if f.Vitals == nil {
			continue
		}
		raw, err := json.Marshal(f.Vitals)
		if err != nil {
			t.Fatal(err)
		}
		var vitals []struct {
			Name  string
			Value float64
		}
		if err := json.Unmarshal(raw, &vitals); err != nil {
			t.Fatal(err)
		}
		// After its third request this page had moved on without loading.
		soft := f.Dir == "sentry-browser/tracing-stream/003" || f.Dir == "sentry-browser/tracing-stream/005"
		for _, v := range vitals {
			name, value := strings.ToUpper(v.Name), v.Value
			switch {
			case v.Name == "app_start_cold":
				name = "cold"
			case webFamilies[name] == "":
				continue // the first paint, connections: not among the vitals
			}
			if name != "CLS" {
				value /= 1000
			}
			reported++
			if soft {
				p.soft[name]++
				continue
			}
			if p.want[name] == nil || strings.HasSuffix(prefix, "/allchanges") {
				p.want[name] = map[float64]float64{} // one page that reported every change: the last one counts
			}
			p.want[name][bound(t, name, value)]++
		}
	}
	if len(list) != 14 || reported < 50 {
		t.Fatalf("%d scenarios with %d vitals in the index", len(list), reported)
	}
	t.Logf("%d scenarios, %d vitals in the index", len(list), reported)
	return list
}

// sendCaptured sends one captured request as its SDK did, to another project.
func sendCaptured(t *testing.T, g *gateway, p *measured, f fixture) {
	t.Helper()
	target, want := fmt.Sprintf("/api/%d/envelope/?sentry_key=%s", p.id, p.key), http.StatusOK
	if strings.HasPrefix(p.prefix, "web-vitals/") {
		_, query, _ := strings.Cut(f.Path, "?")
		target, want = fmt.Sprintf("/api/%d/vitals/?key=%s&%s", p.id, p.key, query), http.StatusNoContent
	}
	req, err := http.NewRequest(f.Method, "http://"+g.public+target, bytes.NewReader(f.body(t)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = f.headers(t)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != want {
		t.Errorf("%s: answered %d %s", f.Dir, resp.StatusCode, answer)
	}
}

func sortedKeys(m map[float64]float64) []float64 { return slices.Sorted(maps.Keys(m)) }

func sum(m map[float64]float64) (total float64) {
	for _, n := range m {
		total += n
	}
	return total
}

// wrap is a page view's vitals under a route, for one device.
func wrap(route, device, release string, vitals ...string) string {
	return fmt.Sprintf(`{"route":%q,"device":%q,"release":%q,"vitals":[%s]}`, route, device, release, strings.Join(vitals, ","))
}

// TestPromQLShapes asks what people ask on call, in the words of the README and
// the dashboards, while traffic comes in: every expression has data, none is
// empty because a name or a label is not what it says.
func TestPromQLShapes(t *testing.T) { checkShapes(t, debianPrometheus(t), "") }

func checkShapes(t *testing.T, binary, scrape string) {
	t.Helper()
	up := relaytest.NewUpstream(relaytest.Options{})
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	g := newGateway(t, oneProject+`    upstreams: [{name: sentry, type: sentry, dsn: "`+up.DSN("5")+`"}]
vitals: {settle: 1s}
limits: {per_ip: {rate: 100000/s, burst: 100000}}
`).start()
	prom := startPrometheus(t, binary, scrape, []string{g.private})
	stop := traffic(t, g)
	defer stop()
	for name, expr := range map[string]string{
		"share good":       `sum by (project, route) (increase(web_vitals_ratings_total{vital="LCP", rating="good"}[1m])) / sum by (project, route) (increase(web_vitals_ratings_total{vital="LCP"}[1m]))`,
		"p75":              `histogram_quantile(0.75, sum by (le, project) (rate(web_vitals_lcp_seconds_bucket{device="mobile"}[1m])))`,
		"share at a bound": `sum by (project) (rate(web_vitals_lcp_seconds_bucket{le="2.5"}[1m])) / sum by (project) (rate(web_vitals_lcp_seconds_count[1m]))`,
		"a whole bound":    `sum by (project) (rate(web_vitals_lcp_seconds_bucket{le=~"4(\\.0)?"}[1m])) / sum by (project) (rate(web_vitals_lcp_seconds_count[1m]))`,
		"worst routes":     `topk(10, sum by (route) (increase(web_vitals_ratings_total{vital="INP", rating="poor"}[1m])))`,
		"by release":       `sum by (release, rating) (increase(web_vitals_releases_total{vital="LCP"}[1m]))`,
		"by navigation":    `sum by (navigation_type) (increase(web_vitals_navigations_total{vital="LCP", navigation_type="navigate"}[1m]))`,
		"crash-free":       `1 - sum by (project) (increase(release_sessions_total{status="crashed"}[1m])) / sum by (project) (increase(release_sessions_total{status="started"}[1m]))`,
		"errors":           `sum by (release, handled) (increase(release_errors_total[1m]))`,
		"spool in time":    `(sum(breakwater_spool_capacity_bytes) - sum(breakwater_spool_bytes)) / clamp_min(sum(deriv(breakwater_spool_bytes[1m])), 1)`,
		"accepting":        `histogram_quantile(0.99, sum by (le) (rate(breakwater_http_request_duration_seconds_bucket[1m])))`,
		"fsync":            `histogram_quantile(0.99, sum by (le) (rate(breakwater_spool_fsync_duration_seconds_bucket[1m])))`,
	} {
		t.Run(name, func(t *testing.T) { prom.expect(t, expr, func(v float64) bool { return !math.IsNaN(v) && v >= 0 }) })
	}
	// The recorded series are there too, and say what the traffic was: three
	// page views in four are good, one session in ten crashes.
	for expr, want := range map[string]float64{
		`project_environment_device_vital:web_vitals:good_share1h{device="mobile", vital="LCP"}`: 0.75,
		`project_release_vital:web_vitals:good_share1h{vital="LCP"}`:                             0.75,
		`project_environment_release:release_sessions:crash_free_ratio1h`:                        0.9,
		`project_environment_release:release_users:crash_free_ratio`:                             0.9,
	} {
		t.Run(expr, func(t *testing.T) { prom.expect(t, expr, func(v float64) bool { return math.Abs(v-want) < 0.05 }) })
	}
	stop()
	t.Run("ledger", func(t *testing.T) {
		eventually(t, 2*time.Minute, func() error {
			for _, expr := range []string{`breakwater:ledger_difference{project="shop"}`, `sum(breakwater_items_in_spool{project="shop"})`} {
				if v, err := prom.value(expr + " + 1"); err != nil || v != 1 {
					return fmt.Errorf("%s is %v, want 0 (%w)", expr, v-1, err)
				}
			}
			return nil
		})
	})
	t.Run("rules", func(t *testing.T) { prom.checkRules(t) })
}

// expect waits until an expression has data and every value of it is right.
func (p *promServer) expect(t *testing.T, expr string, right func(float64) bool) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		list, err := p.query(expr)
		if err != nil {
			return err
		}
		for _, s := range list {
			if !right(s.Value) {
				return fmt.Errorf("%s: %v is %v", expr, s.Labels, s.Value)
			}
		}
		if len(list) == 0 {
			return fmt.Errorf("%s: no data", expr)
		}
		return nil
	})
}

// checkRules fails for a rule that Prometheus could not evaluate, and for an alert
// that does not go away: a scrape that a busy machine makes late is one for a second.
func (p *promServer) checkRules(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, p.faultyRules)
}

func (p *promServer) faultyRules() error {
	resp, err := http.Get(p.url + "/api/v1/rules")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError, State string }
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	n := 0
	var faults []error
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			if n++; r.Health != "ok" || (r.State == "firing" || r.State == "pending") && r.Name != "BreakwaterWatchdog" {
				faults = append(faults, fmt.Errorf("%s: %s %s %s", r.Name, r.Health, r.State, r.LastError))
			}
		}
	}
	if n == 0 {
		return errors.New("no rules are loaded")
	}
	return errors.Join(faults...)
}

// traffic sends page views (three in four good), sessions (one in ten crashes)
// and errors until the returned function is called.
func traffic(t *testing.T, g *gateway) (stop func()) {
	t.Helper()
	done, ended := make(chan struct{}), make(chan error, 1)
	send := func(url, body string) error {
		resp, err := http.Post(url, "text/plain", strings.NewReader(body))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode >= 300 {
			return fmt.Errorf("%s answered %s", url, resp.Status)
		}
		return nil
	}
	beacons, envelopes := "http://"+g.public+"/api/1/vitals/?key="+testKey, "http://"+g.public+"/api/1/envelope/?sentry_key="+testKey
	go func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				ended <- nil
				return
			case <-time.After(20 * time.Millisecond): // a pace, not a wait for something
			}
			lcp, inp := 2500, 200
			if i%4 == 0 {
				lcp, inp = 4001, 501
			}
			err := send(beacons, wrap("/product/:id", "mobile", "shop@2",
				fmt.Sprintf(`{"name":"LCP","value":%d,"id":"l%d","navigationType":"navigate"}`, lcp, i),
				fmt.Sprintf(`{"name":"INP","value":%d,"id":"i%d","navigationType":"navigate"}`, inp, i)))
			if err == nil {
				status := "ok"
				if i%10 == 0 {
					status = "crashed"
				}
				err = send(envelopes, fmt.Sprintf("{}\n{\"type\":\"session\"}\n{\"sid\":\"%032x\",\"did\":\"user-%d\",\"init\":true,\"started\":%q,\"status\":%q,\"errors\":0,\"attrs\":{\"release\":\"shop@2\",\"environment\":\"production\"}}",
					i+1, i, time.Now().UTC().Format(time.RFC3339Nano), status))
			}
			if err == nil {
				err = send(envelopes, strings.Replace(anEnvelope, "9ec79c33", fmt.Sprintf("%08x", i), 1))
			}
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(done)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
