package disk

import (
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// keeperPeriod is how often the keeper looks around by itself.
const keeperPeriod = time.Second

// keeper gives disk back, ends what is too old, and merges.
func (s *Spool) keeper() {
	defer s.wg.Done()
	t := time.NewTicker(keeperPeriod)
	defer t.Stop()
	for {
		select {
		case <-s.wakeKeeper:
			s.collect()
			s.evict()
		case <-t.C:
			s.maintain()
		case finished := <-s.ticks:
			s.maintain()
			close(finished)
		case <-s.quit:
			return
		}
	}
}

func (s *Spool) maintain() {
	s.growth.Note(s.now(), s.used.Load())
	s.refreshFree()
	s.expire()
	s.evict()
	s.mu.Lock()
	trash := len(s.trash) > 0
	s.mu.Unlock()
	if trash {
		_ = s.flushAcks(true) // logged, and tried again
	}
	s.collect()
	s.merge()
	kick(s.wakeWriter) // it alone may let go of the active segment
}

// collect removes segments without a living record, and files of records that
// are gone.
func (s *Spool) collect() {
	s.mu.Lock()
	var empty []*segment
	for _, g := range s.segments {
		if g.live == 0 && g.sealed && !g.gone {
			empty = append(empty, g)
		}
	}
	freed := s.freed
	s.freed = nil
	s.mu.Unlock()
	for _, name := range freed {
		s.removeBlob(name)
	}
	if len(empty) > 0 {
		s.remove(empty)
	}
}

func (s *Spool) removeBlob(name string) {
	path := s.path(dirBlobs) + "/" + name
	var size int64
	if f, err := s.fs.Open(path); err == nil {
		size, _ = f.Size()
		_ = f.Close()
	}
	if err := s.fs.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Warn().Err(err).Msg("payload file could not be removed")
		return
	}
	s.used.Add(-size)
}

// remove deletes segments. The records go first, durably, and only then their
// acknowledgements: the other way round a power cut would deliver all again.
func (s *Spool) remove(list []*segment) {
	s.ackIO.Lock()
	defer s.ackIO.Unlock()
	s.mu.Lock()
	for _, g := range list {
		g.gone = true
		for _, sq := range g.sqs {
			sq.q.forget(sq)
		}
		if g.pins == 0 && g.file != nil {
			_ = g.file.Close()
			g.file = nil
			s.openFiles--
		}
		delete(s.unsynced, g)
		delete(s.newAcks, g)
		g.ackBuf = nil
	}
	isGone := func(g *segment) bool { return g.gone }
	s.segments = slices.DeleteFunc(s.segments, isGone)
	s.dirty = slices.DeleteFunc(s.dirty, isGone)
	s.mu.Unlock()

	removed := list[:0]
	for _, g := range list {
		if err := s.fs.Remove(s.path(g.name() + g.ext)); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.log.Warn().Err(err).Str("segment", g.name()).Msg("segment could not be removed; the next start will")
			continue
		}
		s.used.Add(-g.size)
		removed = append(removed, g)
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		s.log.Warn().Err(err).Msg("removal of segments is not durable yet")
		return
	}
	for _, g := range removed {
		if g.ackFile {
			_ = s.fs.Remove(s.path(g.name() + extAcks)) // an orphan goes at the next start
		}
		if g.indexSize > 0 {
			_ = s.fs.Remove(s.path(g.name() + extIndex))
		}
		s.used.Add(-g.ackSize - g.indexSize)
	}
}

// expireBatch bounds how many records are ended between two looks at the lock.
const expireBatch = 256

// expire ends pending records older than MaxAge, oldest first. Claimed ones
// are with a worker: their turn comes when they are released.
func (s *Spool) expire() {
	for {
		refs := s.overdue(s.now())
		for _, r := range refs {
			s.end(r, schemas.Final{Outcome: schemas.Expired, Reason: "max_age"}, func(st state) bool {
				return st.pending() && st != stClaimed
			})
		}
		if len(refs) < expireBatch {
			return
		}
	}
}

func (s *Spool) overdue(now time.Time) (refs []ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limits.MaxAge < 0 {
		return nil
	}
	cutoff := now.Add(-s.limits.MaxAge).UnixMilli()
	for _, g := range s.segments {
		if g.minRecv >= cutoff {
			continue
		}
		minRecv := int64(maxTime)
		for _, sq := range g.sqs {
			if sq.pending == 0 {
				continue
			}
			for pos, st := range sq.st {
				if !st.pending() {
					continue
				}
				r := ref{sq, uint32(pos)}
				recv := r.entry().recv
				if recv < cutoff && st != stClaimed {
					if refs = append(refs, r); len(refs) == expireBatch {
						return refs
					}
					continue
				}
				minRecv = min(minRecv, recv)
			}
		}
		if len(refs) == 0 {
			g.minRecv = minRecv
		}
	}
	return refs
}

// end finishes a record for one destination with the same final for each
// item, if it is still in a state that may, and tells whether it did.
func (s *Spool) end(r ref, f schemas.Final, may func(state) bool) bool {
	m, damage := s.readMeta(r)
	if damage != nil {
		s.setAside(r, damage)
	}
	s.mu.Lock()
	r = r.now()
	if s.closed || !may(r.state()) {
		s.mu.Unlock()
		return false
	}
	if m == nil {
		m = s.metaOf(r)
	}
	finals, last := s.finish(r, schemas.AllFinal(len(m.Counts), f.Outcome, f.Reason))
	s.mu.Unlock()
	if last {
		s.observer.Settled(m, finals)
	}
	return true
}

// readMeta reads a record's meta; damage is set when its bytes are no good.
func (s *Spool) readMeta(r ref) (m *schemas.Meta, damage error) {
	payload, id, err := s.read(r)
	if err == nil {
		m, _, err = decodeMeta(payload, id)
	}
	if errors.Is(err, errMalformed) {
		return nil, err
	}
	return m, nil
}

// evict drops the oldest dead letters while there are more than the budget
// allows. Their outcome was counted when they were buried.
func (s *Spool) evict() {
	s.mu.Lock()
	var total int64
	for _, q := range s.queues {
		total += q.deadBytes
	}
	over := total - s.limits.DeadLetterSize
	if over <= 0 {
		s.mu.Unlock()
		return
	}
	over += s.limits.DeadLetterSize / 20 // not for every single one
	s.mu.Unlock()

	dropped := 0
	for after := uint64(0); over > 0; {
		hits := s.find(spool.Query{Dead: true}, after, 1024)
		if len(hits) == 0 {
			break
		}
		for _, h := range hits {
			after = h.seq
			if over <= 0 {
				break
			}
			s.mu.Lock()
			r := h.ref.now()
			size := r.sq.seg.bytesOf(r.sq.idx[r.pos])
			s.mu.Unlock()
			if s.end(h.ref, schemas.Final{Outcome: schemas.DeadLetter, Reason: "evicted"}, func(st state) bool { return st == stDead }) {
				over -= size
				dropped++
			}
		}
	}
	if dropped > 0 {
		s.metrics.evicted.Add(float64(dropped))
		s.log.Warn().Int("records", dropped).Msg("dead letters were over their budget; the oldest were dropped")
		s.collect()
	}
}

func sortQueues(list []spool.Queue) {
	slices.SortFunc(list, func(a, b spool.Queue) int {
		return strings.Compare(a.Destination.String(), b.Destination.String())
	})
}
