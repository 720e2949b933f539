package jetstream

import (
	"context"

	"breakwater/relay/spool"
)

// load finds a message here, or takes it up with what the servers know of its
// records. data is nil when it has to be read as well. The caller holds the
// message until unload.
func (s *Spool) load(ctx context.Context, seq uint64, subject string, data []byte) (*message, error) {
	if data == nil {
		raw, err := s.read(ctx, s.names.records(), read{Seq: seq})
		if isNotFound(err) {
			return nil, spool.ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		subject, data = raw.subject, raw.data
	}
	s.mu.Lock()
	m := s.messages[seq]
	if m != nil {
		m.users++
	}
	s.mu.Unlock()
	if m == nil {
		p, err := decodePack(data)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		if m = s.messages[seq]; m == nil {
			m = newMessage(seq, subject, p)
			s.messages[seq] = m
			s.held += m.size
		}
		m.users++
		s.mu.Unlock()
		if p.broken > 0 {
			s.noteDamage(seq, p.broken, "records of a message cannot be read; the message stays in the stream")
		}
	}
	if err := s.joinMarks(ctx, m); err != nil {
		s.letGo(m)
		return nil, err
	}
	return m, nil
}

// noteDamage counts what cannot be read, once for each message, and says so.
func (s *Spool) noteDamage(seq uint64, n int, what string) {
	s.mu.Lock()
	_, known := s.bad.in[seq]
	if !known {
		s.bad.add(seq)
		s.damaged += int64(n)
	}
	s.mu.Unlock()
	if !known {
		s.log.Error().Uint64("message", seq).Int("records", n).Msg(what)
	}
}

// unload ends a load. Under mu.
func (s *Spool) unload(m *message) {
	m.users--
	s.forgetIfUnused(m)
}

// hold keeps a message like a load. Under mu.
func (s *Spool) hold(m *message) { m.users++ }

func (s *Spool) letGo(m *message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unload(m)
}

// follow ends a record that moved to another message while it was out.
func (s *Spool) follow(seq uint64, id string, dst spool.Destination, k mark) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.times.giveUp)
	defer cancel()
	for {
		m, err := s.load(ctx, seq, "", nil)
		if err != nil {
			return nil // it ended there, or comes again: a duplicate
		}
		for i := range m.records {
			if m.records[i].id != id {
				continue
			}
			s.mu.Lock()
			told, _ := s.decide(m, marks{place{i, dst.Name}: k}, true)
			to := m.marks[place{i, ""}]
			s.mu.Unlock()
			s.tell(told)
			if to.Kind == kindMoved && to.To > seq {
				seq = to.To
				break
			}
			err := s.flushNow(ctx, m)
			s.letGo(m)
			return err
		}
		s.letGo(m)
		if m.seq == seq {
			return nil
		}
	}
}
