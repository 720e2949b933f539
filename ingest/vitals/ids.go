package vitals

import (
	"cmp"
	"math/bits"
	"slices"
)

// ids knows every id there is: those that wait, with the number of their entry,
// and at least the newest n of those that were observed. It is one table, because
// under load a beacon costs what it misses in the processor's caches, and a map
// for the one and a map for the other miss six times: looking in both, then an
// insertion and a deletion in each. Here a new id is found missing and put in at
// one place, and what happens to it later is a mark at that place. Nothing is
// deleted: what is forgotten is written over, or goes when its segment is made anew.
//
// It is open addressing with linear probing. Keys are hashes already, so their
// bits are the address: the highest choose a segment, the next ones the line of
// the processor's cache in it where the search begins. Segments grow one by one,
// so that none of them takes long (a fraction of a millisecond with the default
// limits). There are no pointers for the garbage collector to follow.
type ids struct {
	segments [1 << segmentBits]segment
	// Observed ids are marked with the generation in which they were observed or
	// asked for last. A generation ends when it has marked so many.
	generation, perGeneration, marked uint32
	spare                             []slot // for remake, as large as the largest segment
}

type segment struct {
	slots []slot
	used  int
}

// slot is an id and its state: 0 for an empty slot, the number of a waiting entry
// with waits set, or the generation of an observed id. A line has four of them.
type slot struct {
	high       uint64
	low, state uint32
}

func (s *slot) key() key { return key{s.high, s.low} }

// key is the identity of a page view's vital: 96 bits of a seeded hash, so that
// no two ids are ever taken for one.
type key struct {
	high uint64
	low  uint32
}

const (
	forgotten   = 1       // a generation that nobody remembers
	waits       = 1 << 31 // over all generations
	generations = 8       // that are remembered, beside the one that has not ended
	segmentBits = 6
	lineSlots   = 4
)

// newIDs remembers at least the newest n observed ids, and about an eighth more.
// A generation has a thousand ids at least, so that their numbers last.
func newIDs(n int) *ids {
	return &ids{generation: forgotten + generations + 1, perGeneration: uint32(max((n+generations-1)/generations, 1<<10))}
}

func (t *ids) segment(k key) *segment { return &t.segments[k.high>>(64-segmentBits)] }

// start is where the search for an id begins in its segment.
func (s *segment) start(k key) uint64 {
	line, _ := bits.Mul64(k.high<<segmentBits, uint64(len(s.slots)))
	return line &^ (lineSlots - 1)
}

// peek reads the line of an id, for nothing but to have it at hand.
func (t *ids) peek(k key) uint32 {
	s := t.segment(k)
	return s.slots[s.start(k)].state
}

// find is the slot of an id. Where there is none, it is the slot to put it in: the
// first one on the way that holds nothing, or nothing any more. Segments are never
// full, but at first they have no slots: nil.
func (t *ids) find(s *segment, k key) (found, room *slot) {
	n := uint64(len(s.slots))
	for i := s.start(k); n > 0; i++ {
		if i == n {
			i = 0
		}
		at := &s.slots[i]
		if at.high == k.high && at.low == k.low && at.state != 0 {
			return at, nil
		}
		if room == nil && !t.held(at) {
			room = at
		}
		if at.state == 0 {
			break
		}
	}
	return nil, room
}

// waiting is the number of the entry of an id, if it waits.
func (s *slot) waiting() (n uint32, ok bool) {
	return s.state &^ waits, s.state >= waits
}

// observed tells whether an id was observed and is still remembered.
func (t *ids) observed(s *slot) bool { return s.state < waits && s.state+generations >= t.generation }

// get is the slot of an id for reading, nil when it is not known.
func (t *ids) get(k key) *slot {
	found, _ := t.find(t.segment(k), k)
	return found
}

// put is the slot of an id, made when it is not known. What is known of it can be
// read there; the caller then says what it is.
func (t *ids) put(k key) *slot {
	s := t.segment(k)
	found, room := t.find(s, k)
	if found != nil {
		return found
	}
	if room == nil || room.state == 0 && 4*(s.used+1) > 3*len(s.slots) {
		t.remake(s)
		_, room = t.find(s, k)
	}
	if room.state == 0 {
		s.used++
	}
	*room = slot{high: k.high, low: k.low, state: forgotten}
	return room
}

// wait makes an id one that waits, as entry n.
func (s *slot) wait(n uint32) { s.state = waits | n }

// observe makes an id one that was observed: what is asked for again is
// remembered longest.
func (t *ids) observe(s *slot) {
	if s.state == t.generation {
		return
	}
	if t.marked >= t.perGeneration {
		t.generation, t.marked = t.generation+1, 0
	}
	s.state, t.marked = t.generation, t.marked+1
}

// remake makes a segment anew without what is forgotten, half full at most.
func (t *ids) remake(s *segment) {
	s.used = 0
	for i := range s.slots {
		if t.held(&s.slots[i]) {
			s.used++
		}
	}
	old := s.slots
	if size := (2*s.used + 2*lineSlots) &^ (lineSlots - 1); size > len(old) || size < len(old)/2 {
		s.slots = make([]slot, size)
	} else {
		t.spare = append(t.spare[:0], old...)
		clear(old)
		old = t.spare
	}
	for i := range old {
		if id := &old[i]; t.held(id) {
			_, room := t.find(s, id.key())
			*room = *id
		}
	}
}

// held tells whether an id waits or is remembered.
func (t *ids) held(s *slot) bool { return s.state+generations >= t.generation }

// empty tells that nothing was ever observed and nothing waits.
func (t *ids) empty() bool {
	for i := range t.segments {
		if t.segments[i].used > 0 {
			return false
		}
	}
	return true
}

// observedKeys are all observed ids that are remembered, those that were observed
// or asked for last at the end; observing them in this order restores the memory.
func (t *ids) observedKeys() []key {
	var all []slot
	for i := range t.segments {
		for _, s := range t.segments[i].slots {
			if t.observed(&s) {
				all = append(all, s)
			}
		}
	}
	slices.SortFunc(all, func(a, b slot) int { return cmp.Compare(a.state, b.state) })
	keys := make([]key, len(all))
	for i := range all {
		keys[i] = all[i].key()
	}
	return keys
}
