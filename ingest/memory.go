package ingest

import "sync/atomic"

// memory is what all requests together hold of bodies, so that many large
// ones at a time end in 503s and not in the kernel's hands.
type memory struct{ held atomic.Int64 }

// take reserves n bytes within the budget, or nothing.
func (m *memory) take(n, budget int64) bool {
	if m.held.Add(n) > budget {
		m.held.Add(-n)
		return false
	}
	return true
}

func (m *memory) give(n int64) { m.held.Add(-n) }
