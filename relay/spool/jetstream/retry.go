package jetstream

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"breakwater/relay/spool"
)

// retryLetter puts a dead letter back for its destination: it is stored as a
// message of its own, confirmed, and then removed from the dead letters. A
// kill in between is no loss, and a second try is recognised.
//
// While other destinations of the record still wait, the whole record moves
// into the new message, so that it settles once; else it is counted again.
func (s *Spool) retryLetter(ctx context.Context, l *letter) (bool, error) {
	targets, carried := []string{l.dst.Name}, map[string]mark(nil)
	home, i, err := s.home(ctx, l)
	if err != nil {
		return false, err
	}
	if home != nil {
		defer s.letGo(home)
		s.mu.Lock()
		carried = map[string]mark{}
		for dest, k := range home.records[i].carried {
			if dest != l.dst.Name {
				carried[dest] = k
			}
		}
		for _, t := range home.records[i].targets {
			switch k := home.marks[place{i, t}]; {
			case t == l.dst.Name:
			case k.ended():
				carried[t] = k
			default:
				targets = append(targets, t)
			}
		}
		s.mu.Unlock()
	}
	r, err := s.fitting(ctx, l.stored)
	if err != nil {
		return false, err
	}
	raw, err := r.again(targets, carried)
	if err != nil {
		return false, err
	}
	msg := &nats.Msg{Subject: s.names.againOf(l.project), Data: encodePack(s.life, l.project, raw)}
	if home != nil {
		msg.Data = encodePack(home.life, l.project, raw)
	}
	msg.Header = nats.Header{jetstream.MsgIDHeader: {"again/" + l.id + "/" + token(l.dst.Name) + "/" + strconv.FormatUint(l.seq, 10)}}
	ack, repeated, err := s.confirm(msg, func() bool { return ctx.Err() == nil })
	if err != nil {
		return false, err
	}
	s.touch()
	if home == nil && (repeated || !ack.Duplicate) { // else another gateway did it at the same time, and told of it
		s.observer.Requeued(l.metaOr(l.project))
	}
	if err := s.noteAgain(ctx, l, ack.Sequence); err != nil {
		return true, err
	}
	if home != nil {
		ended, err := s.moveOut(ctx, home, i, ack.Sequence)
		if err != nil {
			return true, err
		}
		if ended { // meanwhile, and was counted: it is this destination's alone now
			if repeated || !ack.Duplicate {
				s.observer.Requeued(l.metaOr(l.project))
			}
			for _, t := range targets[1:] {
				if err := s.follow(ack.Sequence, l.id, spool.Destination{Project: l.project, Name: t}, mark{Kind: kindDone}); err != nil {
					return true, err
				}
			}
		}
	}
	return true, s.removeDead(ctx, l.seq)
}

// moveOut notes that a record lies in another message now. It is ended, and not
// moved, where its last other destination has ended since the retry looked.
//
// Whoever writes a message's marks first wins: the note of the move is written
// over those that were read, and a gateway that ends the last destination of a
// record with a dead letter writes that before it tells of it and removes the
// message.
func (s *Spool) moveOut(ctx context.Context, m *message, i int, to uint64) (ended bool, err error) {
	moved := mark{Kind: kindMoved, To: to}
	for {
		s.mu.Lock()
		if m.marks[place{i, ""}].Kind == kindMoved { // by another gateway's retry, or by this one's last try
			s.mu.Unlock()
			return false, s.flushNow(ctx, m)
		}
		if m.gone || m.left[i] == 0 {
			s.mu.Unlock()
			return true, nil
		}
		all, last := maps.Clone(m.marks), m.stateSeq
		s.mu.Unlock()
		// A message without marks may have been removed with them: some are written
		// first, which tells, and which whoever removes it has to read.
		first := last == 0
		if !first {
			all[place{i, ""}] = moved
		}
		data, err := all.encode()
		if err != nil {
			return false, err
		}
		seq, err := s.writeMarks(ctx, m.seq, data, last)
		switch {
		case err == nil:
			s.mu.Lock()
			m.stateSeq = seq
			if !first {
				s.decide(m, marks{place{i, ""}: moved}, false)
				s.soil(m)
			}
			s.mu.Unlock()
			if !first {
				continue
			}
		case isConflict(err):
			s.metrics.conflicts.Inc()
		case !away(err) || !pause(ctx, 100*time.Millisecond):
			return false, err
		}
		if err := s.joinMarks(ctx, m); err != nil && !away(err) {
			return false, err
		}
		if _, err := s.read(ctx, s.names.records(), read{Seq: m.seq}); isNotFound(err) {
			s.mu.Lock()
			here := m.marks[place{i, ""}].Kind == kindMoved
			s.mu.Unlock()
			return !here, nil
		}
	}
}

// mayMove says that a retry may be moving a record: one with a dead letter, and
// with another destination that waited until now. That it ended is told of when
// it is stored, because the retry may be first. Under mu.
func (m *message) mayMove(i int) bool {
	r := &m.records[i]
	if len(r.targets)+len(r.carried) < 2 {
		return false
	}
	for _, t := range r.targets {
		if m.marks[place{i, t}].Kind == kindDead {
			return true
		}
	}
	for _, k := range r.carried {
		if k.Kind == kindDead {
			return true
		}
	}
	return false
}

// settledAll are the settlements of records whose end is stored, but for those
// that a retry moved before. Under mu.
func (s *Spool) settledAll(m *message, records []int) (list []settlement) {
	for _, i := range records {
		if m.marks[place{i, ""}].Kind != kindMoved {
			list = append(list, s.settled(m, i))
		}
	}
	return list
}

// movedAway follows a record that a retry moved while this gateway had ends of
// it that were not stored: they are stored where it lies now. Under mu.
func (s *Spool) movedAway(m *message, i int, to uint64) {
	ends := map[string]mark{}
	for _, own := range []map[place]struct{}{m.unstored, m.storing} {
		for p := range own {
			if k := m.marks[p]; p.i == i && p.dest != "" && k.ended() {
				ends[p.dest] = k
			}
		}
	}
	if len(ends) == 0 {
		return
	}
	id := m.records[i].id
	s.choreLocked(func() {
		for dest, k := range ends {
			if err := s.follow(to, id, spool.Destination{Project: m.project, Name: dest}, k); err != nil && s.ctx.Err() == nil {
				s.log.Warn().Err(err).Str("record", id).Msg("the end of a record that was moved is not stored; it is delivered again")
			}
		}
	})
}

// home finds the message in which the record of a dead letter still waits for
// another destination; nil when it does not. The caller lets go of it.
func (s *Spool) home(ctx context.Context, l *letter) (*message, int, error) {
	m, i, err := s.waitsIn(ctx, l.note.Home, l.id)
	if m != nil || err != nil {
		return m, i, err
	}
	raw, err := s.read(ctx, s.names.state(), read{Last: s.names.again(l.id)})
	if isNotFound(err) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	seq, err := strconv.ParseUint(string(raw.data), 10, 64)
	if err != nil {
		return nil, 0, errMalformed
	}
	return s.waitsIn(ctx, seq, l.id)
}

// noteAgain notes where a record lies that was retried, if it has more dead
// letters: when they are retried, too, they join it.
func (s *Spool) noteAgain(ctx context.Context, l *letter, seq uint64) error {
	list, err := s.fetch(ctx, s.names.dead(), get{Next: s.names.prefix + ".dead.*.*." + l.id, Batch: 2})
	if err != nil || len(list) < 2 {
		return err
	}
	_, err = s.js.Publish(ctx, s.names.again(l.id), strconv.AppendUint(nil, seq, 10))
	return err
}

// waitsIn finds a record that waits in a message, or in the one it moved to.
func (s *Spool) waitsIn(ctx context.Context, seq uint64, id string) (*message, int, error) {
	for seq != 0 {
		m, err := s.load(ctx, seq, "", nil)
		if errors.Is(err, spool.ErrNotFound) {
			return nil, 0, nil
		}
		if err != nil {
			return nil, 0, err
		}
		seq = 0
		s.mu.Lock()
		for i := range m.records {
			if m.records[i].id != id {
				continue
			}
			if m.left[i] > 0 {
				s.mu.Unlock()
				return m, i, nil
			}
			seq = m.marks[place{i, ""}].To
		}
		s.unload(m)
		s.mu.Unlock()
	}
	return nil, 0, nil
}
