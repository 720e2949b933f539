package vitals

import (
	"math"
	"slices"
)

// step is one report of an INP: it went from one value to the next. The
// web-vitals library sends value and delta, so from = value - delta.
type step struct{ from, to float64 }

// maxSteps bounds the reports of one id that are kept to put them in order;
// beyond it arrival decides.
const maxSteps = 16

// sameValue allows for the rounding of value - delta.
func sameValue(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

// stepStore keeps the steps of all waiting entries, as chains from the newest
// to the oldest. The number 0 ends a chain.
type stepStore struct {
	links []stepLink
	freed uint32 // a chain of links to use again
}

type stepLink struct {
	step
	older uint32
}

// add puts a report's step at the head of a chain and returns the new head: the
// same one when the report has no delta, is a repeat, or finds the chain full.
func (s *stepStore) add(head uint32, r *report) uint32 {
	if r.delta == 0 {
		return head
	}
	from, length := r.value-r.delta, 0
	for n := head; n != 0; n = s.links[n].older {
		if l := &s.links[n]; sameValue(l.to, r.value) && sameValue(l.from, from) {
			return head // a repeat
		}
		length++
	}
	if length >= maxSteps {
		return head
	}
	return s.push(head, step{from, r.value})
}

func (s *stepStore) push(head uint32, st step) uint32 {
	n := s.freed
	if n == 0 {
		n = uint32(max(len(s.links), 1))
		s.links = append(s.links, make([]stepLink, int(n)+1-len(s.links))...)
	} else {
		s.freed = s.links[n].older
	}
	s.links[n] = stepLink{st, head}
	return n
}

// list are the steps of a chain, oldest first, in the memory of into.
func (s *stepStore) list(head uint32, into []step) []step {
	for n := head; n != 0; n = s.links[n].older {
		into = append(into, s.links[n].step)
	}
	slices.Reverse(into)
	return into
}

// free ends a chain.
func (s *stepStore) free(head uint32) {
	if head == 0 {
		return
	}
	last := head
	for s.links[last].older != 0 {
		last = s.links[last].older
	}
	s.links[last].older, s.freed = s.freed, head
}

// latest returns the value of e that counts after one more report of an INP,
// whose step is among steps already. INP is the one vital that can fall, so
// neither the first nor the largest report is the answer. The client's send time
// decides when both reports have one. Otherwise the reports are laid end to end
// like dominoes: the value from which no report goes on is the last one. When
// that has no single answer (a report was lost or has no delta), the later
// arrival wins.
func latest(e *entry, r *report, steps []step) float64 {
	if e.sent != 0 && r.sent != 0 {
		if r.sent < e.sent {
			return e.value
		}
		return r.value
	}
	if r.delta == 0 {
		return r.value
	}
	if end, ok := lastOf(steps, false); ok {
		return end
	}
	// With a gap there are several ends; the very first report is none of them.
	if end, ok := lastOf(steps, true); ok {
		return end
	}
	return r.value
}

// lastOf is the one value that more reports reach than leave; ok is false when
// there is none or more than one. With skipFirst, reports that start from 0 are
// not taken for the last.
func lastOf(steps []step, skipFirst bool) (value float64, ok bool) {
	for i, s := range steps {
		if skipFirst && sameValue(s.from, 0) {
			continue
		}
		open, repeated := 0, false
		for j, o := range steps {
			if sameValue(o.to, s.to) {
				open++
				repeated = repeated || j < i
			}
			if sameValue(o.from, s.to) {
				open--
			}
		}
		if open <= 0 || repeated {
			continue
		}
		if ok {
			return 0, false
		}
		value, ok = s.to, true
	}
	return value, ok
}
