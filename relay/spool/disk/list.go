package disk

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/oklog/ulid/v2"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// hit is a record found by a walk over the index.
type hit struct {
	seq  uint64
	dest int
	ref  ref
}

// listChunk is how many records one pass over the index finds.
const listChunk = 1 << 14

// find returns up to n records after a sequence number, in order, all
// destinations of the last one included. The lock is let go between segments.
func (s *Spool) find(q spool.Query, after uint64, n int) []hit {
	only := seqsOf(q.IDs)
	if q.IDs != nil && len(only) == 0 {
		return nil
	}
	s.mu.Lock()
	segments := slices.Clone(s.segments)
	s.mu.Unlock()
	var hits []hit
	limit := uint64(1<<64 - 1) // nothing behind it can be among the first n
	for _, g := range segments {
		s.mu.Lock()
		for _, sq := range g.sqs {
			if !matches(q, sq.q.dst) || (q.Dead && sq.dead == 0) || (!q.Dead && sq.pending == 0) {
				continue
			}
			hits = s.appendHits(hits, q, sq, after, limit, n, only)
		}
		s.mu.Unlock()
		if len(hits) > 2*n {
			hits, limit = firstHits(hits, n)
		}
	}
	hits, _ = firstHits(hits, n)
	return hits
}

// appendHits finds up to n records of a segment's list between two sequence
// numbers. Under mu.
func (s *Spool) appendHits(hits []hit, q spool.Query, sq *segQueue, after, limit uint64, n int, only map[uint64]bool) []hit {
	begin, ordered := 0, sq.seg.ext != extMerged
	if ordered { // so that a page deep in a long list costs no more than the first
		begin = sort.Search(len(sq.st), func(i int) bool { return ref{sq, uint32(i)}.entry().seq > after })
	}
	for pos, found := begin, 0; pos < len(sq.st); pos++ {
		if st := sq.st[pos]; (q.Dead && st != stDead) || (!q.Dead && !st.pending()) {
			continue
		}
		r := ref{sq, uint32(pos)}
		e := r.entry()
		if ordered && (e.seq > limit || found == n) {
			break
		}
		if e.seq <= after || e.seq > limit || (only != nil && !only[e.seq]) {
			continue
		}
		found++
		hits = append(hits, hit{e.seq, int(s.destOf(r)), r})
	}
	return hits
}

// firstHits sorts and cuts after the n-th, but never within a record.
func firstHits(hits []hit, n int) ([]hit, uint64) {
	slices.SortFunc(hits, func(a, b hit) int {
		switch {
		case a.seq < b.seq:
			return -1
		case a.seq > b.seq:
			return 1
		}
		return a.dest - b.dest
	})
	if len(hits) <= n {
		return hits, 1<<64 - 1
	}
	for n < len(hits) && hits[n].seq == hits[n-1].seq {
		n++
	}
	return hits[:n], hits[n-1].seq
}

func matches(q spool.Query, dst spool.Destination) bool {
	return (q.Project == "" || q.Project == dst.Project) && (q.Destination == "" || q.Destination == dst.Name)
}

// seqsOf reads ids; those that are none match nothing.
func seqsOf(ids []string) map[uint64]bool {
	if len(ids) == 0 {
		return nil
	}
	seqs := make(map[uint64]bool, len(ids))
	for _, id := range ids {
		if u, err := ulid.ParseStrict(id); err == nil {
			seqs[recordID(u).seq()] = true
		}
	}
	return seqs
}

// walk calls fn for each record that matches, with its meta. fn returns false
// to stop. Limit counts what fn took: it is for fn to count.
func (s *Spool) walk(q spool.Query, fn func(hit, *schemas.Meta) bool) error {
	var after uint64
	if q.After != "" {
		id, err := ulid.ParseStrict(q.After)
		if err != nil {
			return fmt.Errorf("listing after %q: %w", q.After, spool.ErrNotFound)
		}
		after = recordID(id).seq()
	}
	chunk := listChunk
	if q.Limit > 0 && q.EventID == "" {
		chunk = min(chunk, q.Limit)
	}
	for {
		hits := s.find(q, after, chunk)
		for _, h := range hits {
			after = h.seq
			payload, id, err := s.read(h.ref)
			if err != nil {
				continue // settled meanwhile, or damaged: a claim finds out
			}
			m, _, err := decodeMeta(payload, id)
			if err != nil || (q.EventID != "" && m.EventID != q.EventID) {
				continue
			}
			if !fn(h, m) {
				return nil
			}
		}
		if len(hits) < chunk {
			return nil
		}
	}
}

// List walks records, oldest first; see spool.Spool. A record with several
// destinations is listed once for each that matches. Limit counts entries, but
// a record's entries are never torn apart by it.
func (s *Spool) List(q spool.Query, fn func(spool.Entry) bool) error {
	n, last := 0, uint64(0)
	return s.walk(q, func(h hit, m *schemas.Meta) bool {
		if q.Limit > 0 && n >= q.Limit && h.seq != last {
			return false
		}
		s.mu.Lock()
		r := h.ref.now()
		st, info := r.state(), r.peek()
		e := spool.Entry{
			Meta: *m, Destination: r.sq.q.dst, Size: r.sq.seg.bytesOf(r.sq.idx[r.pos]), Dead: st == stDead,
			Reason: s.reasons[info.reason], Attempts: int(info.attempts), InFlight: st == stClaimed,
		}
		if st == stDelayed {
			e.Due = fromMillis(info.due)
		}
		s.mu.Unlock()
		if e.Dead != q.Dead || (!e.Dead && !st.pending()) {
			return true // changed meanwhile
		}
		n, last = n+1, h.seq
		return fn(e)
	})
}

// Open reads one stored record, pending or dead; its large payloads are files.
func (s *Spool) Open(id string) (*schemas.Record, error) {
	u, err := ulid.ParseStrict(id)
	if err != nil {
		return nil, fmt.Errorf("record %q: %w", id, spool.ErrNotFound)
	}
	want := recordID(u)
	for _, dead := range []bool{false, true} {
		for _, h := range s.find(spool.Query{IDs: []string{id}, Dead: dead}, want.seq()-1, 1) {
			payload, have, err := s.read(h.ref)
			if err != nil {
				return nil, fmt.Errorf("record %s: %w", id, err)
			}
			if have != want {
				continue // another record of the same number: not this one
			}
			m, raw, err := decodeMeta(payload, have)
			if err != nil {
				return nil, fmt.Errorf("record %s: %w", id, err)
			}
			s.mu.Lock()
			r := h.ref.now()
			blobs := r.sq.seg.blobs[r.sq.idx[r.pos]]
			s.mu.Unlock()
			env, err := spool.DecodeEnvelope(raw, blobs, s.blobBody)
			if err != nil {
				return nil, fmt.Errorf("record %s: %w", id, err)
			}
			return &schemas.Record{Meta: *m, Envelope: *env}, nil
		}
	}
	return nil, fmt.Errorf("record %s: %w", id, spool.ErrNotFound)
}

// each calls act for up to q.Limit records that match and returns how many it
// touched; a record counts once, however many of its destinations match.
func (s *Spool) each(q spool.Query, act func(hit, *schemas.Meta) bool) (int, error) {
	n, last := 0, uint64(0)
	err := s.walk(q, func(h hit, m *schemas.Meta) bool {
		if q.Limit > 0 && n >= q.Limit && h.seq != last {
			return false
		}
		if act(h, m) && h.seq != last {
			n, last = n+1, h.seq
		}
		return true
	})
	if n > 0 {
		err = errors.Join(err, s.syncAcks())
		kick(s.wakeKeeper)
	}
	return n, err
}

// Retry puts dead letters that match back into their queues, durably; q.Dead
// need not be set. It returns how many records it touched.
func (s *Spool) Retry(q spool.Query) (int, error) {
	q.Dead = true
	return s.each(q, func(h hit, m *schemas.Meta) bool {
		s.mu.Lock()
		r := h.ref.now()
		if s.closed || r.state() != stDead {
			s.mu.Unlock()
			return false
		}
		settled := r.entry().pending == 0
		s.set(r, stClaimed) // nobody may have it before the ledger knows
		*r.info() = retryInfo{}
		s.record(r.sq.seg, ack{op: opPending, dest: s.destOf(r), off: r.entry().off})
		s.mu.Unlock()
		if settled {
			s.observer.Requeued(m)
		}
		s.mu.Lock()
		if r = r.now(); r.state() == stClaimed {
			s.set(r, stReady)
			r.sq.q.ready.push(heapItem{r.entry().seq, r})
			r.sq.q.signal()
		}
		s.mu.Unlock()
		return true
	})
}

// Drop ends records that match, durably: pending ones as dead_letter with the
// reason "dropped", or dead letters when q.Dead is set. A worker that holds
// one may still deliver it. It returns how many records it touched.
func (s *Spool) Drop(q spool.Query) (int, error) {
	return s.End(q, schemas.Final{Outcome: schemas.DeadLetter, Reason: "dropped"})
}

// End ends records that match with an outcome, durably: waiting ones, or dead
// letters when q.Dead is set, whose outcome was counted when they were buried.
// A worker that holds one may still deliver it. It returns how many records it
// touched.
func (s *Spool) End(q spool.Query, f schemas.Final) (int, error) {
	return s.each(q, func(h hit, _ *schemas.Meta) bool {
		return s.end(h.ref, f, func(st state) bool {
			if q.Dead {
				return st == stDead
			}
			return st.pending()
		})
	})
}
