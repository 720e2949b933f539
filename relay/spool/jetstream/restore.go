package jetstream

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// suspectIf notes what may mean that somebody removed a stream: the servers say
// that there is none, or nobody answers for it.
func (s *Spool) suspectIf(err error) {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrNoStreamResponse) {
		s.suspect.Store(true)
	}
}

// looks is how often the servers must say that a stream is not there, a
// lookPause apart, before it is made again.
const (
	looks     = 4
	lookPause = 250 * time.Millisecond
)

// restore makes the streams again that somebody removed. What was in them is
// lost. A stream whose servers are away is not missing: only its absence from
// what the cluster has agreed on is, and that several times in a row.
func (s *Spool) restore() {
	if !s.suspect.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	for range looks {
		missing, err := s.missing(ctx)
		if err != nil {
			return // asked again in a second
		}
		if !missing {
			s.suspect.Store(false)
			return
		}
		if !pause(ctx, lookPause) {
			return
		}
	}
	s.mu.Lock()
	l := s.limits
	s.mu.Unlock()
	if err := s.prepare(ctx, l); err != nil {
		if s.ctx.Err() == nil {
			s.log.Error().Err(err).Msg("a stream is missing and cannot be made again, which is tried again")
		}
		return
	}
	s.suspect.Store(false)
	s.mu.Lock()
	for _, q := range s.queues {
		q.consumer = nil // it went with its stream
	}
	s.mu.Unlock()
	s.touch()
	kick(s.wakeProbe)
}

// missing says that one of the streams is not there.
func (s *Spool) missing(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for _, name := range s.names.all() {
		switch _, err := s.js.Stream(ctx, name); {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return true, nil
		case err != nil:
			return false, err
		}
	}
	return false, nil
}

// made notes a stream that was made: while the spool is in use, in place of one
// that somebody removed. Of several gateways only the one that made it gets here.
func (s *Spool) made(stream string) {
	if !s.opened.Load() {
		return
	}
	lost := int64(0)
	if stream == s.names.records() {
		s.stats.mu.Lock()
		lost = s.stats.waiting
		s.stats.waiting = 0
		s.stats.mu.Unlock()
		s.metrics.lost.Add(float64(lost))
	}
	s.log.Error().Str("stream", stream).Int64("records", lost).
		Msg("somebody removed a stream of the spool; it was made again, and the records that waited in it are lost but for those that gateways hold")
}
