package vitals

import (
	"strings"
	"time"

	"breakwater/ingest"
)

// The series budget of one project: at most max label sets at any time, those
// named __other__ included.
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

	key  setKey
	hits int // sightings lately: halved with the tally
}

// each calls f for every series of a cell with the family it is in.
func (c *cell) each(m *metrics, f func(*family, *series)) {
	for v, s := range c.hist {
		if s != nil {
			f(m.hist[v], s)
		}
	}
	for _, list := range c.ratings {
		for _, s := range list {
			f(m.ratings, s)
		}
	}
	for _, s := range c.frames {
		f(m.frames, s)
	}
	f(m.stalls, c.stalls)
}

type budget struct {
	max   int
	real  int // sets with a route of their own
	sets  map[setKey]*cell
	tally *tally
	// drop ends the series of a set that lost its place.
	drop func(*cell)
	// nextSwap is when a set may lose its place again.
	nextSwap time.Time
}

func newBudget(limit int, drop func(*cell)) *budget {
	return &budget{max: max(limit, minBudget), sets: map[setKey]*cell{}, tally: newTally(), drop: drop}
}

// minBudget is the last resort: one set for web series, one for mobile ones.
const minBudget = 2

// others is how many places are kept for sets named __other__.
func (b *budget) others() int { return min(48, b.max/4+1) }

// cell finds or makes the label set and returns its final key; folded tells
// that the route had to give way to __other__.
func (b *budget) cell(k setKey, now time.Time) (c *cell, got setKey, folded bool) {
	seen := b.tally.hit(k.route)
	if b.tally.since == 0 {
		for _, c := range b.sets {
			c.hits /= 2
		}
	}
	if c := b.sets[k]; c != nil {
		c.hits++
		return c, k, k.route == ingest.OtherLabel
	}
	if k.route != ingest.OtherLabel && (b.admit(seen) || b.makeRoom(seen, now)) {
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
	c := &cell{key: k, hits: 1}
	b.sets[k] = c
	return c
}

func (b *budget) full() bool {
	return b.real >= b.max-b.others() || len(b.sets) >= b.max-minBudget
}

// heavy tells whether a route seen that often is worth one of the last places.
func (b *budget) heavy(seen int) bool { return seen >= 20 && seen*500 >= b.tally.total }

// swapFactor is how much busier a route must be than the set whose place it takes.
const swapFactor = 8

// makeRoom takes a place away for a route seen that often, and tells whether
// it did.
func (b *budget) makeRoom(seen int, now time.Time) bool {
	if !b.full() || !b.heavy(seen) || now.Before(b.nextSwap) {
		return false
	}
	var least *cell
	for k, c := range b.sets {
		if k.route != ingest.OtherLabel && (least == nil || c.hits < least.hits) {
			least = c
		}
	}
	if least == nil || least.hits*swapFactor > seen {
		b.nextSwap = now.Add(time.Second) // looking costs a walk
		return false
	}
	b.nextSwap = now.Add(time.Hour / time.Duration(b.max/20+1))
	delete(b.sets, least.key)
	b.real--
	b.drop(least)
	return true
}

// admit tells whether a route seen that often may take a further place.
func (b *budget) admit(seen int) bool {
	if b.full() {
		return false
	}
	switch used := float64(b.real) / float64(b.max-b.others()); {
	case used < 0.5:
		return true
	case used < 0.75:
		return seen >= 3
	case used < 0.9:
		return seen >= 10
	}
	return b.heavy(seen)
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
