package limit

import (
	"math"
	"sync/atomic"
	"time"
)

// maxCost bounds what one decision may charge, so that no quantity overflows
// the clock: a bucket is never further than this from being full again.
const maxCost = int64(365 * 24 * time.Hour)

// gcra is a token bucket's arithmetic on one number, the time at which the
// bucket is full again (in nanoseconds): taking n tokens moves it n*perToken
// into the future, and it may not lie further ahead than the burst is long.
type gcra struct {
	rate     float64 // tokens per second
	perToken float64 // nanoseconds until one token is back
	span     int64   // nanoseconds until an empty bucket is full
	burst    int
}

func newGCRA(r Rate) gcra {
	burst := r.Burst
	if burst == 0 {
		burst = max(1, int(math.Ceil(r.PerSecond)))
	}
	per := 1e9 / r.PerSecond
	return gcra{rate: r.PerSecond, perToken: per, span: cost(per, burst), burst: burst}
}

// share is the part of one of n gateways that cannot ask the others: a token
// takes n times as long, the bucket is full again as soon.
func (g gcra) share(n int) gcra {
	if n > 1 {
		g.rate /= float64(n)
		g.perToken *= float64(n)
		g.burst = max(1, g.burst/n)
		g.span = max(g.span, int64(min(g.perToken, float64(maxCost))))
	}
	return g
}

func cost(perToken float64, n int) int64 {
	c := perToken * float64(n)
	if c > float64(maxCost) {
		return maxCost
	}
	return int64(c)
}

// take charges n tokens. Refused, it says how long until they are there.
//
// More tokens than the bucket ever holds are given when it is full, and paid
// back afterwards: a container of 500 logs is not refused for ever by a burst
// of 100, and the rate still holds over time.
func (g gcra) take(full, now int64, n int) (newFull int64, wait time.Duration, ok bool) {
	base := max(full, now)
	next := base + cost(g.perToken, n)
	if n > g.burst {
		if full > now {
			return full, time.Duration(full - now), false
		}
		return next, 0, true
	}
	if over := next - now - g.span; over > 0 {
		return full, time.Duration(over), false
	}
	return next, 0, true
}

// bucket is a bucket that many callers take from at once.
type bucket struct {
	full atomic.Int64
}

func (b *bucket) take(g gcra, now int64, n int) (wait time.Duration, ok bool) {
	for {
		old := b.full.Load()
		next, wait, ok := g.take(old, now, n)
		if !ok {
			return wait, false
		}
		if b.full.CompareAndSwap(old, next) {
			return 0, true
		}
	}
}

// clampRetry is what a client is told to wait for a rate: at least a second,
// at most a minute.
func clampRetry(wait time.Duration) time.Duration {
	return min(max(wait, time.Second), time.Minute)
}
