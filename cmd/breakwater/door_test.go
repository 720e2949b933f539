package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

// What the tests of the door share: a gateway with one project, an upstream
// that records, errors that are the same or different as a test wants.

var startUpstream = relaytest.StartUpstream

// doorConfig is one project in front of an upstream; more are further keys of
// the project. Limits per address and key are out of the way unless more or
// head say otherwise.
func doorConfig(up *relaytest.Upstream, more string, head ...string) string {
	top := "limits: {per_ip: {rate: 100000/s, burst: 1000000}}\n"
	if len(head) > 0 {
		top = strings.Join(head, "")
	}
	if !strings.Contains(more, "per_key") {
		if strings.Contains(more, "    limits: {") {
			more = strings.Replace(more, "    limits: {", "    limits: {per_key: {rate: 100000/s, burst: 1000000}, ", 1)
		} else {
			more += "\n    limits: {per_key: {rate: 100000/s, burst: 1000000}}\n"
		}
	}
	return `server: {listen: "LISTEN", admin_listen: "ADMIN"}
spool: {dir: "DATA/spool", min_free: 0B}
` + top + `projects:
  - id: 1
    name: shop
    keys: [{public: ` + testKey + `, name: web}]
    upstreams: [{name: sentry, type: sentry, dsn: "` + up.DSN("5") + `"}]
` + strings.TrimLeft(more, "\n")
}

func (g *gateway) envelopeURL() string {
	return "http://" + g.public + "/api/1/envelope/?sentry_version=7&sentry_key=" + testKey
}

// letters writes a number without digits: fingerprints fold those.
func letters(n int) string {
	s := ""
	for {
		s = string(rune('a'+n%26)) + s
		if n /= 26; n == 0 {
			return "q" + s
		}
	}
}

// errorEnvelope is an error with an exception of the given type and release.
// n makes its event id.
func errorEnvelope(t testing.TB, n int, kind, release string) string {
	t.Helper()
	id := fmt.Sprintf("%032x", n+1)
	payload, err := json.Marshal(map[string]any{
		"event_id": id, "platform": "javascript", "level": "error", "release": release, "environment": "production",
		"exception": map[string]any{"values": []any{map[string]any{
			"type": kind, "value": "something failed",
			"stacktrace": map[string]any{"frames": []any{
				map[string]any{"filename": "https://shop.example/assets/app.js", "function": "submit", "lineno": 10, "colno": n, "in_app": true},
			}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return `{"event_id":"` + id + "\"}\n{\"type\":\"event\"}\n" + string(payload)
}

const sessionEnvelope = `{"sent_at":"2026-11-24T04:00:00.000Z"}
{"type":"session"}
{"sid":"9ec79c33ec9942ab8353589fcb2e04dc","init":true,"started":"2026-11-24T04:00:00.000Z","timestamp":"2026-11-24T04:00:00.000Z","status":"ok","errors":0,"attrs":{"release":"shop@1","environment":"production"}}`

// emptySpool is nil when everything was delivered.
func (g *gateway) emptySpool() error {
	if n := sumSeries(g.scrape(), "breakwater_items_in_spool{"); n != 0 {
		return fmt.Errorf("%v items are in the spool", n)
	}
	return nil
}

// outcomes adds up the ledger's outcomes of the given labels, written
// name="value".
func (g *gateway) outcomes(labels ...string) float64 {
	g.t.Helper()
	return sumSeries(g.scrape(), "breakwater_items_outcome_total{", labels...)
}

// imbalance is what the ledger of a scrape is off by; 0 at rest.
func imbalance(text string) float64 {
	ends := sumSeries(text, "breakwater_items_outcome_total{") - sumSeries(text, "breakwater_items_outcome_total{", `outcome="accepted"`)
	return sumSeries(text, "breakwater_items_received_total{") + sumSeries(text, "breakwater_items_recovered{") +
		sumSeries(text, "breakwater_items_requeued_total{") - ends - sumSeries(text, "breakwater_items_in_spool{")
}

// closed holds the ledger to its rule once nothing is on its way between two of its
// counters any more: the gateway's own reports and probes come when they like.
func (g *gateway) closed(t *testing.T) {
	t.Helper()
	eventually(t, 20*time.Second, func() error {
		if off := imbalance(g.scrape()); off != 0 {
			return fmt.Errorf("the ledger is off by %v", off)
		}
		return nil
	})
}

// rss is what the process uses now, and at most since it started or since
// forgetPeak, in bytes.
func (g *gateway) rss() (now, peak int64) {
	g.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		g.t.Fatal(err)
	}
	for _, line := range bytes.Split(status, []byte("\n")) {
		f := strings.Fields(string(line))
		if len(f) < 2 {
			continue
		}
		kb, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			now = kb << 10
		case "VmHWM:":
			peak = kb << 10
		}
	}
	return now, peak
}

// forgetPeak makes the kernel measure the peak anew.
func (g *gateway) forgetPeak() {
	g.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", g.cmd.Process.Pid), []byte("5"), 0); err != nil {
		g.t.Logf("the peak before counts too: %v", err)
	}
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// quantile of unsorted durations is not needed anywhere hot.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[min(int(float64(len(sorted))*q), len(sorted)-1)]
}
