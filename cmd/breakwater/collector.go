package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// restRoom is how much the heap may grow between two collections while little
	// is alive, in bytes. The gateway keeps 10 MiB or so alive, and makes some
	// 28 KB of garbage at the door for an event (BenchmarkDoor): Go's own rule, to collect whenever what is
	// alive has doubled, would collect after every few hundred requests. More than
	// this would show in what hostile requests can make the process take.
	restRoom = 32 << 20
	// roomMemory is for how long what is alive must stay before it gives the heap
	// more room.
	roomMemory = 5 * time.Second
	// steady is by how many hundredths the percentage may be off before it is set
	// anew, which stops everything for some microseconds.
	steady = 10
	// spareRoom is what stacks and the like may grow between two collections
	// before the limit of memory calls the next one early, in bytes.
	spareRoom = 6 << 20
	// limitStep is by how much that limit may be off before it is set anew, in
	// bytes.
	limitStep = 2 << 20
)

// keepRoom tells the collector after each collection how far the heap may grow
// until the next, until ctx ends: by restRoom, or, where more than that stays
// alive (behind a long outage), by as much as was alive all the time of the
// last seconds. Go's rule, as much as is alive now, would give a burst of large
// requests as much room again as it takes itself.
//
// It does nothing when the operator's GOGC or GOMEMLIMIT has decided already.
func keepRoom(ctx context.Context, now func() time.Time) error {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	collected := make(chan struct{}, 1)
	afterCollections(ctx, collected)
	percent := int(readMetrics("/gc/gogc:percent")[0])
	defer debug.SetGCPercent(percent)
	limit := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(limit)
	var low lowest
	for {
		live, roots := liveHeap()
		if live > 0 {
			low.see(live, now())
			room := max(restRoom, low.value())
			if want := int64(beside() + limitFor(live, roots, room)); max(want-limit, limit-want) > limitStep {
				debug.SetMemoryLimit(want)
				limit = want
			}
			if want := roomPercent(live, roots, room); want*100 < percent*(100-steady) || want*100 > percent*(100+steady) {
				debug.SetGCPercent(want)
				percent = want
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-collected:
		}
	}
}

// roomPercent is the collector's percentage that lets the heap grow by room:
// it counts from what is alive and from the roots, stacks and globals.
func roomPercent(live, roots, room uint64) int {
	return int(max(room*100/max(live+roots, 1<<20), 10))
}

// limitFor is how much memory objects may take then, in bytes. It is not less than
// what the percentage gives, which has a least value, or a large heap would be
// collected all the time; of the limit the runtime keeps three hundredths back.
func limitFor(live, roots, room uint64) uint64 {
	return (live+max(room, (live+roots)/10))*100/96 + spareRoom
}

// lowest is the least of the values seen between one and two times roomMemory
// ago and now.
type lowest struct {
	began          time.Time
	before, during uint64
}

func (l *lowest) see(v uint64, now time.Time) {
	switch passed := now.Sub(l.began); {
	case l.began.IsZero():
		l.began, l.before, l.during = now, 0, v
	case passed >= roomMemory:
		l.began, l.before, l.during = now, l.during, v
	default:
		l.during = min(l.during, v)
	}
}

func (l *lowest) value() uint64 { return min(l.before, l.during) }

// afterCollections sends on done, which has a place, after each collection
// until ctx ends.
func afterCollections(ctx context.Context, done chan<- struct{}) {
	if ctx.Err() != nil {
		return
	}
	select {
	case done <- struct{}{}:
	default:
	}
	// Larger than the smallest objects, which share a block and live as long as
	// their neighbours.
	runtime.AddCleanup(new([64]byte), func(struct{}) { afterCollections(ctx, done) }, struct{}{})
}

// liveHeap is what the last collection found alive, and the roots beside it, in
// bytes; 0 before the first.
func liveHeap() (live, roots uint64) {
	v := readMetrics("/gc/heap/live:bytes", "/gc/scan/stack:bytes", "/gc/scan/globals:bytes")
	return v[0], v[1] + v[2]
}

// beside is the memory of the process that objects do not take, in bytes: what
// the limit of memory counts as well.
func beside() uint64 {
	v := readMetrics("/memory/classes/total:bytes", "/memory/classes/heap/released:bytes", "/memory/classes/heap/free:bytes", "/memory/classes/heap/objects:bytes")
	return v[0] - v[1] - v[2] - v[3]
}

// readMetrics are the runtime's counts of these names, 0 of those it does not
// know.
func readMetrics(names ...string) []uint64 {
	samples, values := make([]metrics.Sample, len(names)), make([]uint64, len(names))
	for i, name := range names {
		samples[i].Name = name
	}
	metrics.Read(samples)
	for i, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			values[i] = s.Value.Uint64()
		}
	}
	return values
}
