package disk

import (
	"errors"
	"sort"
)

// loadAcks reads a segment's acknowledgements, by the offset of their record.
func (rc *recovery) loadAcks(g *segment) (acks []ack, err error) {
	s := rc.s
	name := g.name() + extAcks
	size, ok := rc.sizes[name]
	if !ok || size == 0 {
		return nil, nil
	}
	raw, err := readAll(s.fs, s.path(name))
	if err != nil {
		return nil, err
	}
	good := readAcks(raw, func(a ack) { acks = append(acks, a) })
	if good < size {
		f, err := s.fs.Open(s.path(name))
		if err != nil {
			return nil, err
		}
		if err := errors.Join(f.Truncate(good), f.Close()); err != nil {
			return nil, err
		}
	}
	// What was read may stand in the page cache only, after an fsync that failed
	// before the last process ended: it is written again, over itself.
	g.ackFile, g.ackSize = true, good
	if good > 0 {
		g.ackLoose, g.ackDoubt = raw[:good], true
		s.unsynced[g] = struct{}{}
	}
	sort.SliceStable(acks, func(i, j int) bool { return acks[i].off < acks[j].off })
	return acks, nil
}

func acksOf(acks []ack, off uint32) []ack {
	from := sort.Search(len(acks), func(i int) bool { return acks[i].off >= off })
	to := from
	for to < len(acks) && acks[to].off == off {
		to++
	}
	return acks[from:to]
}

// finished tells whether a record's destinations were all done with it: then
// its files are rightly gone.
func (rc *recovery) finished(routeID uint32, lists ...[]ack) bool {
	done := map[uint32]bool{}
	for _, list := range lists {
		for _, a := range list {
			if a.op == opDone {
				done[a.dest] = true
			}
		}
	}
	return len(done) == len(rc.s.routes[routeID].queues)
}
