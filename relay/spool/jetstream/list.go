package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// How much of a stream one step of a walk reads.
const (
	pageMessages = 256
	pageBytes    = 8 << 20
)

// skew is how far the clocks of gateways and servers may differ for walks to
// find a place by the time in an id.
const skew = 5 * time.Minute

// entry is a record at a destination, found by a walk.
type entry struct {
	seq     uint64
	subject string
	i       int
	r       *stored
	dst     spool.Destination
	mark    mark
}

func (e entry) meta() *schemas.Meta { return e.r.metaOr(e.dst.Project) }

// pages reads a stream page by page, from the place of an id if one is given.
func (s *Spool) pages(ctx context.Context, stream, subjects, after string, page func([]got) (bool, error)) error {
	g := get{Next: subjects, Batch: pageMessages, MaxBytes: pageBytes, Seq: 1}
	g, err := startAt(g, after)
	if err != nil {
		return err
	}
	return s.pagesFrom(ctx, stream, g, page)
}

func (s *Spool) pagesFrom(ctx context.Context, stream string, g get, page func([]got) (bool, error)) error {
	for {
		list, err := s.fetch(ctx, stream, g)
		if err != nil {
			return fmt.Errorf("reading stream %s: %w", stream, err)
		}
		if len(list) == 0 {
			return nil
		}
		if more, err := page(list); err != nil || !more {
			return err
		}
		g.Seq, g.StartTime = list[len(list)-1].seq+1, nil
	}
}

// marksOf reads the marks of a page of messages, and joins what is known here.
func (s *Spool) marksOf(ctx context.Context, list []got, packs []*pack) ([]marks, error) {
	subjects := make([]string, len(list))
	at := map[string]int{}
	all := make([]marks, len(list))
	for i, g := range list {
		subjects[i] = s.names.stateOf(g.seq)
		at[subjects[i]], all[i] = i, marks{}
	}
	known := make([]*message, len(list)) // before the states are read: one that is stored meanwhile is forgotten here
	s.mu.Lock()
	for i, g := range list {
		if known[i] = s.messages[g.seq]; known[i] == nil {
			if _, gone := s.removed.in[g.seq]; gone {
				packs[i] = nil
			}
		}
	}
	s.mu.Unlock()
	states, err := s.fetch(ctx, s.names.state(), get{MultiLast: subjects, Batch: len(subjects)})
	if err != nil {
		return nil, err
	}
	for _, st := range states {
		i, ok := at[st.subject]
		if !ok || packs[i] == nil {
			continue
		}
		if all[i], err = decodeMarks(st.data, len(packs[i].records)); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, m := range known {
		if m != nil {
			for p, k := range m.marks {
				all[i][p] = k
			}
			if m.gone {
				packs[i] = nil
			}
		}
	}
	return all, nil
}

// walk calls fn for each record that waits at a destination that matches.
func (s *Spool) walk(ctx context.Context, q spool.Query, fn func(entry) (bool, error)) error {
	return s.walkIn(ctx, s.names.prefix+"."+"*"+"."+orAny(q.Project), q, fn)
}

func orAny(name string) string {
	if name == "" {
		return "*"
	}
	return token(name)
}

func (s *Spool) walkIn(ctx context.Context, subjects string, q spool.Query, fn func(entry) (bool, error)) error {
	only := set(q.IDs)
	q.Dead = false
	at, exact, err := s.behind(ctx, q)
	if err != nil {
		return err
	}
	g := get{Next: subjects, Batch: pageMessages, MaxBytes: pageBytes, Seq: max(at.seq, 1)}
	if !exact {
		if g, err = startAt(g, q.After); err != nil {
			return err
		}
	}
	return s.pagesFrom(ctx, s.names.records(), g, func(list []got) (bool, error) {
		packs := make([]*pack, len(list))
		for i, g := range list {
			packs[i], _ = decodePack(g.data) // one of another version is not listed
		}
		all, err := s.marksOf(ctx, list, packs)
		if err != nil {
			return false, err
		}
		for n, g := range list {
			p := packs[n]
			if p == nil {
				continue
			}
			for i := range p.records {
				r := &p.records[i]
				if exact && g.seq == at.seq && i <= at.i || !exact && q.After != "" && r.id <= q.After {
					continue
				}
				if (only != nil && !only[r.id]) || all[n][place{i, ""}].Kind == kindMoved {
					continue
				}
				for _, t := range r.targets {
					e := entry{seq: g.seq, subject: g.subject, i: i, r: r, dst: spool.Destination{Project: p.project, Name: t}, mark: all[n][place{i, t}]}
					if e.mark.ended() || !matches(q, e.dst) {
						continue
					}
					if q.EventID != "" && e.meta().EventID != q.EventID {
						continue
					}
					if more, err := fn(e); err != nil || !more {
						return false, err
					}
				}
			}
		}
		return true, nil
	})
}

// walkDead calls fn for each dead letter that matches.
func (s *Spool) walkDead(ctx context.Context, q spool.Query, fn func(*letter, *schemas.Meta) (bool, error)) error {
	subjects := s.names.prefix + ".dead." + orAny(q.Project) + "." + orAny(q.Destination) + ".*"
	only := set(q.IDs)
	q.Dead = true
	at, exact, err := s.behind(ctx, q)
	if err != nil {
		return err
	}
	g := get{Next: subjects, Batch: pageMessages, MaxBytes: pageBytes, Seq: at.seq + 1}
	return s.pagesFrom(ctx, s.names.dead(), g, func(list []got) (bool, error) {
		for _, g := range list {
			l, err := parseLetter(g)
			if err != nil || (only != nil && !only[l.id]) || (!exact && q.After != "" && l.id <= q.After) {
				continue
			}
			m := l.metaOr(l.project)
			if q.EventID != "" && m.EventID != q.EventID {
				continue
			}
			if more, err := fn(l, m); err != nil || !more {
				return false, err
			}
		}
		return true, nil
	})
}

func matches(q spool.Query, dst spool.Destination) bool {
	return (q.Project == "" || q.Project == dst.Project) && (q.Destination == "" || q.Destination == dst.Name)
}

func set(ids []string) map[string]bool {
	if ids == nil {
		return nil
	}
	m := map[string]bool{}
	for _, id := range ids {
		m[id] = true
	}
	return m
}

// List walks records in the order of the stream; see spool.Spool. What is out
// or put off at other gateways shows as waiting. After goes on behind a record's
// place, not its id; see behind.
func (s *Spool) List(q spool.Query, fn func(spool.Entry) bool) error {
	n, last := 0, ""
	enough := func(id string) bool {
		if q.Limit > 0 && n >= q.Limit && id != last {
			return true
		}
		n, last = n+1, id
		return false
	}
	if q.Dead {
		return s.walkDead(s.ctx, q, func(l *letter, m *schemas.Meta) (bool, error) {
			if enough(l.id) {
				return false, nil
			}
			s.listed.Add(cursor{l.id, true}, position{seq: l.seq})
			return fn(spool.Entry{
				Meta: *m, Destination: l.dst, Size: l.size, Dead: true, Reason: l.note.Reason, Attempts: l.note.Attempts,
			}), nil
		})
	}
	return s.walk(s.ctx, q, func(e entry) (bool, error) {
		if enough(e.r.id) {
			return false, nil
		}
		s.listed.Add(cursor{e.r.id, false}, position{e.seq, e.i})
		return fn(s.describe(e)), nil
	})
}

func (s *Spool) describe(e entry) spool.Entry {
	out := spool.Entry{Meta: *e.meta(), Destination: e.dst, Size: e.r.size}
	if e.mark.Kind == kindWait {
		out.Reason, out.Attempts, out.Due = e.mark.Reason, e.mark.Attempts, time.UnixMilli(e.mark.Due).UTC()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.messages[e.seq]; m != nil && m.leases[e.dst.Name] != nil {
		if it := m.leases[e.dst.Name].items[e.i]; it != nil {
			out.Reason, out.Attempts, out.InFlight, out.Due = it.reason, it.attempts, it.claimed, time.Time{}
			if it.due.After(s.now()) {
				out.Due = it.due
			}
		}
	}
	return out
}

var errStop = errors.New("found")

// Open reads one stored record, waiting or dead; its large payloads stay in
// the object store.
func (s *Spool) Open(id string) (*schemas.Record, error) {
	ctx, cancel := context.WithTimeout(s.ctx, decisionWait)
	defer cancel()
	r, err := s.find(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("record %q: %w", id, err)
	}
	m, err := r.decodeMeta()
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", id, err)
	}
	env, err := r.envelope(s.body)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", id, err)
	}
	return &schemas.Record{Meta: *m, Envelope: *env}, nil
}

// find looks for a record around the time of its id, then among those that
// were stored once more, then among the dead letters, then everywhere: the clock
// of the gateway that made the id may have been wrong.
func (s *Spool) find(ctx context.Context, id string) (found *stored, err error) {
	u, err := ulid.ParseStrict(id)
	if err != nil {
		return nil, spool.ErrNotFound
	}
	if r := s.findListed(ctx, id); r != nil {
		return r, nil
	}
	late := ulid.Time(u.Time()).Add(2 * skew)
	look := func(subjects, after string) error {
		q := spool.Query{IDs: []string{id}}
		return s.pages(ctx, s.names.records(), subjects, after, func(list []got) (bool, error) {
			packs := make([]*pack, len(list))
			hit := false
			for i, g := range list {
				p, err := decodePack(g.data)
				if err != nil {
					continue
				}
				for _, r := range p.records {
					if r.id == q.IDs[0] {
						packs[i], hit = p, true
					}
				}
			}
			if hit {
				all, err := s.marksOf(ctx, list, packs)
				if err != nil {
					return false, err
				}
				for n, p := range packs {
					if r := waitingIn(p, all[n], id); r != nil {
						found = r
						return false, errStop
					}
				}
			}
			return after == "" || list[len(list)-1].at.Before(late), nil
		})
	}
	err = look(s.names.prefix+".records.*", id)
	if err == nil {
		err = look(s.names.prefix+".again.*", "")
	}
	if err != nil && !errors.Is(err, errStop) {
		return nil, err
	}
	if found != nil {
		return found, nil
	}
	list, err := s.fetch(ctx, s.names.dead(), get{Next: s.names.prefix + ".dead.*.*." + id, Batch: 1})
	if err != nil {
		return nil, err
	}
	for _, g := range list {
		if l, err := parseLetter(g); err == nil {
			return l.stored, nil
		}
	}
	if err := look(s.names.prefix+".*.*", ""); err != nil && !errors.Is(err, errStop) {
		return nil, err
	}
	if found != nil {
		return found, nil
	}
	return nil, spool.ErrNotFound
}

// waitingIn is the record of a pack with that id, when a destination waits for it.
func waitingIn(p *pack, m marks, id string) *stored {
	if p == nil {
		return nil
	}
	for i := range p.records {
		r := &p.records[i]
		if r.id != id || m[place{i, ""}].Kind == kindMoved {
			continue
		}
		for _, t := range r.targets {
			if !m[place{i, t}].ended() {
				return r
			}
		}
	}
	return nil
}
