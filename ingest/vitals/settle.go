package vitals

import (
	"time"

	"breakwater/ingest"
)

// observation is one measurement with everything its series need. Strings are
// bounded before it is made.
type observation struct {
	project *project
	vital   vital
	nav     uint8
	// sentry marks what a beacon of the same page view supersedes.
	sentry bool
	// value is in the metric's unit: seconds, or none.
	value   float64
	env     string // a label already
	release string // a label already
	route   string
	device  string // device or, for mobile vitals, os
	trace   string // 32 hex digits or ""
}

// entry is an observation waiting to settle. Entries hang in two lists: by
// last report, quietest first, and by first report, oldest first.
type entry struct {
	observation
	key         uint64
	first, last time.Time
	sent        time.Time // the client's clock, zero when unknown
	steps       []step    // INP only: how its reports hang together

	quiet, age links
}

type links struct{ prev, next *entry }

// table holds the waiting entries and remembers the observed ones. The caller
// locks.
type table struct {
	entries map[uint64]*entry
	seen    *ingest.Seen
	// Heads of the two rings; their own observation is unused.
	quiet, age entry
}

func newTable(maxSeen int) *table {
	t := &table{entries: map[uint64]*entry{}, seen: ingest.NewSeen(maxSeen)}
	t.quiet.quiet = links{&t.quiet, &t.quiet}
	t.age.age = links{&t.age, &t.age}
	return t
}

// report is one arrival for an id.
type report struct {
	observation
	key   uint64
	delta float64 // in the metric's unit; 0 when unknown
	sent  time.Time
}

// put takes a report. late is true when its id was already observed.
func (t *table) put(r *report, now time.Time) (late bool) {
	e := t.entries[r.key]
	if e == nil {
		if t.seen.Has(r.key) {
			t.seen.Add(r.key) // asked for again: keep it longest
			return true
		}
		e = &entry{observation: r.observation, key: r.key, first: now, last: now, sent: r.sent}
		if specs[r.vital].order == keepLatest {
			e.steps = appendStep(nil, r)
		}
		t.entries[r.key] = e
		t.pushQuiet(e)
		t.pushAge(e)
		return false
	}
	e.merge(r)
	e.last = now
	t.cutQuiet(e)
	t.pushQuiet(e)
	return false
}

// merge lets the report that counts win.
func (e *entry) merge(r *report) {
	switch specs[e.vital].order {
	case keepMax:
		e.value = max(e.value, r.value)
	case keepLatest:
		e.value = e.latest(r)
	}
	if r.sent.After(e.sent) {
		e.sent = r.sent
	}
	if e.trace == "" {
		e.trace = r.trace
	}
}

// due takes out every entry that has settled at now, and remembers it as
// observed.
func (t *table) due(now time.Time, settle, settleMax time.Duration, out []*entry) []*entry {
	for e := t.quiet.quiet.next; e != &t.quiet && now.Sub(e.last) >= settle; e = t.quiet.quiet.next {
		out = append(out, t.take(e))
	}
	for e := t.age.age.next; e != &t.age && now.Sub(e.first) >= settleMax; e = t.age.age.next {
		out = append(out, t.take(e))
	}
	return out
}

// quietest takes out the entry that has been quiet longest, nil without one.
func (t *table) quietest() *entry {
	if e := t.quiet.quiet.next; e != &t.quiet {
		return t.take(e)
	}
	return nil
}

func (t *table) take(e *entry) *entry {
	t.cutQuiet(e)
	e.age.prev.age.next, e.age.next.age.prev = e.age.next, e.age.prev
	delete(t.entries, e.key)
	t.seen.Add(e.key)
	return e
}

func (t *table) cutQuiet(e *entry) {
	e.quiet.prev.quiet.next, e.quiet.next.quiet.prev = e.quiet.next, e.quiet.prev
}

func (t *table) pushQuiet(e *entry) {
	tail := t.quiet.quiet.prev
	e.quiet = links{tail, &t.quiet}
	tail.quiet.next, t.quiet.quiet.prev = e, e
}

func (t *table) pushAge(e *entry) {
	tail := t.age.age.prev
	e.age = links{tail, &t.age}
	tail.age.next, t.age.age.prev = e, e
}
