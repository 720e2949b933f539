package vitals

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"breakwater/schemas"
)

// captured is the part of the index of captured requests that says what the
// browser reported, written down when it was captured.
type captured struct {
	Fixtures []struct {
		Dir, SDK, Scenario, Method string
		Bytes                      int
		Vitals                     []struct {
			Name  string
			Value float64
		}
	}
}

func loadIndex(t testing.TB) captured {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(fixtures, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c captured
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// capturedBeacon records one captured web-vitals request.
func (h *harness) capturedBeacon(f fixture) {
	h.t.Helper()
	if len(f.body) == 0 {
		return // a preflight
	}
	b, rejected, err := schemas.DecodeBeacon(f.body, f.header.Get("Content-Type"), nil)
	if err != nil || len(rejected) > 0 {
		h.t.Fatalf("%s: %v, rejected %v", f.dir, err, rejected)
	}
	req := *h.req
	req.Header, req.UserAgent = f.header, string(person([]byte(f.header.Get("User-Agent"))))
	if used := h.Record(&req, b); used != len(b.Vitals) {
		h.t.Errorf("%s: %d of %d entries usable", f.dir, used, len(b.Vitals))
	}
}

// TestEveryVitalTheBrowserReportedIsCountedOnce replays each captured scenario
// of the web-vitals library, twice over, and compares with the index.
func TestEveryVitalTheBrowserReportedIsCountedOnce(t *testing.T) {
	want := map[string]*[webVitals]map[float64]float64{}
	for _, f := range loadIndex(t).Fixtures {
		if !strings.HasPrefix(f.Dir, "web-vitals/") || f.Bytes == 0 {
			continue
		}
		name := path.Dir(f.Dir)
		if want[name] == nil {
			want[name] = &[webVitals]map[float64]float64{}
		}
		for _, v := range f.Vitals {
			k, _ := lookup(v.Name)
			if want[name][k] == nil || f.Scenario == "allchanges" {
				want[name][k] = map[float64]float64{} // one page view, the last report counts
			}
			want[name][k][bucketOf(k, v.Value/specs[k].div)]++
		}
	}
	if len(want) < 10 {
		t.Fatalf("only %d scenarios in the index", len(want))
	}
	for name, counts := range want {
		t.Run(path.Base(name), func(t *testing.T) {
			h := newHarness(t, Config{})
			for range 2 {
				for _, f := range scenario(t, name) {
					h.capturedBeacon(f)
				}
			}
			h.later(time.Hour)
			forms := name == "web-vitals/formdata" || name == "web-vitals/urlencoded"
			for v := range webVitals {
				if forms { // the index has no values of forms
					if n := h.sum(families[v]); n != 1 {
						t.Errorf("%s: %v observations, want 1", specs[v].name, n)
					}
					continue
				}
				if got, want := h.buckets(families[v]), render(counts[v]); got != want {
					t.Errorf("%s: %q, want %q", specs[v].name, got, want)
				}
			}
			if n := h.sum("web_vitals_rejected_total"); n != 0 {
				t.Errorf("%v rejected", n)
			}
		})
	}
}

func TestSentryAndBeaconCountAPageLoadAlike(t *testing.T) {
	for _, name := range []string{"sentry-browser/tracing-stream", "sentry-browser/tracing-static", "web-vitals/beacon-text"} {
		h := newHarness(t, Config{})
		for _, f := range scenario(t, name) {
			if strings.HasPrefix(name, "web-vitals") {
				h.capturedBeacon(f)
			} else {
				h.sentry(f)
			}
		}
		h.later(time.Hour)
		for v := range webVitals {
			if n := h.sum(families[v]); n != 1 {
				t.Errorf("%s: %v observations of %s for one page load", name, n, specs[v].name)
			}
		}
	}
}
