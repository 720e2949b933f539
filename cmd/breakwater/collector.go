package main

import (
	"context"
	"os"
	"runtime"
	"runtime/metrics"
	"time"
)

// ballastSize is how much further than by Go's own rule the heap may grow
// between two collections, in bytes. The gateway keeps little alive, 10 MiB or
// so, and makes 40 KiB of garbage for a request: to collect whenever the heap
// has doubled is to collect after every few hundred requests. More than this
// would show in what hostile requests can make the process take.
const ballastSize = 8 << 20

// ballastLimit is how much may be alive beside it. With more, as behind a long
// outage, Go's rule gives room enough.
const ballastLimit = 32 << 20

// holdBallast keeps bytes alive that are never touched, until ctx ends: they
// count in the collector's sums and take no memory. A GOGC of 400 would spare
// as much work, but it would also multiply what a burst of large requests holds.
// It does nothing when the operator's GOGC or GOMEMLIMIT has decided already.
func holdBallast(ctx context.Context, period time.Duration) error {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	ballast := make([]byte, ballastSize)
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			runtime.KeepAlive(ballast)
			return nil
		case <-tick.C:
			ballast = weigh(ballast, liveHeap())
		}
	}
}

// weigh drops the ballast when much is alive and takes it up again when little
// is; in between it stays as it is.
func weigh(ballast []byte, live uint64) []byte {
	switch beside := int64(live) - int64(len(ballast)); {
	case beside > ballastLimit:
		return nil
	case ballast == nil && beside < ballastLimit/2:
		return make([]byte, ballastSize)
	}
	return ballast
}

// liveHeap is what the last collection found alive, in bytes.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
