package vitals

import (
	"encoding/hex"
	"time"
)

// observation is one measurement with everything its series need. Strings are
// bounded before it is made.
type observation struct {
	labels
	vital vital
	nav   uint8
	// sentry marks what a beacon of the same page view supersedes.
	sentry bool
	// value is in the metric's unit: seconds, or none.
	value float64
	trace trace
}

// labels say where a measurement is counted. Waiting entries of the same
// labels share them: pages have far fewer labels than visitors.
type labels struct {
	project *project
	env     string // a label already
	release string // a label already
	route   string
	device  string // device or, for mobile vitals, os
}

// trace is a trace id; zero is none, as in the W3C's format.
type trace [16]byte

// String is 32 hex digits, or "".
func (t trace) String() string {
	if t == (trace{}) {
		return ""
	}
	return hex.EncodeToString(t[:])
}

// entry is an observation waiting to settle. It has no pointers, since a
// hundred thousand entries that the garbage collector had to follow would cost
// more than all the rest that is done for a beacon: what belongs to an entry is
// named by its number. Times are since table.base.
type entry struct {
	key         key
	value       float64
	first, last time.Duration
	sent        int64 // by the client's clock, in microseconds since 1970; 0 when unknown
	trace       trace
	labels      uint32 // in table.labels
	steps       uint32 // the newest in table.steps, INP only: how its reports hang together
	// Entries hang in two rings: by last report, quietest first, and by first
	// report, oldest first.
	quiet, age links
	vital      vital
	nav        uint8
	sentry     bool
}

// links are numbers of entries; 0 is the head of both rings.
type links struct{ prev, next uint32 }

// table holds the waiting entries and remembers the observed ones. The caller
// locks. The memory of the most entries that waited is kept until none does.
type table struct {
	base     time.Time
	ids      *ids
	waiting  int
	chunks   [][]entry
	freed    []uint32 // numbers of entries to use again
	labels   interned
	steps    stepStore
	expected uint32 // what crowdOut read ahead, which is for nothing else
}

// chunk is how many entries are made at a time.
const chunk = 1 << 10

func newTable(maxSeen int, base time.Time) *table {
	t := &table{base: base, ids: newIDs(maxSeen)}
	t.clear()
	return t
}

// clear lets the memory of a table go in which nothing waits.
func (t *table) clear() {
	t.chunks, t.freed = nil, nil
	t.labels, t.steps = interned{numbers: map[labels]uint32{}}, stepStore{}
	t.make() // number 0
}

func (t *table) at(n uint32) *entry { return &t.chunks[n/chunk][n%chunk] }

// make finds room for an entry.
func (t *table) make() uint32 {
	if n := len(t.freed); n > 0 {
		number := t.freed[n-1]
		t.freed = t.freed[:n-1]
		return number
	}
	last := len(t.chunks) - 1
	if last < 0 || len(t.chunks[last]) == chunk {
		t.chunks = append(t.chunks, make([]entry, 0, chunk))
		last++
	}
	t.chunks[last] = append(t.chunks[last], entry{})
	return uint32(last*chunk + len(t.chunks[last]) - 1)
}

// report is one arrival for an id.
type report struct {
	observation
	key   key
	delta float64 // in the metric's unit; 0 when unknown
	sent  int64   // as entry.sent
}

// micros is a client's time as entry.sent has it.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.UnixMicro(), 1)
}

// put takes a report. late is true when its id was already observed.
func (t *table) put(r *report, now time.Time) (late bool) {
	at := now.Sub(t.base)
	id := t.ids.put(r.key)
	number, waits := id.waiting()
	if !waits {
		if t.ids.observed(id) {
			t.ids.observe(id) // asked for again: keep it longest
			return true
		}
		n := t.add(id, &entry{
			key: r.key, value: r.value, first: at, last: at, sent: r.sent, trace: r.trace, vital: r.vital, nav: r.nav, sentry: r.sentry,
		}, &r.observation.labels)
		if specs[r.vital].order == keepLatest {
			t.at(n).steps = t.steps.add(0, r)
		}
		t.pushAge(n)
		t.pushQuiet(n)
		return false
	}
	e := t.at(number)
	t.merge(e, r)
	e.last = at
	t.cutQuiet(e)
	t.pushQuiet(number)
	return false
}

// first remembers an id as observed, and tells whether it was not yet.
func (t *table) first(k key) bool {
	id := t.ids.put(k)
	if _, waits := id.waiting(); waits {
		return false
	}
	known := t.ids.observed(id)
	t.ids.observe(id)
	return !known
}

// add makes an entry for an id, that hangs in no ring yet.
func (t *table) add(id *slot, e *entry, l *labels) uint32 {
	e.labels = t.labels.take(l)
	n := t.make()
	*t.at(n) = *e
	id.wait(n)
	t.waiting++
	return n
}

// merge lets the report that counts win.
func (t *table) merge(e *entry, r *report) {
	switch specs[e.vital].order {
	case keepMax:
		e.value = max(e.value, r.value)
	case keepLatest:
		e.steps = t.steps.add(e.steps, r)
		var room [maxSteps]step
		e.value = latest(e, r, t.steps.list(e.steps, room[:0]))
	}
	e.sent = max(e.sent, r.sent)
	if e.trace == (trace{}) {
		e.trace = r.trace
	}
}

// due takes out every entry that has settled at now, and remembers it as
// observed.
func (t *table) due(now time.Time, settle, settleMax time.Duration, out []observation) []observation {
	at := now.Sub(t.base)
	for n := t.at(0).quiet.next; n != 0 && at-t.at(n).last >= settle; n = t.at(0).quiet.next {
		out = append(out, t.take(n))
	}
	for n := t.at(0).age.next; n != 0 && at-t.at(n).first >= settleMax; n = t.at(0).age.next {
		out = append(out, t.take(n))
	}
	if t.waiting == 0 && len(t.chunks) > 1 {
		t.clear()
	}
	return out
}

// crowdOut takes out the n entries that have been quiet longest. It first reads
// what it will need of all of them, so that the processor fetches that from memory
// at once instead of one after the other.
func (t *table) crowdOut(n int, out []observation) []observation {
	number := t.at(0).quiet.next
	for i := 0; i < n && number != 0; i++ {
		e := t.at(number)
		t.expected += t.ids.peek(e.key)
		number = e.quiet.next
	}
	for range n {
		out = t.quietest(out)
	}
	return out
}

// quietest takes out the entry that has been quiet longest, if there is one.
func (t *table) quietest(out []observation) []observation {
	if n := t.at(0).quiet.next; n != 0 {
		out = append(out, t.take(n))
	}
	return out
}

// take takes an entry out, and remembers its id as observed.
func (t *table) take(n uint32) observation {
	e := t.at(n)
	t.cutQuiet(e)
	t.at(e.age.prev).age.next, t.at(e.age.next).age.prev = e.age.next, e.age.prev
	t.ids.observe(t.ids.get(e.key))
	t.waiting--
	o := t.observation(e)
	t.labels.give(e.labels)
	t.steps.free(e.steps)
	t.freed = append(t.freed, n)
	return o
}

func (t *table) observation(e *entry) observation {
	return observation{labels: t.labels.sets[e.labels].labels, vital: e.vital, nav: e.nav, sentry: e.sentry, value: e.value, trace: e.trace}
}

func (t *table) cutQuiet(e *entry) {
	t.at(e.quiet.prev).quiet.next, t.at(e.quiet.next).quiet.prev = e.quiet.next, e.quiet.prev
}

func (t *table) pushQuiet(n uint32) {
	head := t.at(0)
	tail := head.quiet.prev
	t.at(n).quiet = links{prev: tail}
	t.at(tail).quiet.next, head.quiet.prev = n, n
}

func (t *table) pushAge(n uint32) {
	head := t.at(0)
	tail := head.age.prev
	t.at(n).age = links{prev: tail}
	t.at(tail).age.next, head.age.prev = n, n
}

// interned numbers the labels of waiting entries, as long as any has them.
type interned struct {
	numbers map[labels]uint32
	sets    []usedLabels
	freed   []uint32
}

type usedLabels struct {
	labels
	users int
}

// take is the number of labels, for one user more.
func (in *interned) take(l *labels) uint32 {
	n, known := in.numbers[*l]
	if !known {
		if last := len(in.freed) - 1; last >= 0 {
			n, in.freed = in.freed[last], in.freed[:last]
		} else {
			n = uint32(len(in.sets))
			in.sets = append(in.sets, usedLabels{})
		}
		in.sets[n].labels, in.numbers[*l] = *l, n
	}
	in.sets[n].users++
	return n
}

// give ends one use.
func (in *interned) give(n uint32) {
	set := &in.sets[n]
	if set.users--; set.users == 0 {
		delete(in.numbers, set.labels)
		*set = usedLabels{}
		in.freed = append(in.freed, n)
	}
}
