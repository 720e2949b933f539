package vitals

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// thousandSets records a thousand label sets of every web vital, with enough
// samples that native buckets are many.
func thousandSets(tb testing.TB) *harness {
	const sets = 1000
	rng := rand.New(rand.NewPCG(1, 1))
	h := newHarness(tb, Config{SeriesPerProject: 4 * sets})
	for r := range sets {
		route := fmt.Sprintf("/shop/%c%c%c", 'a'+r/676%26, 'a'+r/26%26, 'a'+r%26)
		for v := range webVitals {
			for range 50 {
				x := specs[v].good * specs[v].div * (0.2 + rng.ExpFloat64())
				h.beacon(route, one(specs[v].name, min(x, specs[v].max), ""))
			}
		}
	}
	return h
}

func TestThousandSetsAreScraped(t *testing.T) {
	h := thousandSets(t)
	for _, family := range families {
		if n := len(h.series(family)); n != 1000 {
			t.Errorf("%s has %d label sets, want 1000", family, n)
		}
	}
}

// BenchmarkScrape is what one scrape of a thousand label sets per vital costs,
// as Prometheus asks for it. cpu-ms/op is time of all cores together.
func BenchmarkScrape(b *testing.B) {
	h := thousandSets(b)
	handler := promhttp.HandlerFor(h.reg, promhttp.HandlerOpts{EnableOpenMetrics: true})
	const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
	for _, c := range []struct{ name, accept, encoding string }{
		{"protobuf", protobuf, ""}, {"protobuf gzip", protobuf, "gzip"}, {"text", "text/plain;version=0.0.4", ""}, {"text gzip", "text/plain;version=0.0.4", "gzip"},
	} {
		b.Run(c.name, func(b *testing.B) {
			req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			req.Header.Set("Accept", c.accept)
			req.Header.Set("Accept-Encoding", c.encoding)
			b.ReportAllocs()
			before := cpuSeconds(b)
			size := 0
			for b.Loop() {
				w := &discard{header: http.Header{}}
				if handler.ServeHTTP(w, req); w.status >= 300 {
					b.Fatal(w.status)
				}
				size = w.n
			}
			b.ReportMetric(1000*(cpuSeconds(b)-before)/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(size)/1e6, "MB")
		})
	}
}

// cpuSeconds is what this process has used of all cores.
func cpuSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// discard counts a response and keeps none of it.
type discard struct {
	header http.Header
	status int
	n      int
}

func (d *discard) Header() http.Header { return d.header }

func (d *discard) WriteHeader(status int) { d.status = status }

func (d *discard) Write(p []byte) (int, error) { d.n += len(p); return len(p), nil }
