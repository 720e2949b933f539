package fleet

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"breakwater/cmd/breakwater/redistest"
	"breakwater/ingest"
)

// An error's whole question: address, key, storm, then quota and rate.
func question() []ingest.Step {
	address := bucket("203.0.113.7/", 1, 1e6, 1e6)
	address.Private = true
	key := bucket("shop:key/", 1, 1e6, 1e6)
	key.After = 0
	storm := stormStep("fp", 1e9, 100)
	storm.After = 1
	items := quota(1e15, 0, 0)
	items.Rate, items.Burst, items.After = 1e6, 1e6, 2
	return []ingest.Step{address, key, storm, items}
}

// The decision on one request with Redis, of callers at a time. trips/op is how
// many round trips one took.
func benchmark(b *testing.B, callers int) {
	s := redistest.Start(b)
	f, err := New(Options{URL: s.URL(), Timeout: 5 * time.Second})
	if err != nil {
		b.Fatal(err)
	}
	f.Start()
	defer f.Close()
	steps := question()
	before := testutil.ToFloat64(f.metrics.trips)
	var failed atomic.Int64
	b.SetParallelism(max(1, callers/2)) // times GOMAXPROCS, which is 2 where these figures are from
	b.ResetTimer()
	work := func(next func() bool) {
		for next() {
			if _, ok := f.Ask(steps); !ok {
				failed.Add(1)
			}
		}
	}
	if callers == 1 {
		work(b.Loop)
	} else {
		b.RunParallel(func(pb *testing.PB) { work(pb.Next) })
	}
	b.StopTimer()
	if n := failed.Load(); n > 0 {
		b.Errorf("%d were not answered", n)
	}
	b.ReportMetric((testutil.ToFloat64(f.metrics.trips)-before)/float64(b.N), "trips/op")
}

func BenchmarkAsk1(b *testing.B)   { benchmark(b, 1) }
func BenchmarkAsk16(b *testing.B)  { benchmark(b, 16) }
func BenchmarkAsk128(b *testing.B) { benchmark(b, 128) }

// Asking while Redis is away.
func BenchmarkAway(b *testing.B) {
	s := redistest.Start(b)
	s.Kill()
	f, err := New(Options{URL: s.URL()})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	steps := question()
	for b.Loop() {
		if _, ok := f.Ask(steps); ok {
			b.Fatal("answered")
		}
	}
}
