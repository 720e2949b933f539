package jetstream

import (
	"time"

	"github.com/nats-io/nats.go"

	"breakwater/schemas"
)

// message is one pack of the stream that this gateway has something to do
// with: it holds leases of it, or decisions that are not stored yet. Its
// destinations share it.
type message struct {
	seq     uint64
	subject string
	*pack
	marks    marks              // what is known of its records
	unstored map[place]struct{} // marks the servers do not have yet
	storing  map[place]struct{} // marks on their way to the servers
	stateSeq uint64             // of the marks the servers have, 0 when none were seen
	left     []int              // destinations to go, per record
	metas    []*schemas.Meta    // read when needed
	leases   map[string]*lease
	users    int // loads that hold it
	dirtyAt  time.Time
	flushing bool
	gone     bool         // removed from the stream
	done     []chan error // of those who wait for a flush
	untold   []int        // records that ended, to be told of when that is stored; see mayMove
}

// lease is one destination's hold on a message.
type lease struct {
	q    *queue
	msg  *nats.Msg
	used time.Time // when a claim of it began or ended last
	// left are its records that have not ended, taken those claimed, ready those
	// in the queue's heap; the rest of left waits for its time.
	left, taken, ready int
	items              map[int]*item
}

// item is one record of a leased message, for one destination.
type item struct {
	m        *message
	l        *lease
	i        int
	pos      int // in a heap, -1 when in none
	claimed  bool
	due      time.Time
	attempts int
	reason   string
}

func newMessage(seq uint64, subject string, p *pack) *message {
	m := &message{
		seq: seq, subject: subject, pack: p, marks: marks{}, unstored: map[place]struct{}{},
		left: make([]int, len(p.records)), metas: make([]*schemas.Meta, len(p.records)), leases: map[string]*lease{},
	}
	for i := range p.records {
		m.left[i] = len(p.records[i].targets)
		if p.records[i].broken {
			m.left[i] = 1 // nobody ends it, and so the message stays to be looked at
		}
	}
	return m
}

// meta reads a record's meta, once.
func (m *message) meta(i int) *schemas.Meta {
	if m.metas[i] == nil {
		m.metas[i] = m.records[i].metaOr(m.project)
	}
	return m.metas[i]
}

// endedAt says that a destination, or the whole record, has ended.
func (m *message) endedAt(i int, dest string) bool {
	return m.marks[place{i, dest}].ended() || m.marks[place{i, ""}].Kind == kindMoved
}

// complete says that nobody needs the message any more.
func (m *message) complete() bool {
	for _, n := range m.left {
		if n > 0 {
			return false
		}
	}
	return true
}

// ours says that this gateway completes a record which ends with what the
// servers know: it has an end of it that they do not know. Where they know all,
// whoever stored the last one told of it, also when the answer to this gateway's
// own part was lost or is not here yet.
func (m *message) ours(i int, theirs marks) bool {
	for _, own := range []map[place]struct{}{m.unstored, m.storing} {
		for p := range own {
			if p.i == i && m.marks[p].ended() && !theirs[p].ended() {
				return true
			}
		}
	}
	return false
}

func (m *message) multi() bool {
	for i := range m.records {
		if len(m.records[i].targets) > 1 {
			return true
		}
	}
	return false
}

// apply takes over marks; ended ones stay. It returns the records that ended
// everywhere by it and were not moved.
func (m *message) apply(add marks, unstored bool) (ended []int, changed []place) {
	for p, k := range add {
		if p.i >= len(m.records) || m.endedAt(p.i, p.dest) {
			continue
		}
		if old, ok := m.marks[p]; ok && old.equal(k) {
			continue
		}
		if _, ours := m.unstored[p]; ours && !unstored && !k.ended() {
			continue // an older time to wait
		}
		was := m.marks[p]
		m.marks[p] = k
		changed = append(changed, p)
		if unstored {
			m.unstored[p] = struct{}{}
		} else {
			delete(m.unstored, p)
		}
		switch {
		case k.Kind == kindMoved:
			m.left[p.i] = 0
		case k.ended() && !was.ended() && m.records[p.i].has(p.dest):
			if m.left[p.i]--; m.left[p.i] == 0 {
				ended = append(ended, p.i)
			}
		}
	}
	return ended, changed
}

func (r *stored) has(dest string) bool {
	for _, t := range r.targets {
		if t == dest {
			return true
		}
	}
	return false
}

// settlement is a record whose last destination has ended, to be told of when
// no lock is held.
type settlement struct {
	meta    *schemas.Meta
	finals  []schemas.Final
	foreign bool // this life did not count it as appended
}

// settled makes the settlement of a record that ended. Under mu.
func (s *Spool) settled(m *message, i int) settlement {
	meta := m.meta(i)
	s.changes++
	foreign := m.life != s.life || s.doubtful.Contains(meta.ID)
	return settlement{meta, outcome(&m.records[i], i, len(meta.Counts), m.marks), foreign}
}

func (s *Spool) tell(list []settlement) {
	for _, e := range list {
		if e.foreign {
			s.observer.Recovered(e.meta)
		}
		s.observer.Settled(e.meta, e.finals)
	}
}

// decide puts decisions about a message's records into effect here: queues
// forget what ended, and a flush stores them. It returns what ended everywhere
// and the places that changed. Under mu.
func (s *Spool) decide(m *message, add marks, unstored bool) (told []settlement, changed []place) {
	ended, changed := m.apply(add, unstored)
	for _, p := range changed {
		if !m.marks[p].ended() {
			continue
		}
		if p.dest == "" && m.marks[p].Kind == kindMoved {
			s.movedAway(m, p.i, m.marks[p].To)
		}
		for dest, l := range m.leases {
			if p.dest == dest || p.dest == "" {
				l.forget(p.i)
			}
		}
	}
	for _, i := range ended {
		switch {
		case !unstored && !m.ours(i, add): // whoever stored the last mark has told of it
		case m.mayMove(i):
			m.untold = append(m.untold, i)
		default:
			told = append(told, s.settled(m, i))
		}
	}
	if unstored && len(changed) > 0 {
		s.soil(m)
	}
	return told, changed
}

// forget takes a record out of a lease.
func (l *lease) forget(i int) {
	it := l.items[i]
	if it == nil {
		return
	}
	delete(l.items, i)
	l.q.remove(it)
	l.left--
	if it.claimed {
		l.taken--
		l.q.inFlight--
	}
}
