package vitals

import (
	"fmt"
	"net/http"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"breakwater/ingest"
	"breakwater/schemas"
)

const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"

// harness is a recorder with its own registry and a clock that stands still.
type harness struct {
	*Vitals
	t   testing.TB
	reg *prometheus.Registry
	now time.Time
	req *ingest.Request
}

func newHarness(t testing.TB, cfg Config, routes ...string) *harness {
	h := &harness{t: t, reg: prometheus.NewRegistry(), now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	cfg.Now = func() time.Time { return h.now }
	h.Vitals = New(cfg, h.reg)
	h.SetProjects([]Project{{Name: "shop", FromSentry: true, Routes: routes}})
	h.req = &ingest.Request{Project: &ingest.Project{Name: "shop"}, UserAgent: chrome, Header: http.Header{}}
	return h
}

func (h *harness) beacon(route string, vitals ...schemas.Vital) int {
	return h.Record(h.req, &schemas.Beacon{Route: route, Vitals: vitals})
}

func one(name string, value float64, id string) schemas.Vital {
	return schemas.Vital{Name: name, Value: value, HasValue: true, ID: id, NavigationType: "navigate"}
}

// later moves the clock and settles what is due.
func (h *harness) later(d time.Duration) {
	h.now = h.now.Add(d)
	h.Tick(h.now)
}

// sum adds up the values (counters, gauges) or sample counts (histograms) of
// the series of a family whose labels hold all the wanted pairs.
func (h *harness) sum(family string, want ...string) float64 {
	h.t.Helper()
	total := 0.0
	for _, m := range h.series(family, want...) {
		switch {
		case m.Histogram != nil:
			total += float64(m.Histogram.GetSampleCount())
		case m.Counter != nil:
			total += m.Counter.GetValue()
		default:
			total += m.Gauge.GetValue()
		}
	}
	return total
}

func (h *harness) series(family string, want ...string) (found []*dto.Metric) {
	h.t.Helper()
	families, err := h.reg.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != family {
			continue
		}
	next:
		for _, m := range f.Metric {
			for i := 0; i < len(want); i += 2 {
				if label(m, want[i]) != want[i+1] {
					continue next
				}
			}
			found = append(found, m)
		}
	}
	return found
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.Label {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// buckets renders the non-cumulative classic buckets of all series of a family.
func (h *harness) buckets(family string) string {
	counts := map[float64]float64{}
	for _, m := range h.series(family) {
		before := 0.0
		for _, b := range m.Histogram.Bucket {
			n := float64(b.GetCumulativeCount())
			counts[b.GetUpperBound()] += n - before
			before = n
		}
		if over := float64(m.Histogram.GetSampleCount()) - before; over > 0 {
			counts[1e9] += over
		}
	}
	return render(counts)
}

func render(counts map[float64]float64) string {
	var bounds []float64
	for b, n := range counts {
		if n != 0 {
			bounds = append(bounds, b)
		}
	}
	sort.Float64s(bounds)
	var s strings.Builder
	for _, b := range bounds {
		fmt.Fprintf(&s, "%g:%g ", b, counts[b])
	}
	return s.String()
}

// bucketOf is the upper bound of the classic bucket a value falls into.
func bucketOf(v vital, value float64) float64 {
	for _, b := range specs[v].buckets {
		if value <= b {
			return b
		}
	}
	return 1e9
}

var families = [webVitals]string{"web_vitals_lcp_seconds", "web_vitals_inp_seconds", "web_vitals_cls", "web_vitals_fcp_seconds", "web_vitals_ttfb_seconds"}
