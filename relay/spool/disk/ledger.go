package disk

import (
	"math"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// Everything in this file runs under Spool.mu and keeps the counts right:
// per queue, per project, per segment, per record.

const maxTime = math.MaxInt64

// addEntry makes a record known in segment g, in state st with every
// destination of its route.
func (s *Spool) addEntry(g *segment, e entry, blobs []blobRef, st state) uint32 {
	r := s.routes[e.route]
	idx := uint32(len(g.entries))
	e.pending, e.dead = uint16(len(r.queues)), 0 // one that moved brings what it was elsewhere
	g.entries = append(g.entries, e)
	if len(blobs) > 0 {
		if g.blobs == nil {
			g.blobs = map[uint32][]blobRef{}
		}
		g.blobs[idx] = append([]blobRef(nil), blobs...)
	}
	size := g.bytesOf(idx)
	g.live++
	g.liveBytes += int64(e.size)
	g.minRecv = min(g.minRecv, e.recv)
	r.proj.bytes += size
	s.records++
	for _, q := range r.queues {
		sq := g.queueOf(q)
		sq.idx = append(sq.idx, idx)
		sq.st = append(sq.st, st)
		sq.pending++
		q.records++
		q.items += int64(e.qty)
		q.bytes += size
		if st == stReady {
			q.ready.push(heapItem{e.seq, ref{sq, uint32(len(sq.st) - 1)}})
		}
		q.signal()
	}
	return idx
}

// set moves a record of one destination to another state. It does not put it
// in a heap; it does remove the record when nobody needs it any more.
func (s *Spool) set(r ref, st state) {
	sq, q, e, old := r.sq, r.sq.q, r.entry(), r.state()
	if old == st {
		return
	}
	idx := sq.idx[r.pos]
	size := sq.seg.bytesOf(idx)
	wasLiving := e.living()
	sq.st[r.pos] = st
	if old == stClaimed {
		q.inFlight--
	}
	if st == stClaimed {
		q.inFlight++
	}
	if was, is := old.pending(), st.pending(); was != is {
		n := int64(1)
		if was {
			n = -1
		}
		e.pending = uint16(int64(e.pending) + n)
		sq.pending += int(n)
		q.records += n
		q.items += n * int64(e.qty)
		q.bytes += n * size
	}
	if was, is := old == stDead, st == stDead; was != is {
		n := int64(1)
		if was {
			n = -1
		}
		e.dead = uint16(int64(e.dead) + n)
		sq.dead += int(n)
		q.dead += n
		q.deadBytes += n * size
	}
	if st.pending() {
		sq.low = min(sq.low, int(r.pos))
		sq.seg.minRecv = min(sq.seg.minRecv, e.recv)
	}
	if wasLiving && !e.living() {
		s.bury(sq.seg, idx, st != stMoved)
	}
}

// bury takes a record that nobody needs out of the counts; really says that
// its files go too (they stay when it only moved).
func (s *Spool) bury(g *segment, idx uint32, really bool) {
	e := &g.entries[idx]
	g.live--
	g.liveBytes -= int64(e.size)
	s.routes[e.route].proj.bytes -= g.bytesOf(idx)
	s.records--
	if really {
		for _, b := range g.blobs[idx] {
			s.trash = append(s.trash, b.file())
		}
	}
	delete(g.partial, idx)
	if e.filed {
		delete(g.blobs, idx)
	}
	g.lastAck = s.now().UnixMilli()
	if g.live == 0 && g != s.active {
		kick(s.wakeKeeper)
	}
}

// finish ends a record for one destination. When that was the last, settled is
// true and finals is the worst per item of all destinations.
func (s *Spool) finish(r ref, finals []schemas.Final) (settled []schemas.Final, last bool) {
	g, idx := r.sq.seg, r.sq.idx[r.pos]
	e := &g.entries[idx]
	s.record(g, ack{op: opDone, dest: s.destOf(r), off: e.off, finals: finals})
	g.lastAck = s.now().UnixMilli()
	if e.pending == 1 && r.state().pending() {
		merged := s.merged(g, idx, finals)
		if e.dead > 0 {
			s.keepPartial(g, idx, finals)
		}
		s.set(r, stDone)
		return merged, true
	}
	s.keepPartial(g, idx, finals)
	s.set(r, stDone)
	return nil, false
}

// destOf is the place of the record's destination in its route.
func (s *Spool) destOf(r ref) uint32 {
	return uint32(s.routes[r.entry().route].indexOf(r.sq.q))
}

// keepPartial remembers what one destination made of the items, for the day
// the last one is done. All delivered needs no remembering of its own.
func (s *Spool) keepPartial(g *segment, idx uint32, finals []schemas.Final) {
	if allDelivered(finals) && g.partial[idx] == nil {
		return
	}
	if g.partial == nil {
		g.partial = map[uint32][]schemas.Final{}
	}
	g.partial[idx] = s.withDone(g, idx, finals)
}

// withDone joins what one destination makes of the items with what those made
// of them that were done before it. Where nothing of them is remembered, they
// delivered all.
func (s *Spool) withDone(g *segment, idx uint32, finals []schemas.Final) []schemas.Final {
	e, before := &g.entries[idx], g.partial[idx]
	if before == nil && len(s.routes[e.route].queues)-int(e.pending)-int(e.dead) > 0 {
		before = schemas.AllFinal(len(finals), schemas.Delivered, "")
	}
	if len(finals) == 0 {
		finals = schemas.AllFinal(len(before), schemas.Delivered, "")
	}
	return spool.WorstFinals(finals, before)
}

// merged is the worst final per item: of destinations that are done, of those
// that hold a dead letter, and of the one ending now.
func (s *Spool) merged(g *segment, idx uint32, finals []schemas.Final) []schemas.Final {
	out := s.withDone(g, idx, finals)
	e := &g.entries[idx]
	if e.dead == 0 {
		return out
	}
	for _, q := range s.routes[e.route].queues {
		if r, ok := g.find(q, idx); ok && r.state() == stDead {
			reason := s.reasons[r.peek().reason]
			out = spool.WorstFinals(out, schemas.AllFinal(len(out), schemas.DeadLetter, reason))
		}
	}
	return out
}

// kill makes a pending record a dead letter. When no destination waits for it
// any more, last is true and finals is its end.
func (s *Spool) kill(r ref, n int, reason string) (finals []schemas.Final, last bool) {
	g, idx := r.sq.seg, r.sq.idx[r.pos]
	reason = clip(reason)
	r.info().reason = s.reasonID(reason)
	s.record(g, ack{op: opDead, dest: s.destOf(r), off: r.entry().off, reason: reason})
	g.lastAck = s.now().UnixMilli()
	s.set(r, stDead)
	if g.entries[idx].pending > 0 {
		return nil, false
	}
	return s.merged(g, idx, schemas.AllFinal(n, schemas.DeadLetter, reason)), true
}

// stateAcks writes where a record stands as acknowledgements, for its next place.
func (s *Spool) stateAcks(b []byte, g *segment, idx, off uint32) []byte {
	for i, q := range s.routes[g.entries[idx].route].queues {
		r, ok := g.find(q, idx)
		if !ok {
			continue
		}
		a := ack{dest: uint32(i), off: off}
		switch r.state() {
		case stDone:
			a.op, a.finals = opDone, g.partial[idx] // of all together: repeated, it stays the same
		case stDead:
			a.op, a.reason = opDead, s.reasons[r.peek().reason]
		default:
			continue
		}
		b = a.appendTo(b)
	}
	return b
}

// apply repeats an acknowledgement at the start. Nothing is recorded or told.
func (s *Spool) apply(g *segment, idx uint32, a ack) {
	e := &g.entries[idx]
	route := s.routes[e.route]
	if int(a.dest) >= len(route.queues) {
		return
	}
	r, ok := g.find(route.queues[a.dest], idx)
	if !ok {
		return
	}
	switch a.op {
	case opDone:
		if r.state() != stDone {
			s.keepPartial(g, idx, a.finals)
			s.set(r, stDone)
		}
	case opDead:
		if r.state() != stDone {
			r.info().reason = s.reasonID(a.reason)
			s.set(r, stDead)
		}
	case opPending:
		if r.state() == stDead {
			s.set(r, stReady)
			r.sq.q.ready.push(heapItem{e.seq, r})
		}
	}
}
