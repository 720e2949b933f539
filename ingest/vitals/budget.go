package vitals

import (
	"strings"

	"breakwater/ingest"
)

// The series budget of one project: at most max label sets ever, those named
// __other__ included. A label set, once made, stays until the process ends, so
// a counter never goes backwards and a route that is shown keeps its place.
//
// Places are cheap while most are free and dear when few are left:
//
//	first half     a route takes a place at first sight
//	to 75 %        seen 3 times
//	to 90 %        seen 10 times
//	last 10 %      seen 20 times and at least 1 in 500 of recent traffic
//
// So random paths, each seen once, can never fill the budget, and real routes
// find a place even when the junk came first. What counts as recent is
// measured in sightings (see tally), not in time: a quiet site gets its places
// too. All else is counted under __other__, per environment and device while
// the budget has room for that, in one last set otherwise.

// setKey is a label set. dim is the device, or the os of mobile series.
type setKey struct {
	mobile          bool
	env, route, dim string
}

// cell holds the series of one label set, made when first needed.
type cell struct {
	hist    [vitalCount]*series
	ratings [webVitals][3]*series
	frames  [3]*series
	stalls  *series
}

type budget struct {
	max   int
	real  int // sets with a route of their own
	sets  map[setKey]*cell
	tally *tally
}

func newBudget(limit int) *budget {
	return &budget{max: max(limit, minBudget), sets: map[setKey]*cell{}, tally: newTally()}
}

// minBudget is the last resort: one set for web series, one for mobile ones.
const minBudget = 2

// others is how many places are kept for sets named __other__.
func (b *budget) others() int { return min(48, b.max/4+1) }

// cell finds or makes the label set and returns its final key; folded tells
// that the route had to give way to __other__.
func (b *budget) cell(k setKey) (c *cell, got setKey, folded bool) {
	seen := b.tally.hit(k.route)
	if c := b.sets[k]; c != nil {
		return c, k, k.route == ingest.OtherLabel
	}
	if k.route != ingest.OtherLabel && b.admit(seen) {
		k.route = strings.Clone(k.route)
		b.real++
		return b.make(k), k, false
	}
	k.route = ingest.OtherLabel
	if c := b.sets[k]; c != nil {
		return c, k, true
	}
	if len(b.sets) < b.max-minBudget {
		return b.make(k), k, true
	}
	k.env, k.dim = ingest.OtherLabel, deviceOther
	if c := b.sets[k]; c != nil {
		return c, k, true
	}
	return b.make(k), k, true
}

func (b *budget) make(k setKey) *cell {
	c := &cell{}
	b.sets[k] = c
	return c
}

// admit tells whether a route seen that often may take a further place.
func (b *budget) admit(seen int) bool {
	places := b.max - b.others()
	if b.real >= places || len(b.sets) >= b.max-minBudget {
		return false
	}
	switch used := float64(b.real) / float64(places); {
	case used < 0.5:
		return true
	case used < 0.75:
		return seen >= 3
	case used < 0.9:
		return seen >= 10
	}
	return seen >= 20 && seen*500 >= b.tally.total
}

// tally counts how often routes are seen, in bounded memory: the space-saving
// algorithm (Metwally and others, 2005) with 1024 counters. What it returns is
// what a route was seen for certain, so that a newcomer that took over the
// counter of a former one does not inherit its count. All counts are halved
// every 8192 sightings: old traffic fades.
type tally struct {
	total int
	since int
	index map[string]int
	heap  []count // least count first
}

type count struct {
	route  string
	n, err int
}

const (
	tallySize  = 1024
	tallyDecay = 8192
)

func newTally() *tally { return &tally{index: make(map[string]int, 64)} }

// hit counts one sighting and returns how often the route was seen lately, at
// least.
func (t *tally) hit(route string) int {
	t.total++
	if t.since++; t.since >= tallyDecay {
		t.since, t.total = 0, t.total/2
		for i := range t.heap {
			t.heap[i].n /= 2
			t.heap[i].err /= 2
		}
		for i := len(t.heap)/2 - 1; i >= 0; i-- {
			t.down(i)
		}
	}
	i, ok := t.index[route]
	switch {
	case ok:
	case len(t.heap) < tallySize:
		i = len(t.heap)
		route = strings.Clone(route)
		t.heap = append(t.heap, count{route: route})
		t.index[route] = i
		i = t.up(i)
	default:
		i = 0
		delete(t.index, t.heap[0].route)
		route = strings.Clone(route)
		t.heap[0] = count{route: route, n: t.heap[0].n, err: t.heap[0].n}
		t.index[route] = 0
	}
	t.heap[i].n++
	seen := t.heap[i].n - t.heap[i].err
	t.down(i)
	return seen
}

func (t *tally) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.index[t.heap[i].route], t.index[t.heap[j].route] = i, j
}

func (t *tally) up(i int) int {
	for i > 0 && t.heap[(i-1)/2].n > t.heap[i].n {
		t.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	return i
}

func (t *tally) down(i int) {
	for {
		least := i
		for _, c := range [2]int{2*i + 1, 2*i + 2} {
			if c < len(t.heap) && t.heap[c].n < t.heap[least].n {
				least = c
			}
		}
		if least == i {
			return
		}
		t.swap(i, least)
		i = least
	}
}
