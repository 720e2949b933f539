package ingest

import (
	"context"
	"sync/atomic"
	"time"
)

// memory is what all requests together hold of bodies, and of what is made of
// them, so that many large ones at a time end in 503s and not in the kernel's
// hands.
type memory struct {
	held atomic.Int64
	// turns has a place for each request that may make much at a time.
	turns   chan struct{}
	waiting atomic.Int64 // for a turn
	// works has a place for each request that may do long work at a time.
	works chan struct{}
}

func newMemory() *memory {
	works := works()
	return &memory{turns: make(chan struct{}, min(maxTurns, cap(works))), works: works}
}

// Bounds of what is made of a body: some kilobytes of OTLP or Faro, where many
// records share what they repeat, become megabytes. What one request makes
// lies in memory twice on its way to the disk, as payload and as record, and a
// third time on its way to the upstream.
const (
	// freeMaking is what a request may make without waiting for its turn: more
	// than any SDK's batch makes.
	freeMaking = 256 << 10
	// maxTurns is how many requests may make more at the same time, at most; no
	// more than may do long work (see Work). They are busy with the processor and
	// then wait for one fsync, so that more at a time would not be done sooner.
	maxTurns = 2
	// turnTimeout is how long a request waits before it is told to come again.
	turnTimeout = 20 * time.Second
	// madeCopies is how often what is made is in memory until it is durable.
	madeCopies = 2
)

// take reserves n bytes within the budget, or nothing.
func (m *memory) take(n, budget int64) bool {
	if m.held.Add(n) > budget {
		m.held.Add(-n)
		return false
	}
	return true
}

func (m *memory) give(n int64) { m.held.Add(-n) }

// turn waits for a turn; false says that there was none in time.
func (m *memory) turn(ctx context.Context) bool {
	select {
	case m.turns <- struct{}{}:
		return true
	default:
	}
	m.waiting.Add(1)
	defer m.waiting.Add(-1)
	late := time.NewTimer(turnTimeout)
	defer late.Stop()
	select {
	case m.turns <- struct{}{}:
		return true
	case <-ctx.Done():
	case <-late.C:
	}
	return false
}

func (m *memory) endTurn() { <-m.turns }
