package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"breakwater/relay/spool"
)

// position is a record's place in a stream.
type position struct {
	seq uint64
	i   int // in its message
}

// cursor names a record that was listed.
type cursor struct {
	id   string
	dead bool
}

// behind finds the place from which a listing goes on after q.After. Ids are
// made by several gateways, and dead letters are buried in an order of their own,
// so the order of ids is not that of the stream: the places of what was listed
// are remembered, others are looked for. ok is false where the record is gone and
// was not listed here; the listing then leaves out what has a smaller id.
func (s *Spool) behind(ctx context.Context, q spool.Query) (p position, ok bool, err error) {
	if q.After == "" {
		return p, false, nil
	}
	u, err := ulid.ParseStrict(q.After)
	if err != nil {
		return p, false, fmt.Errorf("listing after %q: %w", q.After, spool.ErrNotFound)
	}
	if p, ok = s.listed.Get(cursor{q.After, q.Dead}); ok {
		return p, true, nil
	}
	if q.Dead {
		list, err := s.fetch(ctx, s.names.dead(), get{Next: s.names.prefix + ".dead.*.*." + q.After, Batch: pageMessages})
		for _, g := range list {
			p, ok = position{seq: max(p.seq, g.seq)}, true
		}
		return p, ok, err
	}
	late := ulid.Time(u.Time()).Add(2 * skew)
	err = s.pages(ctx, s.names.records(), s.names.prefix+".*.*", q.After, func(list []got) (bool, error) {
		for _, g := range list {
			pk, err := decodePack(g.data)
			if err != nil {
				continue
			}
			for i := range pk.records {
				if pk.records[i].id == q.After {
					p, ok = position{g.seq, i}, true
					return false, errStop
				}
			}
		}
		return list[len(list)-1].at.Before(late), nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return p, ok, err
}

// startAt is where a walk by the order of ids begins.
func startAt(g get, after string) (get, error) {
	if after == "" {
		return g, nil
	}
	u, err := ulid.ParseStrict(after)
	if err != nil {
		return g, fmt.Errorf("listing after %q: %w", after, spool.ErrNotFound)
	}
	at := ulid.Time(u.Time()).Add(-skew)
	g.Seq, g.StartTime = 0, &at
	return g, nil
}

// findListed looks for a record where it was listed last, nil when it is not
// there any more: whoever reads what was listed would walk the stream for each.
func (s *Spool) findListed(ctx context.Context, id string) *stored {
	at, ok := s.listed.Get(cursor{id, false})
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	raw, err := s.recordStream.GetMsg(ctx, at.seq)
	if err != nil {
		return nil
	}
	p, err := decodePack(raw.Data)
	if err != nil {
		return nil
	}
	packs := []*pack{p}
	all, err := s.marksOf(ctx, []got{{seq: at.seq, subject: raw.Subject, data: raw.Data}}, packs)
	if err != nil || packs[0] == nil {
		return nil
	}
	return waitingIn(packs[0], all[0], id)
}
