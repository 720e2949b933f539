package jetstream

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// keep is the spool's housekeeping: it stores decisions that waited long
// enough, keeps leases, hands back those nobody claims, and now and then looks
// at the streams and ends what is too old.
func (s *Spool) keep() {
	defer s.wg.Done()
	t := time.NewTicker(min(s.cfg.times.flush/2, 100*time.Millisecond))
	defer t.Stop()
	var beat, idle, look time.Time
	sweep, orphans := time.Now().Add(time.Minute), time.Now().Add(10*time.Minute)
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-t.C:
		}
		now := time.Now()
		s.flushDirty(now)
		if now.Sub(beat) > s.cfg.times.ackWait/3 {
			beat = now
			s.heartbeat()
		}
		if now.Sub(idle) > s.cfg.times.idle/4 {
			idle = now
			s.handBackIdle(now)
		}
		if now.Sub(look) > time.Second {
			look = now
			if s.looking.CompareAndSwap(false, true) {
				s.background(func() {
					defer s.looking.Store(false)
					s.Stats()
					s.restore()
				})
			}
		}
		if now.After(sweep) {
			sweep = now.Add(time.Minute)
			s.background(func() {
				if s.clockIsRight() {
					s.round("keeping old records out", "expire", s.expire)
				}
			})
		}
		if now.After(orphans) {
			orphans = now.Add(time.Hour)
			s.background(func() { s.round("looking for what nobody needs", "orphans", s.sweep) })
		}
	}
}

// round does what one gateway is enough for: the first that takes the turn.
func (s *Spool) round(what, name string, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(s.ctx, decisionWait)
	defer cancel()
	if !s.turn(ctx, name) {
		return
	}
	if err := do(ctx); err != nil && s.ctx.Err() == nil {
		s.log.Warn().Err(err).Msg(what + " failed; it is done again")
	}
}

// turn takes the turn for a round of housekeeping, unless another gateway did
// within the last half minute. Two at once do no harm.
func (s *Spool) turn(ctx context.Context, name string) bool {
	subject := s.names.prefix + ".state.turn." + name
	last := uint64(0)
	if raw, err := s.read(ctx, s.names.state(), read{Last: subject}); err == nil {
		if time.Since(raw.at) < 30*time.Second {
			return false
		}
		last = raw.seq
	} else if !isNotFound(err) {
		return false
	}
	_, err := s.js.Publish(ctx, subject, []byte(s.life), jetstream.WithRetryAttempts(0), jetstream.WithExpectLastSequencePerSubject(last))
	return err == nil
}

func (s *Spool) flushDirty(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		if !m.dirtyAt.IsZero() && now.Sub(m.dirtyAt) >= s.cfg.times.flush && !m.clean() {
			s.startFlush(m)
		}
	}
}

// heartbeat tells the servers that leases are in use.
func (s *Spool) heartbeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		for _, l := range m.leases {
			_ = l.msg.InProgress() // without a connection the lease runs out, and the record comes again
		}
	}
}

// handBackIdle gives leases back whose records nobody claims here: the
// destination is paused, or its upstream does not answer. Another gateway may
// be luckier.
func (s *Spool) handBackIdle(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	clock := s.now()
	for _, q := range s.queues {
		q.promote(clock)
		for seq, due := range q.parked {
			if clock.Sub(due) > time.Minute {
				delete(q.parked, seq) // it went to another gateway
			}
		}
	}
	for _, m := range s.messages {
		if len(m.unstored) > 0 || m.flushing {
			continue
		}
		for dest, l := range m.leases {
			if l.taken == 0 && l.ready > 0 && l.q.waiters == 0 && now.Sub(l.used) > s.cfg.times.idle {
				_ = l.msg.Nak() // else the lease runs out
				s.dropLease(m, dest)
			} else if l.taken == 0 {
				s.parkIfLong(m, l)
			}
		}
		s.forgetIfUnused(m)
	}
}

// Tick makes the spool read its clock and do what is due: wake claims, get
// back what was put off, expire records. It returns when that is done. A spool
// on real time does so by itself.
func (s *Spool) Tick() {
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	if err := s.expire(ctx); err != nil && s.ctx.Err() == nil {
		s.log.Warn().Err(err).Msg("old records were not ended")
	}
	s.mu.Lock()
	var queues []*queue
	for _, q := range s.queues {
		q.promote(s.now())
		q.wakeAll()
		if s.overdue(q) > 0 {
			queues = append(queues, q)
		}
	}
	s.mu.Unlock()
	for _, q := range queues {
		s.fetchOverdue(ctx, q)
	}
	s.settleDown(ctx)
	_ = s.refresh(ctx) // the old figures stand
}

// settleDown waits until decisions are stored and payloads removed.
func (s *Spool) settleDown(ctx context.Context) {
	for {
		s.mu.Lock()
		busy := s.chores > 0
		for _, m := range s.messages {
			busy = busy || !m.clean()
		}
		s.mu.Unlock()
		if !busy || !pause(ctx, 2*time.Millisecond) {
			return
		}
	}
}

// overdue counts the messages put off whose time has come. Under mu.
func (s *Spool) overdue(q *queue) (n int) {
	now := s.now()
	for _, due := range q.parked {
		if !due.After(now) {
			n++
		}
	}
	return n
}

// fetchOverdue waits for the servers to give back what was put off too long
// for a clock that was turned.
func (s *Spool) fetchOverdue(ctx context.Context, q *queue) {
	ctx, cancel := context.WithTimeout(ctx, 2*s.cfg.times.nakMost+time.Second)
	defer cancel()
	c, err := s.consumerOf(ctx, q)
	for err == nil {
		s.mu.Lock()
		n := s.overdue(q)
		s.mu.Unlock()
		if n == 0 {
			return
		}
		if _, err = s.pullNow(q, c); err == nil && !pause(ctx, 10*time.Millisecond) {
			return
		}
	}
}
