package disk

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"breakwater/relay/spool"
)

// writer commits what waits: everything that came during one fsync shares the next.
func (s *Spool) writer() {
	defer close(s.writerDone)
	var buf []byte
	var batch []*appending
	for range s.wakeWriter {
		for {
			runtime.Gosched() // let those just woken get in line
			s.mu.Lock()
			batch = s.takeBatch(batch[:0])
			closed := s.closed
			s.mu.Unlock()
			if len(batch) == 0 {
				if closed {
					return
				}
				break
			}
			buf = s.commit(batch, buf[:0])
			for i, a := range batch {
				a.done <- struct{}{}
				batch[i] = nil
			}
			if cap(buf) > maxKept {
				buf = nil
			}
		}
		s.retireDrained()
	}
}

func (s *Spool) takeBatch(batch []*appending) []*appending {
	n, size := 0, 0
	for n < len(s.waiting) && (n == 0 || size+len(s.waiting[n].buf) <= maxBatch) {
		size += len(s.waiting[n].buf)
		n++
	}
	batch = append(batch, s.waiting[:n]...)
	left := copy(s.waiting, s.waiting[n:])
	clear(s.waiting[left:])
	s.waiting = s.waiting[:left]
	return batch
}

// commit makes a batch durable and known, or fails all of it.
func (s *Spool) commit(batch []*appending, buf []byte) []byte {
	for _, a := range batch {
		if len(a.blobs) > 0 {
			if err := s.fs.SyncDir(s.path(dirBlobs)); err != nil {
				s.fail(batch, fmt.Errorf("appending: %w", err))
				return buf
			}
			break
		}
	}
	s.assign(batch)
	err := s.ensureActive()
	if err == nil {
		buf, err = s.write(s.active, batch, buf)
	}
	if err != nil && !isNoSpace(err) {
		s.log.Error().Err(err).Msg("spool write failed; trying a new segment")
		if err = s.ensureActive(); err == nil {
			buf, err = s.write(s.active, batch, buf[:0])
		}
	}
	if err != nil {
		if isNoSpace(err) {
			err = &spool.FullError{Why: "disk", After: fullRetry, Err: err}
		}
		s.fail(batch, err)
		return buf
	}
	s.publish(s.active, batch)
	return buf
}

// assign gives the batch its ids, in the order it will lie in.
func (s *Spool) assign(batch []*appending) {
	ms := s.now().UnixMilli()
	s.mu.Lock()
	s.lastMs = max(s.lastMs, ms)
	ms = s.lastMs
	for _, a := range batch {
		s.lastSeq++
		a.id = makeID(ms, s.lastSeq, s.chance)
	}
	s.mu.Unlock()
}

func (s *Spool) fail(batch []*appending, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range batch {
		a.err = err
		s.unqueue(a)
	}
}

// unqueue gives back what enqueue reserved. Under mu.
func (s *Spool) unqueue(a *appending) {
	s.queued -= int64(len(a.buf))
	a.project.queued -= int64(len(a.buf))
}

// write puts a batch behind the segment's good bytes and syncs. When that
// fails the segment ends where it ended before.
func (s *Spool) write(g *segment, batch []*appending, buf []byte) ([]byte, error) {
	if g.size == 0 {
		buf = append(buf, segmentHeader...)
	}
	at := g.size
	put := func(b []byte) (err error) {
		if len(b) > 0 {
			_, err = g.file.WriteAt(b, at)
			at += int64(len(b))
		}
		return err
	}
	// Small records are gathered and written together; a large one is written
	// from where it is.
	var err error
	for _, a := range batch {
		sealFrame(a.buf, kindNative, a.id, a.sum, g.salt)
		if len(a.buf) < largeFrame {
			buf = append(buf, a.buf...)
			continue
		}
		if err = put(buf); err == nil {
			err = put(a.buf)
		}
		if buf = buf[:0]; err != nil {
			break
		}
	}
	if err == nil {
		err = put(buf)
	}
	if err != nil {
		if cut := g.file.Truncate(g.size); cut != nil || !isNoSpace(err) {
			s.retire(g)
		}
		return buf, fmt.Errorf("appending: %w", err)
	}
	start := time.Now()
	if err := g.file.Sync(); err != nil {
		// What the page cache holds of this file may differ from the disk from
		// now on: nothing more goes into it.
		_ = g.file.Truncate(g.size)
		s.retire(g)
		return buf, fmt.Errorf("appending: fsync: %w", err)
	}
	s.metrics.fsync.Observe(time.Since(start).Seconds())
	return buf, nil
}

// publish makes a durable batch known: to the ledger, then to the queues.
func (s *Spool) publish(g *segment, batch []*appending) {
	for _, a := range batch {
		m := &a.rec.Meta
		m.ID = a.id.String()
		keepSpills(a.rec)
		if a.dead == nil {
			s.observer.Appended(m)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	size := g.size
	if size == 0 {
		size = int64(len(segmentHeader))
	}
	for _, a := range batch {
		headBytes, _, _ := splitPayload(a.buf[frameHeader:])
		e := entry{
			seq: a.id.seq(), recv: a.rec.Meta.ReceivedAt.UnixMilli(), off: uint32(size),
			size: uint32(len(a.buf)), qty: a.qty, route: a.route, filed: len(a.blobs) > 0,
		}
		g.index.add(e.off, e.size, kindNative, a.id, headBytes)
		idx := s.addEntry(g, e, a.blobs, stFresh)
		if a.dead != nil {
			s.killAll(g, idx, *a.dead) // before anybody can claim it
		}
		size += int64(len(a.buf))
		s.unqueue(a)
		for _, b := range a.blobs { // they count with the record now
			a.project.queued -= b.size
		}
	}
	s.used.Add(size - g.size)
	g.size = size
	s.lastAppend = s.now()
}

// ensureActive makes sure there is a segment to append to, and that its name
// is durable before anything in it is acknowledged.
func (s *Spool) ensureActive() error {
	g := s.active // only the writer changes it
	if g != nil && g.size < s.segSize && g.index.count < maxIndexed {
		return nil
	}
	s.mu.Lock()
	s.lastNo++
	fresh := &segment{no: s.lastNo, salt: rand.Uint32(), ext: extActive, minRecv: maxTime}
	s.mu.Unlock()
	f, err := s.fs.Create(s.path(fresh.name() + fresh.ext))
	if err != nil {
		return fmt.Errorf("new segment: %w", err)
	}
	if g != nil {
		s.seal(g, false)
	}
	fresh.file = f
	fresh.pins = 1 // the writer's
	if err := s.fs.SyncDir(s.dir); err != nil {
		s.mu.Lock()
		s.active = nil
		s.mu.Unlock()
		_ = f.Close()
		_ = s.fs.Remove(s.path(fresh.name() + fresh.ext))
		return fmt.Errorf("new segment: %w", err)
	}
	s.mu.Lock()
	s.active = fresh
	s.openFiles++
	s.insert(fresh)
	s.mu.Unlock()
	return nil
}

// seal ends an active segment: its index is written, its name says so. Neither
// needs to be durable: a start can do without.
func (s *Spool) seal(g *segment, sync bool) {
	n, err := s.writeIndex(g.name(), &g.index, g.size, g.salt, sync)
	if err != nil {
		s.log.Warn().Err(err).Str("segment", g.name()).Msg("segment has no index; the next start will read all of it")
	}
	if err := s.fs.Rename(s.path(g.name()+extActive), s.path(g.name()+extSealed)); err == nil {
		s.mu.Lock()
		g.ext = extSealed
		s.mu.Unlock()
	}
	s.mu.Lock()
	g.index = indexBuilder{}
	g.entries = slices.Clip(g.entries)
	g.indexSize = n
	g.sealed = true
	s.used.Add(n)
	s.unpin(g)
	if g.live == 0 {
		kick(s.wakeKeeper)
	}
	s.mu.Unlock()
}

// retire seals a segment after a failure, with an index on disk that says
// where its good bytes end, whatever became of those behind.
func (s *Spool) retire(g *segment) {
	s.mu.Lock()
	s.active = nil
	s.mu.Unlock()
	s.seal(g, true)
	_ = s.fs.SyncDir(s.dir)
}

// retireDrained lets go of the active segment when nothing in it is living,
// so that a drained spool leaves nothing on disk.
func (s *Spool) retireDrained() {
	s.mu.Lock()
	g := s.active
	idle := s.now().Sub(s.lastAppend) >= drainIdle
	drained := g != nil && g.live == 0 && g.size > 0 && (g.size >= 1<<20 || idle) && len(s.waiting) == 0
	if drained {
		s.active = nil
	}
	s.mu.Unlock()
	if drained {
		s.seal(g, false)
	}
}

// drainIdle is how long a small drained segment is kept for the next append.
const drainIdle = 10 * time.Second
