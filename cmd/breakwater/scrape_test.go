package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/console"
	"breakwater/ingest"
	"breakwater/ingest/vitals"
	"breakwater/schemas"
)

// BenchmarkScrape is what one scrape of a thousand label sets per vital costs,
// as Prometheus asks for it: when nothing was measured since the last one, when
// one series in ten was, and when all were, also with a trace for each poor value, which
// makes exemplars. "library" is the same series by Prometheus' own handler. cpu-ms/op is
// the time of all cores together.
func BenchmarkScrape(b *testing.B) {
	const sets = 1000
	rng := rand.New(rand.NewPCG(1, 1))
	reg, pages := prometheus.NewRegistry(), prometheus.NewRegistry()
	v := vitals.New(vitals.Config{SeriesPerProject: 4 * sets, Pages: pages}, reg)
	v.SetProjects([]vitals.Project{{Name: "shop"}})
	req := &ingest.Request{Project: &ingest.Project{Name: "shop"}, Header: http.Header{}, UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"}
	good := map[string]float64{"LCP": 2500, "INP": 200, "CLS": 0.1, "FCP": 1800, "TTFB": 800}
	trace := ""
	measure := func(every int) {
		for r := 0; r < sets; r += every {
			bc := &schemas.Beacon{TraceID: trace, Route: fmt.Sprintf("/shop/%c%c%c", 'a'+r/676%26, 'a'+r/26%26, 'a'+r%26)}
			for name, g := range good {
				bc.Vitals = append(bc.Vitals, schemas.Vital{Name: name, Value: min(g*(0.2+rng.ExpFloat64()), 10*g), HasValue: true, NavigationType: "navigate"})
			}
			v.Record(req, bc)
		}
	}
	for range 50 {
		measure(1)
	}
	ours := console.New(console.Options{Gatherer: reg, Exposer: v, Pages: pages, Token: func() string { return "" }, Logger: zerolog.Nop()})
	library := promhttp.HandlerFor(prometheus.Gatherers{reg, pages}, promhttp.HandlerOpts{EnableOpenMetrics: true})
	const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
	for _, c := range []struct {
		name, accept, encoding string
		handler                http.Handler
		every                  int // one series in how many changes; 0 for none
		trace                  string
	}{
		{"protobuf/none changed", protobuf, "", ours, 0, ""},
		{"protobuf/1 in 10 changed", protobuf, "", ours, 10, ""},
		{"protobuf/all changed", protobuf, "", ours, 1, ""},
		{"protobuf/all changed, traced", protobuf, "", ours, 1, strings.Repeat("ab", 16)},
		{"protobuf/library", protobuf, "", library, 1, ""},
		{"protobuf gzip/none changed", protobuf, "gzip", ours, 0, ""},
		{"protobuf gzip/1 in 10 changed", protobuf, "gzip", ours, 10, ""},
		{"protobuf gzip/all changed", protobuf, "gzip", ours, 1, ""},
		{"protobuf gzip/library", protobuf, "gzip", library, 1, ""},
		{"text gzip/1 in 10 changed", "text/plain;version=0.0.4", "gzip", ours, 10, ""},
		{"text gzip/library", "text/plain;version=0.0.4", "gzip", library, 10, ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.Header.Set("Accept", c.accept)
			r.Header.Set("Accept-Encoding", c.encoding)
			c.handler.ServeHTTP(&discard{header: http.Header{}}, r)
			b.ReportAllocs()
			cpu, size := 0.0, 0
			trace = c.trace
			for b.Loop() {
				if c.every > 0 {
					b.StopTimer()
					measure(c.every)
					b.StartTimer()
				}
				before := cpuSeconds(b)
				w := &discard{header: http.Header{}}
				if c.handler.ServeHTTP(w, r); w.status >= 300 {
					b.Fatal(w.status)
				}
				cpu += cpuSeconds(b) - before
				size = w.n
			}
			b.ReportMetric(1000*cpu/float64(b.N), "cpu-ms/op")
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
