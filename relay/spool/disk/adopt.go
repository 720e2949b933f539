package disk

import (
	"context"
	"errors"
	"fmt"
	"os"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

var _ spool.Adopter = (*Spool)(nil)

// Adopt takes over a record of another spool; see spool.Adopter. This spool
// cannot tell a repeat: whoever moves records notes what was taken.
//
// A kill between the fsync of a dead letter and that of what says that it is
// one, some milliseconds, leaves a waiting record: it is delivered, or buried
// once more.
func (s *Spool) Adopt(ctx context.Context, rec *schemas.Record, from spool.Origin) error {
	if !from.Dead {
		return s.store(ctx, rec, nil)
	}
	if err := s.store(ctx, rec, &from.Reason); err != nil {
		return err
	}
	if err := s.syncAcks(); err != nil {
		return fmt.Errorf("burying %s: %w", rec.Meta.ID, err)
	}
	kick(s.wakeKeeper) // the budget of dead letters
	return nil
}

// killAll makes a record a dead letter of every destination. Under mu.
func (s *Spool) killAll(g *segment, idx uint32, reason string) {
	for _, q := range s.routes[g.entries[idx].route].queues {
		if r, ok := g.find(q, idx); ok {
			r.info().attempts = 1
			s.kill(r, 0, reason)
		}
	}
}

// Holds tells whether a directory holds records of a spool. It takes no lock
// and makes nothing: a directory that is not there holds none.
func Holds(dir string) (bool, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for a spool: %w", err)
	}
	for _, f := range files {
		if _, _, ext, ok := parseSegmentName(f.Name()); ok && (ext == extActive || ext == extSealed || ext == extMerged) {
			return true, nil
		}
	}
	return false, nil
}
