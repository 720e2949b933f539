package jetstream

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// Adopt takes over a record of another spool; see spool.Adopter. The servers
// know a repeat for two minutes, by where the record comes from.
func (s *Spool) Adopt(ctx context.Context, rec *schemas.Record, from spool.Origin) error {
	if err := s.adopt(ctx, rec, from); err != nil {
		discardSpills(rec)
		rec.Meta.ID = ""
		return err
	}
	return nil
}

func (s *Spool) adopt(ctx context.Context, rec *schemas.Record, from spool.Origin) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(rec.Meta.Destinations) == 0 {
		return errNoDestination
	}
	if err := s.Ready(); err != nil {
		return err
	}
	if err := s.room(rec.Meta.Project, bodySize(rec)); err != nil {
		return err
	}
	rec.Meta.ID = s.newID()
	objs, err := s.putLarge(ctx, rec)
	if err != nil {
		return err
	}
	raw, err := encodeRecord(rec, unique(rec.Meta.Destinations), nil, objs)
	if err == nil {
		err = s.storeAdopted(ctx, rec, raw, from, objs)
	}
	if err != nil {
		if full := (*spool.FullError)(nil); !from.Dead && (!errors.As(err, &full) || full.Why != "unavailable") {
			s.dropObjects(objs) // else a record or some of the letters may be stored, and need them
		}
		return err
	}
	discardSpills(rec)
	return nil
}

func (s *Spool) storeAdopted(ctx context.Context, rec *schemas.Record, raw []byte, from spool.Origin, objs map[int]object) error {
	r, err := decodeRecord(raw)
	if err != nil {
		return err
	}
	if from.Dead {
		for _, d := range r.targets {
			dst := spool.Destination{Project: rec.Meta.Project, Name: d}
			if err := s.putDead(ctx, &r, rec.Meta.Project, dst, deadNote{Reason: clip(from.Reason), Attempts: 1}, "adopt/"+token(d)+"/"+from.ID); err != nil {
				return fmt.Errorf("taking over dead letter %s: %w", from.ID, err)
			}
		}
		return nil
	}
	msg := &nats.Msg{Subject: s.names.packOf(rec.Meta.Project), Data: encodePack(s.life, rec.Meta.Project, raw)}
	msg.Header = nats.Header{jetstream.MsgIDHeader: {"adopt/" + token(rec.Meta.Project) + "/" + from.ID}}
	ack, again, err := s.confirm(msg, func() bool { return ctx.Err() == nil })
	if err != nil {
		return err
	}
	if ack.Duplicate && !again {
		s.dropObjects(objs)
		rec.Meta.ID = ""
		return nil
	}
	s.added(addition{ack.Sequence, rec.Meta.Project, int64(len(msg.Data)), r.size})
	s.observer.Appended(&rec.Meta)
	return nil
}
