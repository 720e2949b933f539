package jetstream

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// Claim hands out the oldest record of dst that is due and that no gateway has
// claimed, as far as records have come here; see spool.Spool.
func (s *Spool) Claim(ctx context.Context, dst spool.Destination) (spool.Claim, error) {
	waiting := false
	var q *queue
	defer func() {
		if waiting {
			s.mu.Lock()
			q.waiters--
			s.mu.Unlock()
		}
	}()
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, spool.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		q = s.queue(dst)
		now := s.now()
		next := q.promote(now)
		if len(q.ready.list) > 0 {
			it := heap.Pop(&q.ready).(*item)
			it.l.ready--
			it.l.taken++
			it.l.used = time.Now()
			it.claimed = true
			q.inFlight++
			c := &claim{s: s, it: it, meta: it.m.meta(it.i), attempts: it.attempts}
			s.mu.Unlock()
			return c, nil
		}
		if !waiting {
			waiting = true
			q.waiters++
		}
		s.startPull(q)
		wake := q.wake
		s.mu.Unlock()
		wait(ctx, wake, next, now)
	}
}

// wait returns when wake is closed, at next if that is not zero, or when ctx ends.
func wait(ctx context.Context, wake <-chan struct{}, next, now time.Time) {
	var due <-chan time.Time
	if !next.IsZero() {
		t := time.NewTimer(max(next.Sub(now), time.Millisecond))
		defer t.Stop()
		due = t.C
	}
	select {
	case <-ctx.Done():
	case <-wake:
	case <-due:
	}
}

// claim is one record leased to one worker.
type claim struct {
	s        *Spool
	it       *item
	meta     *schemas.Meta
	attempts int
	ended    bool // under mu
}

// Meta describes the record.
func (c *claim) Meta() *schemas.Meta { return c.meta }

// Attempts is how often the record was released for this destination before:
// here, or elsewhere with a long time to wait.
func (c *claim) Attempts() int { return c.attempts }

// Envelope reads the record; payloads in the object store are streamed.
func (c *claim) Envelope() (*schemas.Envelope, error) {
	return c.it.m.records[c.it.i].envelope(c.s.body)
}

// Settle ends the record for this destination. The servers know of it within
// about a tenth of a second; a kill before that delivers it again. It waits for
// them where this ends a record that has a dead letter.
func (c *claim) Settle(finals []schemas.Final) error {
	s := c.s
	s.mu.Lock()
	if err := c.end(); err != nil {
		s.mu.Unlock()
		return err
	}
	m := c.it.m
	told, changed := s.decide(m, marks{c.place(): done(finals)}, true)
	moved := m.marks[place{c.it.i, ""}]
	untold := slices.Contains(m.untold, c.it.i)
	s.hold(m)
	s.mu.Unlock()
	s.tell(told)
	defer s.letGo(m)
	if untold { // where the servers are away, it is told of later
		ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
		defer cancel()
		_ = s.flushNow(ctx, m)
	}
	if len(changed) == 0 && moved.Kind == kindMoved {
		return s.follow(moved.To, c.meta.ID, c.it.l.q.dst, done(finals))
	}
	return nil
}

// end ends the claim once. Under mu.
func (c *claim) end() error {
	if c.s.closed {
		return spool.ErrClosed
	}
	if c.ended {
		return errEnded
	}
	c.ended = true
	it := c.it
	it.l.used = time.Now()
	if it.claimed && it.l.items[it.i] == it { // else it was ended from elsewhere
		it.claimed = false
		it.l.taken--
		it.l.q.inFlight--
	}
	return nil
}

var errEnded = errors.New("claim has ended")

func (c *claim) place() place { return place{c.it.i, c.it.l.q.dst.Name} }

// Release puts the record back, due again at the given time, not before.
func (c *claim) Release(due time.Time, reason string) {
	s, it := c.s, c.it
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.end() != nil {
		return
	}
	if it.l.items[it.i] != it {
		return
	}
	it.due, it.reason = due.UTC(), clip(reason)
	it.attempts++
	it.l.q.offer(it, s.now())
	s.parkIfLong(it.m, it.l)
}

// Bury moves the record to this destination's dead letters: it is stored
// there and confirmed, and then ends here, durably. A kill between the two
// leaves both; the record is then delivered, or buried once more over itself.
func (c *claim) Bury(reason string) error {
	s, m, i := c.s, c.it.m, c.it.i
	reason = clip(reason)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return spool.ErrClosed
	}
	if c.ended {
		s.mu.Unlock()
		return errEnded
	}
	ended, dst := m.endedAt(i, c.it.l.q.dst.Name), c.it.l.q.dst
	moved := m.marks[place{i, ""}]
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.ctx, 2*s.cfg.times.giveUp)
	defer cancel()
	if !ended || moved.Kind == kindMoved {
		if err := s.putDead(ctx, &m.records[i], m.project, dst, deadNote{Reason: reason, Attempts: c.attempts + 1, Home: m.seq}, ""); err != nil {
			return fmt.Errorf("burying %s: %w", c.meta.ID, err)
		}
	}
	s.mu.Lock()
	if err := c.end(); err != nil {
		s.mu.Unlock()
		return err
	}
	told, changed := s.decide(m, marks{c.place(): {Kind: kindDead, Reason: reason}}, true)
	s.hold(m)
	s.mu.Unlock()
	s.tell(told)
	defer s.letGo(m)
	if len(changed) == 0 {
		if moved.Kind == kindMoved {
			return s.follow(moved.To, c.meta.ID, dst, mark{Kind: kindDead, Reason: reason})
		}
		return nil // ended from elsewhere meanwhile
	}
	if err := s.flushNow(ctx, m); err != nil && !errors.Is(err, spool.ErrClosed) {
		s.log.Warn().Err(err).Str("record", c.meta.ID).Msg("a buried record may be delivered once more: its end is not stored yet")
	}
	return nil
}

// clip bounds a reason.
func clip(reason string) string {
	const most = 200
	if len(reason) > most {
		return reason[:most]
	}
	return reason
}
