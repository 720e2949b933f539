package jetstream

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Hold keeps all other gateways from what is named, until release: they wait in
// Hold as long. It waits until ctx ends. held ends when the hold is lost, which
// happens to a gateway that could not reach the servers for longer than the lease
// of a message. who is the gateway's name, the same after a restart and no
// other's: one that was killed need not wait for itself.
//
// Who holds it writes so again and again; who waits takes it when nothing was
// written for that long, by its own clock.
func (s *Spool) Hold(ctx context.Context, what, who string) (held context.Context, release func(), err error) {
	subject := s.names.prefix + ".state.hold." + what
	own, err := s.takeHold(ctx, subject, who)
	if err != nil {
		return nil, nil, err
	}
	held, lose := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer lose()
		for kept := time.Now(); pause(held, s.cfg.times.ackWait/6); {
			seq, err := s.writeHold(held, subject, who, own)
			switch {
			case err == nil:
				own, kept = seq, time.Now()
			case isConflict(err) || time.Since(kept) > s.cfg.times.ackWait/2:
				if held.Err() == nil {
					s.log.Error().Err(err).Str("hold", what).Msg("this gateway lost its hold: another one may work in its place")
				}
				return
			}
		}
	}()
	return held, func() {
		lose()
		<-ended
		free, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWait)
		defer cancel()
		_ = s.stateStream.DeleteMsg(free, own) // else it runs out
	}, nil
}

// takeHold waits until nobody has the hold, and takes it.
func (s *Spool) takeHold(ctx context.Context, subject, who string) (uint64, error) {
	var seen uint64
	since := time.Now()
	for {
		raw, err := s.read(ctx, s.names.state(), read{Last: subject})
		switch {
		case isNotFound(err):
			raw.seq, since = 0, time.Time{}
		case err == nil && string(raw.data) == who:
			since = time.Time{}
		case err != nil && !away(err):
			return 0, err
		case err != nil || raw.seq != seen:
			seen, since = raw.seq, time.Now()
		}
		if time.Since(since) > s.cfg.times.ackWait {
			seq, err := s.writeHold(ctx, subject, who, raw.seq)
			if err == nil {
				return seq, nil
			}
			if !isConflict(err) && !away(err) {
				return 0, err
			}
			since = time.Now()
		}
		if !pause(ctx, min(time.Second, s.cfg.times.ackWait/6)) {
			return 0, errors.Join(ctx.Err(), err)
		}
	}
}

// writeHold writes that this gateway has the hold, over what was last.
func (s *Spool) writeHold(ctx context.Context, subject, who string, last uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.times.ackWait/4)
	defer cancel()
	ack, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: []byte(who)},
		jetstream.WithRetryAttempts(0), jetstream.WithExpectLastSequencePerSubject(last))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}
