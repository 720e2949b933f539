package relay

import (
	"context"
	"sync/atomic"
)

// leastBound is down to where refusals lower a Bound, in bytes.
const leastBound = 64 << 10

// Bound keeps requests below the size that an upstream takes, and learns that
// from what it refuses as too large.
type Bound[T any] struct {
	// Post sends one request. It calls Halve where that is too large.
	Post func(ctx context.Context, jobs []*Job[T])
	most atomic.Int64
}

// Start sets the bound to begin with, in bytes.
func (b *Bound[T]) Start(most int) { b.most.Store(int64(most)) }

// Send posts jobs, in parts when they have become too large for the upstream.
func (b *Bound[T]) Send(ctx context.Context, jobs []*Job[T]) {
	total, limit := 0, int(b.most.Load())
	for i, j := range jobs {
		if total += j.Size; total > limit && i > 0 {
			b.Post(ctx, jobs[:i])
			b.Send(ctx, jobs[i:])
			return
		}
	}
	b.Post(ctx, jobs)
}

// Halve posts what was refused again, in two parts. size is how many bytes were
// too many, so that the next requests need not be refused first; 0 where it was
// refused for another reason.
func (b *Bound[T]) Halve(ctx context.Context, jobs []*Job[T], size int) {
	if half := int64(size / 2); half >= leastBound && half < b.most.Load() {
		b.most.Store(half)
	}
	b.Post(ctx, jobs[:len(jobs)/2])
	b.Post(ctx, jobs[len(jobs)/2:])
}
