package jetstream

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"breakwater/relay/spool"
)

// Ready is nil when something could be stored now, else why not. It answers
// from what is known: appends that failed, a lost connection, and a small
// message that is stored every second while nothing else tells.
func (s *Spool) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return spool.ErrClosed
	case s.down != nil:
		return &spool.FullError{Why: "unavailable", After: retryAfter, Err: s.down}
	}
	return nil
}

// retryAfter is what a client is told to wait while servers do not answer: a
// new leader takes some seconds.
const retryAfter = 5 * time.Second

// lost notes that nothing can be stored.
func (s *Spool) lost(err error) {
	s.mu.Lock()
	was := s.down
	if !s.closed {
		s.down = err
	}
	closed := s.closed
	s.mu.Unlock()
	if was == nil && !closed {
		s.log.Error().Err(err).Msg("nothing can be stored: clients are told to come back")
	}
	kick(s.wakeProbe)
}

// found notes that something was stored.
func (s *Spool) found() {
	s.mu.Lock()
	was := s.down
	s.down = nil
	s.mu.Unlock()
	if was != nil {
		s.log.Info().Msg("records can be stored again")
	}
}

// probe stores a small message, and removes it, until that works again.
func (s *Spool) probe() {
	defer s.wg.Done()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.wakeProbe:
		}
		for s.Ready() != nil && s.ctx.Err() == nil {
			if s.probeOnce() {
				s.found()
				break
			}
			if !pause(s.ctx, 250*time.Millisecond) {
				return
			}
		}
	}
}

// probeOnce is true when the stream's leader could store a message, or refused
// it for another reason than that it cannot decide.
func (s *Spool) probeOnce() bool {
	if !s.conn.IsConnected() {
		return false
	}
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
	defer cancel()
	ack, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: s.names.probe()}, withoutRetry...)
	if err != nil {
		s.suspectIf(err)
		return !away(err) && !errors.Is(err, context.Canceled)
	}
	_ = s.recordStream.DeleteMsg(ctx, ack.Sequence) // one that stays is bounded by its subject's limit
	return true
}
