package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// payload is an object of the store, and when its servers stored it.
type payload struct {
	name string
	at   time.Time
}

// needed takes the records that are in a stream out of a list. It fails when
// there is a message of a newer version, which may need any of them. A record
// that moves is stored at its new place before it is removed from the old one:
// records are looked at once more, from where the first look ended, after dead
// letters.
func (s *Spool) needed(ctx context.Context, byRecord map[string][]payload) error {
	last := uint64(0)
	for _, stream := range []string{s.names.records(), s.names.dead(), s.names.records()} {
		g := get{Next: ">", Batch: pageMessages, MaxBytes: pageBytes, Seq: 1}
		if stream == s.names.records() {
			g.Seq = last + 1
		}
		err := s.pagesFrom(ctx, stream, g, func(list []got) (bool, error) {
			for _, m := range list {
				if stream == s.names.records() {
					last = m.seq
				}
				if m.subject == s.names.probe() {
					continue
				}
				p, err := decodePack(m.data)
				switch {
				case errors.Is(err, errNewer):
					return false, fmt.Errorf("message %d of %s: %w", m.seq, stream, err)
				case err != nil || p.broken > 0:
					s.mayNeed(m, byRecord)
				}
				if err != nil {
					continue
				}
				for i := range p.records {
					delete(byRecord, p.records[i].id)
				}
			}
			return len(byRecord) > 0, nil
		})
		if err != nil || len(byRecord) == 0 {
			return err
		}
	}
	return nil
}

// longestUpload is more than passes between the first payload of a record that
// is stored and the record.
const longestUpload = time.Hour

// mayNeed takes the records out of a list that a message which cannot be read
// may hold. A dead letter and a retried record name theirs outside; all others
// are stored right after their payloads.
func (s *Spool) mayNeed(m got, byRecord map[string][]payload) {
	if id, ok := strings.CutPrefix(m.subject, s.names.prefix+".dead."); ok {
		delete(byRecord, id[strings.LastIndexByte(id, '.')+1:])
		return
	}
	from := m.at.Add(-longestUpload - skew)
	if strings.HasPrefix(m.subject, s.names.prefix+".again.") {
		if id, ok := strings.CutPrefix(m.header.Get(jetstream.MsgIDHeader), "again/"); ok {
			id, _, _ = strings.Cut(id, "/")
			delete(byRecord, id)
			return
		}
		from = time.Time{}
	}
	for id, list := range byRecord {
		for _, p := range list {
			if m.at.IsZero() || p.at.After(from) && p.at.Before(m.at.Add(skew)) {
				delete(byRecord, id)
				break
			}
		}
	}
}

// mostMarks bounds how many messages a sweep of marks remembers.
const mostMarks = 1 << 18

// sweepMarks removes marks of messages that are gone: of removals that were
// broken off half way, and of gateways that wrote them when another one had
// removed the message. A mark is written only when its message is stored, and no
// sequence is given twice.
func (s *Spool) sweepMarks(ctx context.Context) error {
	info, err := s.recordStream.Info(ctx)
	if err != nil {
		return err
	}
	prefix := s.names.prefix + ".state."
	behind := map[uint64][]uint64{} // by messages behind the first one, the places of their marks
	err = s.pages(ctx, s.names.state(), prefix+">", "", func(list []got) (bool, error) {
		for _, g := range list {
			of := strings.TrimPrefix(g.subject, prefix)
			if strings.HasPrefix(of, "again.") {
				of = string(g.data)
			}
			seq, err := strconv.ParseUint(of, 10, 64)
			switch {
			case err != nil: // none of a message
			case seq >= info.State.FirstSeq:
				if len(behind) < mostMarks || behind[seq] != nil {
					behind[seq] = append(behind[seq], g.seq)
				}
			default:
				if err := s.removeMark(ctx, g.seq); err != nil {
					return false, err
				}
			}
		}
		return true, nil
	})
	if err != nil || len(behind) == 0 {
		return err
	}
	if err := s.dropPresent(ctx, behind); err != nil {
		return err
	}
	for seq, places := range behind {
		if _, err := s.read(ctx, s.names.records(), read{Seq: seq}); !isNotFound(err) {
			if err != nil {
				return err
			}
			continue // a server that is behind did not have it
		}
		for _, at := range places {
			if err := s.removeMark(ctx, at); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Spool) removeMark(ctx context.Context, seq uint64) error {
	if err := s.stateStream.DeleteMsg(ctx, seq); err != nil && !isGone(err) {
		return err
	}
	return nil
}

// dropPresent takes the messages out of a list that are in the stream of
// records. It asks for their headers only.
func (s *Spool) dropPresent(ctx context.Context, list map[uint64][]uint64) error {
	first := uint64(0)
	for seq := range list {
		if first == 0 || seq < first {
			first = seq
		}
	}
	c, err := s.recordStream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: first, AckPolicy: jetstream.AckNonePolicy,
		HeadersOnly: true, MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return err
	}
	defer func() { _ = s.recordStream.DeleteConsumer(ctx, c.CachedInfo().Name) }() // else it ends by itself
	for {
		batch, err := c.FetchNoWait(1024)
		if err != nil {
			return err
		}
		n := 0
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				return err
			}
			n++
			delete(list, meta.Sequence.Stream)
		}
		if err := batch.Error(); err != nil {
			return err
		}
		if n == 0 || len(list) == 0 {
			return nil
		}
	}
}
