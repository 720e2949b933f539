package jetstream

import (
	"container/heap"
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"breakwater/relay/spool"
)

// queue is one destination as this gateway sees it: records of the messages
// it has leases of.
type queue struct {
	dst      spool.Destination
	ready    itemHeap             // due, oldest first
	delayed  itemHeap             // by the time they are due
	waiters  int                  // claims that wait
	inFlight int64                // claims that are out
	parked   map[uint64]time.Time // messages put off at the server, and until when
	pulling  bool
	consumer jetstream.Consumer // nil until it is known
	found    time.Time          // when it became known
	wake     chan struct{}      // closed and replaced when something changed
}

// queue finds or makes the queue of a destination. Under mu.
func (s *Spool) queue(dst spool.Destination) *queue {
	q, ok := s.queues[dst]
	if !ok {
		q = &queue{dst: dst, wake: make(chan struct{}), parked: map[uint64]time.Time{}}
		q.ready.less = func(a, b *item) bool { return a.m.seq < b.m.seq || (a.m.seq == b.m.seq && a.i < b.i) }
		q.delayed.less = func(a, b *item) bool { return a.due.Before(b.due) }
		s.queues[dst] = q
	}
	return q
}

// wakeAll lets waiting claims look again. Under mu.
func (q *queue) wakeAll() {
	close(q.wake)
	q.wake = make(chan struct{})
}

// remove takes a record out of the heaps. Under mu.
func (q *queue) remove(it *item) {
	if it.pos < 0 {
		return
	}
	h := &q.delayed
	if it.pos < len(q.ready.list) && q.ready.list[it.pos] == it {
		h = &q.ready
		it.l.ready--
	}
	heap.Remove(h, it.pos)
}

// offer puts a record where it can be claimed, now or when it is due. Under mu.
func (q *queue) offer(it *item, now time.Time) {
	if it.due.After(now) {
		heap.Push(&q.delayed, it)
	} else {
		it.l.ready++
		heap.Push(&q.ready, it)
	}
	q.wakeAll()
}

// promote moves what is due to the ready ones and returns when the next is. Under mu.
func (q *queue) promote(now time.Time) (next time.Time) {
	for len(q.delayed.list) > 0 {
		it := q.delayed.list[0]
		if it.due.After(now) {
			return it.due
		}
		heap.Pop(&q.delayed)
		it.l.ready++
		heap.Push(&q.ready, it)
	}
	return time.Time{}
}

// itemHeap implements heap.Interface; items know their place.
type itemHeap struct {
	list []*item
	less func(a, b *item) bool
}

func (h *itemHeap) Len() int           { return len(h.list) }
func (h *itemHeap) Less(i, j int) bool { return h.less(h.list[i], h.list[j]) }
func (h *itemHeap) Swap(i, j int) {
	h.list[i], h.list[j] = h.list[j], h.list[i]
	h.list[i].pos, h.list[j].pos = i, j
}

func (h *itemHeap) Push(x any) {
	it := x.(*item)
	it.pos = len(h.list)
	h.list = append(h.list, it)
}

func (h *itemHeap) Pop() any {
	it := h.list[len(h.list)-1]
	h.list[len(h.list)-1] = nil
	h.list = h.list[:len(h.list)-1]
	it.pos = -1
	return it
}

// deliver takes a lease of a message for a destination.
func (s *Spool) deliver(q *queue, msg *nats.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		s.log.Error().Err(err).Msg("a message came without its place in the stream")
		return
	}
	seq := meta.Sequence.Stream
	if meta.NumDelivered > 1 {
		s.metrics.redelivered.Inc()
	}
	s.mu.Lock()
	delete(q.parked, seq)
	if m := s.messages[seq]; m != nil && m.leases[q.dst.Name] != nil { // it ran out, and came back
		m.leases[q.dst.Name].msg = msg
		s.mu.Unlock()
		return
	}
	closed := s.closed
	s.mu.Unlock()
	if closed {
		_ = msg.Nak() // else it comes when the lease runs out
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	m, err := s.load(ctx, seq, msg.Subject, msg.Data)
	switch {
	case errors.Is(err, errVersion):
		s.metrics.foreign.Inc()
		s.log.Warn().Uint64("message", seq).Str("destination", q.dst.String()).Msg("a message is of a version that this gateway does not know; it is left to those that do")
		_ = msg.NakWithDelay(s.cfg.times.nakMost) // else it comes when the lease runs out
		return
	case errors.Is(err, errMalformed):
		s.noteDamage(seq, 1, "a message cannot be read by this version; it is left to others")
		_ = msg.NakWithDelay(s.cfg.times.nakMost) // else it comes when the lease runs out
		return
	case err != nil:
		_ = msg.NakWithDelay(min(time.Second, s.cfg.times.nakMost)) // as above
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.unload(m)
	s.lease(q, m, msg)
}

// lease makes what is left of a loaded message claimable. Under mu.
func (s *Spool) lease(q *queue, m *message, msg *nats.Msg) {
	now := s.now()
	l := &lease{q: q, msg: msg, used: time.Now(), items: map[int]*item{}}
	for i := range m.records {
		if !m.records[i].has(q.dst.Name) || m.endedAt(i, q.dst.Name) {
			continue
		}
		it := &item{m: m, l: l, i: i, pos: -1}
		if k := m.marks[place{i, q.dst.Name}]; k.Kind == kindWait {
			it.due, it.attempts, it.reason = time.UnixMilli(k.Due).UTC(), k.Attempts, k.Reason
		}
		l.items[i] = it
		l.left++
	}
	if l.left == 0 {
		if m.complete() {
			s.soil(m)
			return
		}
		if len(m.unstored) == 0 && len(m.storing) == 0 {
			_ = msg.Ack() // one that is lost comes again
			return
		}
	}
	m.leases[q.dst.Name] = l // one with nothing left is given back when the servers know why
	s.metrics.leases.Inc()
	for _, it := range l.items {
		q.offer(it, now)
	}
	s.parkIfLong(m, l)
}

// parkIfLong hands a lease back until its records are due, when all of them
// have long to wait: the servers keep the time, and other gateways may have it.
// Under mu.
func (s *Spool) parkIfLong(m *message, l *lease) {
	if l.taken > 0 || l.ready > 0 || l.left == 0 || s.closed {
		return
	}
	var first time.Time
	for _, it := range l.items {
		if first.IsZero() || it.due.Before(first) {
			first = it.due
		}
	}
	wait := first.Sub(s.now())
	if wait <= s.cfg.times.hold && s.held < maxHeld {
		return
	}
	add := marks{}
	for i, it := range l.items {
		k := mark{Kind: kindWait, Due: it.due.UnixMilli(), Attempts: it.attempts, Reason: it.reason}
		if old := m.marks[place{i, l.q.dst.Name}]; !old.equal(k) {
			add[place{i, l.q.dst.Name}] = k
		}
	}
	if len(add) > 0 { // stored first; the keeper parks it then
		s.decide(m, add, true)
		return
	}
	if len(m.unstored) > 0 || m.flushing {
		return
	}
	_ = l.msg.NakWithDelay(min(max(wait, time.Millisecond), s.cfg.times.nakMost)) // else the lease runs out
	l.q.parked[m.seq] = first
	s.dropLease(m, l.q.dst.Name)
	s.forgetIfUnused(m)
}

// maxHeld is how many bytes of messages are kept for records that are not due;
// beyond it they are handed back.
const maxHeld = 128 << 20
