package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// heapGrowth is how far the heap may grow between two collections, at least,
// in bytes. The gateway keeps little alive, 10 MiB or so, and makes 40 KiB of
// garbage for a request: at Go's own rule, a collection when the heap has
// doubled, it would collect after every few hundred requests. With more alive,
// as behind a long outage, Go's rule gives more room than this and is left
// alone, so a backlog takes no more memory than without.
const heapGrowth = 48 << 20

// tuneCollector holds the garbage collector to heapGrowth, unless the
// operator's GOGC or GOMEMLIMIT says otherwise, until stop is called.
func tuneCollector() (stop func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	var stopped atomic.Bool
	var percent atomic.Int64 // in force
	var after func(struct{})
	after = func(struct{}) {
		if stopped.Load() {
			return
		}
		if want := gcPercent(liveHeap()); want < percent.Load()*4/5 || want > percent.Load()*6/5 { // changing it stops the world
			debug.SetGCPercent(int(want))
			percent.Store(want)
		}
		runtime.AddCleanup(new([64]byte), after, struct{}{}) // comes again with the next collection
	}
	percent.Store(100)
	after(struct{}{})
	return func() { stopped.Store(true) }
}

// gcPercent is the GOGC that lets a heap of so many living bytes grow by
// heapGrowth, and never less than Go's default.
func gcPercent(live uint64) int64 {
	return min(max(100*heapGrowth/int64(max(live, 1<<20)), 100), 1000)
}

// liveHeap is what the last collection found alive, in bytes.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return heapGrowth
	}
	return sample[0].Value.Uint64()
}
