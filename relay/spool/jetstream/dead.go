package jetstream

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/goccy/go-json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"breakwater/relay/spool"
)

// deadNote is what a dead letter knows beside its record, in a header.
type deadNote struct {
	Reason   string `json:"reason"`
	Attempts int    `json:"attempts"`
	Home     uint64 `json:"home,omitempty"` // the message it was a record of
}

const noteHeader = "Breakwater-Dead-Letter"

// letter is a stored dead letter.
type letter struct {
	got
	*stored
	project string
	dst     spool.Destination
	note    deadNote
}

// putDead stores a dead letter, over one of the same record and destination,
// and returns when it is confirmed. The servers drop the oldest ones when
// there is no room. id names a repeat, "" for none.
func (s *Spool) putDead(ctx context.Context, r *stored, project string, dst spool.Destination, note deadNote, id string) error {
	r, err := s.fitting(ctx, r)
	if err != nil {
		return err
	}
	raw, err := r.again([]string{dst.Name}, nil)
	if err != nil {
		return err
	}
	head, err := json.Marshal(note)
	if err != nil {
		return err
	}
	data, _ := plain(s.life, project, raw) // their budget counts what records take
	msg := &nats.Msg{Subject: s.names.deadOf(dst, r.id), Data: data, Header: nats.Header{noteHeader: {string(head)}}}
	if id != "" {
		msg.Header.Set(jetstream.MsgIDHeader, id)
	}
	if _, _, err = s.confirm(msg, func() bool { return ctx.Err() == nil }); err == nil {
		s.touch()
	}
	return err
}

// fitting is a record as it fits into a message of its own. One that was stored
// while the servers took larger messages than now gets its envelope into the
// object store.
func (s *Spool) fitting(ctx context.Context, r *stored) (*stored, error) {
	if r.env == nil || len(r.meta)+len(r.env) <= s.packSize() {
		return r, nil
	}
	o := object{r.id + envelopeObject, int64(len(r.env))}
	if info, err := s.large.GetInfo(ctx, o.name); err != nil || int64(info.Size) != o.size { // else another destination's letter has it
		if o, err = s.putObject(ctx, o.name, bytes.NewReader(r.env), o.size); err != nil {
			return nil, err
		}
	}
	apart := *r
	apart.env, apart.objects = nil, append(slices.Clip(r.objects), o)
	return &apart, nil
}

// again encodes a record anew, for other destinations. What is in it is copied
// as it is: one that cannot be read can be buried.
func (r *stored) again(targets []string, carried map[string]mark) ([]byte, error) {
	b, err := appendHead(make([]byte, 0, len(r.meta)+len(r.env)+1024), r.id, targets, carried)
	if err != nil {
		return nil, err
	}
	b = binary.AppendVarint(b, r.recv)
	b = binary.AppendUvarint(b, uint64(r.items))
	b = binary.AppendUvarint(b, uint64(len(r.objects)))
	for _, o := range r.objects {
		b = spool.AppendBytes(b, o.name)
		b = binary.AppendUvarint(b, uint64(o.size))
	}
	b = spool.AppendBytes(b, r.meta)
	if r.env == nil {
		return append(b, 1), nil
	}
	return append(append(b, 0), r.env...), nil
}

func parseLetter(g got) (*letter, error) {
	p, err := decodePack(g.data)
	if err != nil {
		return nil, err
	}
	if len(p.records) != 1 || len(p.records[0].targets) != 1 {
		return nil, errMalformed
	}
	l := &letter{got: g, stored: &p.records[0], project: p.project, dst: spool.Destination{Project: p.project, Name: p.records[0].targets[0]}}
	if err := json.Unmarshal([]byte(g.header.Get(noteHeader)), &l.note); err != nil {
		return nil, fmt.Errorf("%w: dead letter: %w", errMalformed, err)
	}
	return l, nil
}

func (s *Spool) removeDead(ctx context.Context, seq uint64) error {
	if err := s.deadStream.DeleteMsg(ctx, seq); err != nil && !isGone(err) {
		return fmt.Errorf("removing a dead letter: %w", err)
	}
	s.touch()
	return nil
}

// dropLetter removes a dead letter, and its payloads where nobody needs them.
func (s *Spool) dropLetter(ctx context.Context, l *letter) (bool, error) {
	if err := s.removeDead(ctx, l.seq); err != nil {
		return false, err
	}
	if len(l.objects) > 0 {
		home, _, err := s.home(ctx, l)
		if home != nil {
			s.letGo(home)
		}
		if err == nil && home == nil {
			s.releaseObjects([]*stored{l.stored})
		}
	}
	return true, nil
}

// unneeded are the records of a message with payloads in the object store that
// ended here for good. One that was a dead letter may be on its way back just
// now: its payloads are for whoever ends the letter, or for the sweep. Under mu.
func (s *Spool) unneeded(m *message) (list []*stored) {
next:
	for i := range m.records {
		r := &m.records[i]
		if len(r.objects) == 0 || m.marks[place{i, ""}].Kind == kindMoved {
			continue
		}
		for _, t := range r.targets {
			if m.marks[place{i, t}].Kind == kindDead {
				continue next
			}
		}
		for _, k := range r.carried {
			if k.Kind == kindDead {
				continue next
			}
		}
		list = append(list, r)
	}
	return list
}

// releaseObjects removes the payloads of records of which no dead letter is left.
func (s *Spool) releaseObjects(list []*stored) {
	ctx, cancel := s.choreContext(10 * flushWait)
	defer cancel()
	for _, r := range list {
		left, err := s.fetch(ctx, s.names.dead(), get{Next: s.names.prefix + ".dead.*.*." + r.id, Batch: 1})
		if err != nil || len(left) > 0 {
			continue // or the sweep finds them
		}
		var names []string
		for _, o := range r.objects {
			names = append(names, o.name)
		}
		s.removeObjects(names)
	}
}
