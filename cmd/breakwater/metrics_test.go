package main

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"breakwater/cmd/breakwater/redistest"
)

var update = flag.Bool("update", false, "write testdata/metrics.txt anew")

const metricsFile = "testdata/metrics.txt"

// Dashboards and alerts of other people name these metrics: a name, type or
// label that changes shows here, and belongs in the CHANGELOG.
func TestMetricNames(t *testing.T) {
	families := exercised(t)
	var b strings.Builder
	for _, f := range families {
		labels := map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
		}
		names := make([]string, 0, len(labels))
		for l := range labels {
			names = append(names, l)
		}
		slices.Sort(names)
		fmt.Fprintf(&b, "%s %s {%s}\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(names, ", "))
	}
	if *update {
		if err := os.MkdirAll(filepath.Dir(metricsFile), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(metricsFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(metricsFile)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(b.String(), "\n")); d != "" {
		t.Errorf("metrics differ from %s (go test ./cmd/breakwater -run MetricNames -update):\n%s", metricsFile, d)
	}
}

// The names, types, units and help texts are as Prometheus wants them.
func TestMetricsLint(t *testing.T) {
	problems, err := promlint.NewWithMetricFamilies(exercised(t)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// What an alert or a rate() asks for exists before the first request: a
// missing series is not 0.
func TestZeroValuesFromTheStart(t *testing.T) {
	a, _ := inProcess(t, oneProject)
	have := map[string]bool{}
	for _, s := range seriesOf(t, prometheus.Gatherers{a.registry, a.pages}) {
		have[s] = true
	}
	for _, want := range []string{
		"breakwater_build_info version=" + versionText(),
		"breakwater_config_reload_success",
		"breakwater_http_panics_total",
		"breakwater_http_request_duration_seconds endpoint=envelope",
		"breakwater_http_requests_total code=200 endpoint=envelope method=POST",
		"breakwater_http_requests_total code=204 endpoint=vitals method=POST",
		"breakwater_items_received_total category=error project=shop",
		"breakwater_items_in_spool category=error project=shop",
		"breakwater_items_outcome_total category=error outcome=accepted project=shop reason=",
		"breakwater_items_outcome_total category=error outcome=delivered project=shop reason=",
		"breakwater_items_outcome_total category=session outcome=dead_letter project=shop reason=",
		"breakwater_items_outcome_total category=unknown outcome=unauthorized project=shop reason=",
		"breakwater_relay_dead_letters destination=shop/sentry",
		"breakwater_spool_capacity_bytes",
		"breakwater_spool_items destination=sentry project=shop",
		"breakwater_spool_oldest_age_seconds destination=sentry project=shop",
		"breakwater_storm_fingerprints project=shop",
		"breakwater_storm_suppressed_total project=shop",
		"web_vitals_folded_total project=shop",
		"web_vitals_late_updates_total project=shop vital=LCP",
	} {
		if !have[want] {
			t.Errorf("%s is missing", want)
		}
	}
}

// exercised is every family of a gateway that had one of everything: traffic
// in, refused, settled and delivered.
func exercised(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	u := self(t)
	a, _ := inProcess(t, sharing(redistest.Start(t), "")+strings.Replace(oneProject, "    vitals:", "    upstreams: [{dsn: \""+u.DSN("7")+"\"}]\n    vitals:", 1))
	send := func(path, body string, status int) {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		if strings.HasSuffix(path, "envelope/") {
			r.URL.RawQuery = "sentry_key=" + testKey
		} else {
			r.URL.RawQuery = "key=" + testKey
		}
		r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36")
		w := httptest.NewRecorder()
		a.edge.ServeHTTP(w, r)
		if w.Code != status {
			t.Fatalf("%s was answered %d %s", path, w.Code, w.Body)
		}
	}
	started := time.Now().UTC().Format(time.RFC3339)
	send("/api/1/envelope/", anEnvelope, 200)
	send("/api/1/envelope/", "nonsense", 400)
	send("/api/1/envelope/", "{}\n{\"type\":\"session\"}\n"+`{"sid":"7c7b6585-f901-4351-bf8d-02711b721929","did":"someone","init":true,"started":"`+started+`","status":"ok","errors":0,"attrs":{"release":"shop@1.4.2","environment":"production"}}`, 200)
	send("/api/1/envelope/", "{}\n{\"type\":\"client_report\"}\n"+`{"timestamp":"`+started+`","discarded_events":[{"reason":"sample_rate","category":"error","quantity":3}]}`, 200)
	send("/api/1/crash/", `{"platform":"javascript","message":"boom"}`, 200)
	var beacons []string
	for _, v := range []string{
		`"name":"LCP","value":1834.2`, `"name":"INP","value":80`, `"name":"CLS","value":0.02`, `"name":"FCP","value":900`, `"name":"TTFB","value":300`,
		`"name":"app_start_cold","value":900`, `"name":"ttid","value":400`, `"name":"ttfd","value":800`,
		`"name":"frames_total","value":600`, `"name":"frames_slow","value":6`, `"name":"frames_frozen","value":1`,
		`"name":"stall_count","value":2`, `"name":"stall_longest","value":300`, `"name":"nonsense","value":1`,
	} {
		beacons = append(beacons, fmt.Sprintf(`{%s,"id":"v5-%d-1","navigationType":"navigate"}`, v, len(beacons)))
	}
	send("/api/1/vitals/", `{"route":"/product/:id","release":"shop@1.4.2","device":"mobile","os":"ios","vitals":[`+strings.Join(beacons, ",")+"]}", 204)
	a.vitals.Flush()
	eventually(t, time.Minute, func() error {
		if n := a.spool.Stats().Records; n > 0 {
			return fmt.Errorf("%d records were not delivered", n)
		}
		return nil
	})
	families, err := prometheus.Gatherers{a.registry, a.pages}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool {
		return strings.HasPrefix(f.GetName(), "go_") || strings.HasPrefix(f.GetName(), "process_") // not ours
	})
}
