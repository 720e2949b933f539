package spooltest

import (
	"fmt"
	"sync"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

var _ spool.Observer = (*Ledger)(nil)

// Ledger is an observer that keeps the books in items: what came in must be
// what ended and what is still there.
type Ledger struct {
	mu        sync.Mutex
	recovered int
	appended  int
	requeued  int
	settled   map[schemas.Outcome]int
	finals    map[string][]schemas.Final
	problems  []string
	shared    bool // by all lives: Recovered tells of records that are known
}

// NewLedger is an empty ledger; take a new one for each start of a spool.
func NewLedger() *Ledger {
	return &Ledger{settled: map[schemas.Outcome]int{}, finals: map[string][]schemas.Final{}}
}

// Recovered implements spool.Observer.
func (l *Ledger) Recovered(m *schemas.Meta) { l.add(&l.recovered, m) }

// Appended implements spool.Observer.
func (l *Ledger) Appended(m *schemas.Meta) { l.add(&l.appended, m) }

// Requeued implements spool.Observer.
func (l *Ledger) Requeued(m *schemas.Meta) { l.add(&l.requeued, m) }

func (l *Ledger) add(n *int, m *schemas.Meta) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*n += m.Items()
	if m.ID == "" || m.Project == "" {
		l.problems = append(l.problems, fmt.Sprintf("observer was given a meta without id or project: %+v", m))
	}
}

// Settled implements spool.Observer.
func (l *Ledger) Settled(m *schemas.Meta, finals []schemas.Final) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(finals) != len(m.Counts) {
		l.problems = append(l.problems, fmt.Sprintf("record %s of %d items settled with %d finals", m.ID, len(m.Counts), len(finals)))
		return
	}
	l.finals[m.ID] = append([]schemas.Final(nil), finals...)
	for i, f := range finals {
		l.settled[f.Outcome] += m.Counts[i].Quantity
	}
}

// Outcome is how many items settled with an outcome.
func (l *Ledger) Outcome(o schemas.Outcome) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.settled[o]
}

// Finals are the last settlement of a record; nil when it never settled.
func (l *Ledger) Finals(id string) []schemas.Final {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.finals[id]
}

// Recovery is how many items were found at the start.
func (l *Ledger) Recovery() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recovered
}

// Check compares the books with the items that are in the spool by another
// count, and returns what is wrong.
func (l *Ledger) Check(inSpool int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.problems) > 0 {
		return fmt.Errorf("%d problems, first: %s", len(l.problems), l.problems[0])
	}
	ended := 0
	for _, n := range l.settled {
		ended += n
	}
	if l.shared {
		if l.appended+l.requeued != ended+inSpool {
			return fmt.Errorf("appended %d + requeued %d over all lives = %d, but settled %d + in the spool %d = %d",
				l.appended, l.requeued, l.appended+l.requeued, ended, inSpool, ended+inSpool)
		}
		return nil
	}
	if in := l.recovered + l.appended + l.requeued; in != ended+inSpool {
		return fmt.Errorf("recovered %d + appended %d + requeued %d = %d, but settled %d + in the spool %d = %d",
			l.recovered, l.appended, l.requeued, in, ended, inSpool, ended+inSpool)
	}
	return nil
}

// Clock is a clock turned by hand.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts at a fixed moment.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance turns it.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
