package jetstream

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"breakwater/relay/spool"
)

// What this gateway decided about a message is stored by a flush:
//
//	all its records ended everywhere    the message is removed, then its marks;
//	                                    where a retry may be moving one of them, its
//	                                    marks are written first, as below
//	else                                its marks are written, if nobody wrote
//	                                    meanwhile; if somebody did, theirs are
//	                                    read, joined and written again
//
// then leases that have nothing left are given back.

// soil makes sure that a message is flushed: at once when nothing of it is
// left here to wait for, else a little later, so that what ends together is
// stored together. Under mu.
func (s *Spool) soil(m *message) {
	if m.dirtyAt.IsZero() {
		m.dirtyAt = time.Now()
	}
	if m.complete() || m.restful() {
		s.startFlush(m)
	}
}

// restful says that no record of the message is in use here.
func (m *message) restful() bool {
	for _, l := range m.leases {
		if l.taken > 0 || l.ready > 0 {
			return false
		}
	}
	return true
}

// startFlush flushes a message in the background, once at a time. Under mu.
func (s *Spool) startFlush(m *message) {
	if m.flushing || s.ctx.Err() != nil {
		return
	}
	m.flushing = true
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		select {
		case s.flushes <- struct{}{}:
		case <-s.ctx.Done():
			s.mu.Lock()
			s.flushed(m, s.ctx.Err())
			s.mu.Unlock()
			return
		}
		defer func() { <-s.flushes }()
		ctx, cancel := context.WithTimeout(s.ctx, flushWait)
		defer cancel()
		s.flush(ctx, m)
	}()
}

// flushWait bounds one attempt to store decisions.
const flushWait = 5 * time.Second

// flushNow waits until what is decided of a message is stored.
func (s *Spool) flushNow(ctx context.Context, m *message) error {
	for {
		s.mu.Lock()
		if m.clean() {
			s.mu.Unlock()
			return nil
		}
		wait := make(chan error, 1)
		m.done = append(m.done, wait)
		s.startFlush(m)
		s.mu.Unlock()
		select {
		case err := <-wait:
			if err == nil {
				continue // stored, unless more was decided meanwhile
			}
			if !away(err) || !pause(ctx, 100*time.Millisecond) {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ctx.Done():
			return spool.ErrClosed
		}
	}
}

// clean says that the servers know all that was decided. Under mu.
func (m *message) clean() bool { return m.gone || (len(m.unstored) == 0 && !m.complete()) }

// flush stores what is decided of a message. It repeats while others write.
func (s *Spool) flush(ctx context.Context, m *message) {
	var err error
	for err == nil {
		s.mu.Lock()
		switch {
		case m.gone:
			s.flushed(m, nil)
			s.mu.Unlock()
			return
		case m.complete() && (len(m.unstored) == 0 || len(m.untold) == 0):
			stateSeq, multi := m.stateSeq, m.multi()
			s.mu.Unlock()
			if err = s.removeMessage(ctx, m, stateSeq > 0 || multi); err == nil {
				s.mu.Lock()
				m.gone = true
				s.removed.add(m.seq)
				clear(m.unstored)
				objects := s.unneeded(m)
				s.mu.Unlock()
				if len(objects) > 0 {
					s.chore(func() { s.releaseObjects(objects) })
				}
			}
		case len(m.unstored) == 0:
			s.flushed(m, nil)
			s.mu.Unlock()
			return
		default:
			data, encErr := m.marks.encode()
			stateSeq, sent, untold := m.stateSeq, m.unstored, m.untold
			m.unstored, m.storing, m.untold = map[place]struct{}{}, sent, nil
			s.mu.Unlock()
			var seq uint64
			if err = encErr; err == nil {
				seq, err = s.writeMarks(ctx, m.seq, data, stateSeq)
			}
			s.mu.Lock()
			m.storing = nil
			var told []settlement
			if err == nil {
				m.stateSeq = seq
				told = s.settledAll(m, untold)
			} else {
				m.untold = append(untold, m.untold...)
				for p := range sent { // again, with what came meanwhile
					m.unstored[p] = struct{}{}
				}
			}
			s.mu.Unlock()
			s.tell(told)
			if isConflict(err) {
				s.metrics.conflicts.Inc()
				err = s.joinMarks(ctx, m)
			}
		}
	}
	s.mu.Lock()
	s.flushed(m, err)
	s.mu.Unlock()
	switch {
	case err == nil || s.ctx.Err() != nil:
	case away(err):
		s.log.Debug().Err(err).Uint64("message", m.seq).Msg("decisions are not stored yet")
	default:
		s.log.Warn().Err(err).Uint64("message", m.seq).Msg("decisions cannot be stored, which is tried again; a kill before that repeats deliveries")
	}
}

// flushed ends a flush: leases without work are given back, and a message
// that is not needed is forgotten. Under mu.
func (s *Spool) flushed(m *message, err error) {
	m.flushing = false
	for _, w := range m.done {
		w <- err
	}
	m.done = nil
	if err != nil {
		m.dirtyAt = time.Now() // and again a little later
		return
	}
	m.dirtyAt = time.Time{}
	if len(m.unstored) > 0 {
		m.dirtyAt = time.Now()
	}
	s.settleLeases(m)
	for _, l := range m.leases {
		s.parkIfLong(m, l)
	}
	s.forgetIfUnused(m)
}

// settleLeases gives back what is not needed of a flushed message. Under mu.
func (s *Spool) settleLeases(m *message) {
	for dest, l := range m.leases {
		switch {
		case m.gone: // the server forgets it with the message
		case l.left == 0:
			_ = l.msg.Ack() // one that is lost comes as another delivery, and is acknowledged then
		default:
			continue
		}
		s.dropLease(m, dest)
	}
}

// dropLease takes a lease and its records out of the queue. Under mu.
func (s *Spool) dropLease(m *message, dest string) {
	l := m.leases[dest]
	for i := range l.items {
		l.forget(i)
	}
	delete(m.leases, dest)
	s.metrics.leases.Dec()
}

func (s *Spool) forgetIfUnused(m *message) {
	if len(m.leases) > 0 || m.users > 0 || m.flushing || (!m.gone && !m.clean()) {
		return
	}
	if s.messages[m.seq] == m {
		delete(s.messages, m.seq)
		s.held -= m.size
	}
}

// writeMarks stores a message's marks if the ones before are those of last.
func (s *Spool) writeMarks(ctx context.Context, seq uint64, data []byte, last uint64) (uint64, error) {
	ack, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: s.names.stateOf(seq), Data: data},
		jetstream.WithRetryAttempts(0), jetstream.WithExpectLastSequencePerSubject(last))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// readMarks reads what the servers know of a message's records, from the
// stream's leader.
func (s *Spool) readMarks(ctx context.Context, seq uint64, n int) (marks, uint64, error) {
	raw, err := s.read(ctx, s.names.state(), read{Last: s.names.stateOf(seq)})
	if isNotFound(err) {
		return marks{}, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	m, err := decodeMarks(raw.data, n)
	return m, raw.seq, err
}

// joinMarks reads what others decided of a message and joins it with what is
// known here.
func (s *Spool) joinMarks(ctx context.Context, m *message) error {
	theirs, seq, err := s.readMarks(ctx, m.seq, len(m.records))
	if err != nil {
		return err
	}
	s.mu.Lock()
	m.stateSeq = seq
	told, _ := s.decide(m, theirs, false)
	s.mu.Unlock()
	s.tell(told)
	return nil
}

// removeMessage removes a message of the stream, and its marks: where a record
// moved elsewhere, these are left to the sweep, for gateways that have an end of
// it to store. One that is not there is removed.
func (s *Spool) removeMessage(ctx context.Context, m *message, marked bool) error {
	err := s.recordStream.DeleteMsg(ctx, m.seq)
	if err != nil && !isGone(err) {
		return err
	}
	if marked && !s.hasMoved(m) {
		if err := s.stateStream.Purge(ctx, jetstream.WithPurgeSubject(s.names.stateOf(m.seq))); err != nil {
			return err
		}
	}
	if m.subject == s.names.againOf(m.project) {
		if err := s.stateStream.Purge(ctx, jetstream.WithPurgeSubject(s.names.again(m.records[0].id))); err != nil {
			return err
		}
	}
	s.touch()
	return nil
}

func (s *Spool) hasMoved(m *message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, k := range m.marks {
		if p.dest == "" && k.Kind == kindMoved {
			return true
		}
	}
	return false
}

// isGone says that a message to remove is not there.
func isGone(err error) bool {
	if isNotFound(err) {
		return true
	}
	text := err.Error()
	return errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) && (strings.Contains(text, "not found") || strings.Contains(text, "no message") || strings.Contains(text, "deleted message"))
}

// flushAll stores all decisions and returns how many messages have some left.
// For Close: nothing else runs.
func (s *Spool) flushAll(ctx context.Context) (left int) {
	s.mu.Lock()
	list := make([]*message, 0, len(s.messages))
	for _, m := range s.messages {
		if !m.clean() {
			list = append(list, m)
		}
	}
	s.mu.Unlock()
	work := make(chan *message)
	results := make(chan bool)
	for range 16 {
		go func() {
			for m := range work {
				s.flush(ctx, m)
				s.mu.Lock()
				ok := m.clean()
				s.mu.Unlock()
				results <- ok
			}
		}()
	}
	go func() {
		for _, m := range list {
			work <- m
		}
		close(work)
	}()
	for range list {
		if !<-results {
			left++
		}
	}
	return left
}

// handBackAll gives every lease back, so that the records go to another
// gateway at once. For Close.
func (s *Spool) handBackAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seq := range slices.Sorted(maps.Keys(s.messages)) { // they are given out again in this order
		for _, l := range s.messages[seq].leases {
			_ = l.msg.Nak() // one that is lost runs out
		}
	}
}
