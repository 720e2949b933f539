package spool

import (
	"sync"
	"time"
)

// The spool's size is noted every growthEvery, and the newest growthPoints of
// the notes are kept: a quarter of an hour.
const (
	growthEvery  = 10 * time.Second
	growthPoints = 90
	// leastSpan is the least time between two notes that makes a speed.
	leastSpan = 30 * time.Second
)

// Growth remembers how the spool's size changed, for the time until it is
// full. The keeper notes it on its round: it costs an addition a second.
type Growth struct {
	mu    sync.Mutex
	notes []note // oldest first
}

type note struct {
	at   time.Time
	used int64
}

// Note keeps a size, unless the last one is younger than growthEvery. A clock
// that went back begins anew.
func (g *Growth) Note(now time.Time, used int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.notes); n > 0 {
		switch age := now.Sub(g.notes[n-1].at); {
		case age < 0:
			g.notes = g.notes[:0]
		case age < growthEvery:
			return
		case n == growthPoints:
			g.notes = append(g.notes[:0], g.notes[1:]...)
		}
	}
	g.notes = append(g.notes, note{now, used})
}

// PerSecond is the change between the oldest and the newest note, in bytes
// per second.
func (g *Growth) PerSecond() float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.notes) < 2 {
		return 0
	}
	first, last := g.notes[0], g.notes[len(g.notes)-1]
	took := last.at.Sub(first.at)
	if took < leastSpan {
		return 0
	}
	return float64(last.used-first.used) / took.Seconds()
}
