package disk

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// A merge copies the living records of sparse segments into a new one, so that
// a destination that is down for days holds only its own records' bytes.
//
//	write X.merging → fsync → rename X.merged → fsync directory
//	→ records point into X → its acknowledgements fsync → delete the old ones
//
// Cut anywhere, a start finds either no X.merged, or one whose records replace
// those of the same sequence in older segments.

const (
	// mergeIdle is how long a segment must be left alone before it is merged:
	// one that is just being drained will soon be empty by itself.
	mergeIdle = 10 * time.Second
	// mergeSmall is how many small segments are worth a merge.
	mergeSmall = 8
)

// merging is one living record on its way.
type merging struct {
	from  *segment
	idx   uint32
	entry entry
	acks  []byte // where it stood when it was copied
}

// merge does one merge, if there is something to gain.
func (s *Spool) merge() {
	victims := s.victims()
	if len(victims) == 0 {
		return
	}
	if err := s.mergeInto(victims); err != nil {
		s.log.Warn().Err(err).Msg("segments could not be merged; trying again later")
	}
}

// victims chooses what to merge: a part of garbage, or many small ones.
func (s *Spool) victims() (list []*segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now().UnixMilli()
	pressed := s.used.Load() > s.limits.MaxSize/5*4
	var live int64
	small, sparse := 0, 0
	for _, g := range s.segments {
		if !g.sealed || g.live == 0 || live+g.liveBytes > s.segSize {
			continue
		}
		idle := now-g.lastAck >= mergeIdle.Milliseconds()
		switch {
		case pressed && g.liveBytes*2 <= g.size, idle && g.liveBytes*4 <= g.size*3:
			sparse++
		case idle && g.size < s.segSize/8:
			small++
		default:
			continue
		}
		list = append(list, g)
		live += g.liveBytes
	}
	if sparse == 0 && small < mergeSmall {
		return nil
	}
	if s.freeNow()-live < s.limits.MinFree/2 {
		return nil // no room to copy; segments that drain will make some
	}
	return list
}

func (s *Spool) mergeInto(victims []*segment) error {
	s.mu.Lock()
	s.lastNo++
	g := &segment{no: s.lastNo, salt: rand.Uint32(), ext: extMerged, minRecv: maxTime, lastAck: s.now().UnixMilli()}
	s.mu.Unlock()
	temp := s.path(g.name() + extMerge)
	f, err := s.fs.Create(temp)
	if err != nil {
		return err
	}
	moved, err := s.copyLiving(f, g, victims)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		g.indexSize, err = s.writeIndex(g.name(), &g.index, g.size, g.salt, false)
	}
	if err == nil {
		err = s.fs.Rename(temp, s.path(g.name()+extMerged))
	}
	if err != nil {
		_ = s.fs.Remove(temp)
		_ = s.fs.Remove(s.path(g.name() + extIndex))
		return err
	}
	g.index = indexBuilder{}
	if err := s.fs.SyncDir(s.dir); err != nil {
		// Whether the new name will be there after a power cut is unknown. If it
		// is, its records replace the old ones and acknowledgements of those are
		// taken over, so nothing is wrong; but nothing may be deleted.
		_ = s.fs.Remove(s.path(g.name() + extMerged))
		_ = s.fs.Remove(s.path(g.name() + extIndex))
		return err
	}
	s.mu.Lock()
	s.adopt(g, moved)
	s.mu.Unlock()
	s.used.Add(g.size + g.indexSize)
	if err := s.flushAcks(true); err != nil {
		return fmt.Errorf("acknowledgements of %s: %w", g.name(), err)
	}
	s.collect()
	return nil
}

// copyLiving writes the new segment. It holds about a megabyte at most, or one record.
func (s *Spool) copyLiving(f file, g *segment, victims []*segment) (moved []merging, err error) {
	buf := append([]byte(nil), segmentHeader...)
	flush := func() error {
		_, err := f.WriteAt(buf, g.size)
		g.size += int64(len(buf))
		buf = buf[:0]
		return err
	}
	var frameBuf []byte
	for _, from := range victims {
		for idx := range from.entries { // sealed: its length does not change
			off := uint32(g.size) + uint32(len(buf))
			e, acks, payload, id, err := s.copyOf(from, uint32(idx), off)
			if errors.Is(err, errMalformed) {
				s.endDamaged(from, uint32(idx))
				continue
			}
			if err != nil {
				return nil, err
			}
			if payload == nil {
				continue // not living
			}
			frameBuf, err = withState(append(frameBuf[:0], make([]byte, frameHeader)...), payload, acks)
			if err != nil {
				return nil, err
			}
			sealFrame(frameBuf, kindMoved, id, checksum(frameBuf[frameHeader:]), g.salt)
			e.off, e.size = off, uint32(len(frameBuf))
			headBytes, _, _ := splitPayload(frameBuf[frameHeader:])
			g.index.add(e.off, e.size, kindMoved, id, headBytes)
			buf = append(buf, frameBuf...)
			moved = append(moved, merging{from, uint32(idx), e, acks})
			if len(buf) >= 1<<20 {
				if err := flush(); err != nil {
					return nil, err
				}
			}
		}
	}
	return moved, flush()
}

// copyOf reads a record and where it stands; payload is nil when it is not living.
func (s *Spool) copyOf(from *segment, idx, off uint32) (e entry, acks, payload []byte, id recordID, err error) {
	s.mu.Lock()
	e = from.entries[idx]
	if !e.living() {
		s.mu.Unlock()
		return e, nil, nil, id, nil
	}
	acks = s.stateAcks(nil, from, idx, off)
	f, err := s.pin(from)
	s.mu.Unlock()
	if err != nil {
		return e, nil, nil, id, err
	}
	payload, id, err = readRecord(f, from.salt, e)
	s.mu.Lock()
	s.unpin(from)
	s.mu.Unlock()
	return e, acks, payload, id, err
}

// endDamaged ends a record whose bytes are damaged for every destination.
func (s *Spool) endDamaged(g *segment, idx uint32) {
	s.mu.Lock()
	var refs []ref
	for _, q := range s.routes[g.entries[idx].route].queues {
		if r, ok := g.find(q, idx); ok {
			refs = append(refs, r)
		}
	}
	s.mu.Unlock()
	for _, r := range refs {
		s.end(r, schemas.Final{Outcome: schemas.DeadLetter, Reason: "damaged"}, func(st state) bool {
			return st.pending() || st == stDead
		})
	}
}

// adopt lets the moved records point into their new segment. Under mu.
func (s *Spool) adopt(g *segment, moved []merging) {
	g.sealed = true
	s.insert(g)
	for _, m := range moved {
		acks := s.stateAcks(nil, m.from, m.idx, m.entry.off)
		partial, living := m.from.partial[m.idx], m.from.entries[m.idx].living()
		idx := s.addEntry(g, m.entry, m.from.blobs[m.idx], stDelayed)
		if partial != nil && living {
			if g.partial == nil {
				g.partial = map[uint32][]schemas.Final{}
			}
			g.partial[idx] = partial
		}
		for i, q := range s.routes[m.entry.route].queues {
			old, ok1 := m.from.find(q, m.idx)
			r, ok2 := g.find(q, idx)
			if !ok1 || !ok2 {
				continue
			}
			if old.state().pending() && !bytes.Equal(acks, m.acks) { // it may have been a dead letter
				s.record(g, ack{op: opPending, dest: uint32(i), off: m.entry.off})
			}
			s.shift(old, r)
		}
		if !bytes.Equal(acks, m.acks) {
			s.recordState(g, acks)
		}
	}
}

// shift gives r the state that old has, and makes old a pointer to r. Under mu.
func (s *Spool) shift(old, r ref) {
	st := old.state()
	if info := old.peek(); info != (retryInfo{}) {
		*r.info() = info
	}
	switch st {
	case stFresh, stReady:
		s.set(r, stReady)
		r.sq.q.ready.push(heapItem{r.entry().seq, r})
	case stDelayed:
		r.sq.q.due.push(heapItem{uint64(max(r.peek().due, 0)) * 1e6, r})
	default:
		s.set(r, st)
	}
	if old.sq.fwd == nil {
		old.sq.fwd = map[uint32]ref{}
	}
	old.sq.fwd[old.pos] = r
	s.set(old, stMoved)
}

// insert keeps the segments in the order of their numbers. Under mu.
func (s *Spool) insert(g *segment) {
	s.segments = append(s.segments, g)
	slices.SortFunc(s.segments, func(a, b *segment) int {
		if a.no < b.no {
			return -1
		}
		return 1
	})
}

// recordState records acknowledgements that came while a record was copied.
func (s *Spool) recordState(g *segment, acks []byte) {
	for d := (spool.Decoder{B: acks}); len(d.B) > 0; {
		a, ok := decodeAck(&d)
		if !ok {
			return
		}
		s.record(g, a)
	}
}
