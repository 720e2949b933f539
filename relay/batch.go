package relay

import (
	"context"
	"slices"
	"sync"

	"breakwater/schemas"
)

// Job is one record's part in a batch.
type Job[T any] struct {
	Value T
	// Size is what it takes of a batch, in bytes.
	Size int
	// Finals and Err are how it ends, set by Send; nil and nil: delivered.
	Finals []schemas.Final
	Err    error

	ctx  context.Context
	done chan struct{}
}

// Batcher gathers records that are delivered at the same time into one send,
// for upstreams where a send costs more than what is in it. Nobody waits for a
// batch to fill: the first record goes alone, and while it is on its way the
// next ones gather. It starts a goroutine per send and keeps none.
type Batcher[T any] struct {
	// Send delivers a batch and sets each job's end. ctx ends when all who
	// wait for the batch have given up.
	Send func(ctx context.Context, jobs []*Job[T])
	// Senders is how many sends may be under way. At least 1.
	Senders int
	// MaxJobs and MaxBytes bound one batch; a single larger job goes alone.
	MaxJobs, MaxBytes int

	mu     sync.Mutex
	queue  []*Job[T]
	active int
}

// Do delivers value with the next batch and returns its end, or an error when
// ctx ends before that.
func (b *Batcher[T]) Do(ctx context.Context, value T, size int) ([]schemas.Final, error) {
	j := &Job[T]{Value: value, Size: size, ctx: ctx, done: make(chan struct{})}
	b.mu.Lock()
	b.queue = append(b.queue, j)
	if b.active < max(b.Senders, 1) {
		b.active++
		go b.send()
	}
	b.mu.Unlock()
	select {
	case <-j.done:
		return j.Finals, j.Err
	case <-ctx.Done():
		b.leave(j)
		return nil, NetworkError(ctx.Err())
	}
}

// leave takes a job that nobody waits for any more out of the queue.
func (b *Batcher[T]) leave(j *Job[T]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.queue, j); i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
	}
}

// Waiting is how many jobs wait for a send.
func (b *Batcher[T]) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}

// send sends until nothing waits.
func (b *Batcher[T]) send() {
	for {
		jobs := b.take()
		if jobs == nil {
			return
		}
		b.one(jobs)
	}
}

// take is the next batch; without one the sender has ended.
func (b *Batcher[T]) take() []*Job[T] {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, size := 0, 0
	for n < len(b.queue) && (n == 0 || n < b.MaxJobs && size+b.queue[n].Size <= b.MaxBytes) {
		size += b.queue[n].Size
		n++
	}
	if n == 0 {
		b.active--
		return nil
	}
	jobs := slices.Clone(b.queue[:n])
	b.queue = slices.Delete(b.queue, 0, n)
	return jobs
}

// one sends a batch within the time of those who wait for it.
func (b *Batcher[T]) one(jobs []*Job[T]) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	left := len(jobs)
	for _, j := range jobs {
		stop := context.AfterFunc(j.ctx, func() {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				cancel()
			}
		})
		defer stop()
	}
	defer func() {
		p := recover()
		for _, j := range jobs {
			if p != nil {
				j.Finals, j.Err = nil, &DeliverError{Class: Bounded, Reason: "panic"}
			}
			close(j.done)
		}
	}()
	b.Send(ctx, jobs)
}
