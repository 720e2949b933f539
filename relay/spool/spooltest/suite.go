package spooltest

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// Options are what a test asks of the spool it opens. Zero values mean the
// spool's own default.
type Options struct {
	MaxSize        int64
	MaxAge         time.Duration
	ProjectShare   float64
	DeadLetterSize int64
	Observer       spool.Observer
	Now            func() time.Time
}

// Harness is one empty place to keep records, for one test.
type Harness struct {
	// Open opens the place; after Close it is called again for the same place.
	Open func(t testing.TB, o Options) spool.Spool
	// Tick makes the spool read its clock after the test turned it.
	Tick func(s spool.Spool)
	// Crash ends s as kill -9 or a power cut would: nothing is flushed, what the
	// engine had not made durable may be gone or half there. Open is called next.
	// nil: the tests that need it are not run; an engine runs the suite with a
	// harness that has it as well.
	Crash func(t testing.TB, s spool.Spool)
	// Away takes the storage away (a disk that fails every call, a server that
	// cannot be reached) or gives it back. nil as above.
	Away func(t testing.TB, away bool)
	// Shared says that a place is used by several spools at once, so that what
	// one life leaves behind is no opening balance of the next: another may be at
	// it. Recovered then tells of records that another life appended, when they
	// settle, and the suite keeps one ledger over all lives of a place:
	//
	//	appended + requeued = settled + in the spool
	//
	// which is the stronger demand, because a start cannot put the books right.
	// A crash begins a new ledger with what is listed then: settlements of the
	// last moment may have been told and not stored.
	Shared bool
}

// Run runs the suite; make gives each test its own place.
func Run(t *testing.T, make func(t *testing.T) Harness) {
	const crash, away = "crash", "away" // what a test needs of the harness
	tests := []struct {
		name  string
		run   func(t *testing.T, h Harness)
		needs string
	}{
		{"appended records survive a restart", testDurable, ""},
		{"records come in the order of their append", testOrder, ""},
		{"an envelope comes back byte for byte", testRoundTrip, ""},
		{"each destination is acknowledged for itself", testPerDestination, ""},
		{"a destination nobody claims holds its records", testHeld, ""},
		{"a released record comes back when it is due", testRelease, ""},
		{"claims wait for records and end with their context", testWaiting, ""},
		{"a settled record stays settled after a restart", testSettledStays, ""},
		{"claims out at close are given again", testClaimsOut, ""},
		{"dead letters are kept, listed, retried and dropped", testDeadLetters, ""},
		{"a burial survives a restart", testBurialStays, ""},
		{"dropped records end as dead letters", testDropPending, ""},
		{"the worst outcome counts, also over a restart", testWorst, ""},
		{"records end as they are told to", testEnd, ""},
		{"what one destination keeps is delivered, what none does filtered", testFiltered, ""},
		{"a full spool refuses and takes again", testFull, ""},
		{"a project keeps to its share", testShare, ""},
		{"what is being received counts in its project's share", testShareOfSpills, ""},
		{"old records expire, claimed by anybody or not", testExpiry, ""},
		{"a spilled payload comes back byte for byte", testSpill, ""},
		{"a discarded spill leaves nothing", testSpillDiscard, ""},
		{"lists go page by page", testList, ""},
		{"the oldest dead letters make room", testDeadBudget, ""},
		{"what another spool held is taken over as it was", testAdopt, ""},
		{"many producers and workers lose nothing", testConcurrent, ""},
		{"a closed spool says so", testClosed, ""},
		{"random lives keep every promise and balance", testLives, ""},
		{"appended records survive a crash", testCrash, crash},
		{"burials, retries and drops survive a crash", testCrashKeepsDecisions, crash},
		{"storage that goes away and comes back costs nothing", testAway, away},
	}
	can := make(t)
	for _, tc := range tests {
		if (tc.needs == crash && can.Crash == nil) || (tc.needs == away && can.Away == nil) {
			continue // this place can do no such thing; each engine has one that can
		}
		t.Run(tc.name, func(t *testing.T) { tc.run(t, make(t)) })
	}
}

// DestA and DestB are the two destinations of the suite's records.
var (
	DestA = spool.Destination{Project: "shop", Name: "a"}
	DestB = spool.Destination{Project: "shop", Name: "b"}
)

// events numbers the records: no two have the same event id.
var events atomic.Uint64

// Record makes a record of project "shop" with one item per text, for the
// destinations named.
func Record(at time.Time, dests []string, texts ...string) *schemas.Record {
	rec := &schemas.Record{Meta: schemas.Meta{
		ProjectID: 7, Project: "shop", Key: "0123456789abcdef0123456789abcdef", ReceivedAt: at,
		EventID: fmt.Sprintf("9ec79c33ec9942ab%016x", events.Add(1)), Destinations: dests,
	}}
	rec.Envelope.Header = schemas.EmptyHeader()
	rec.Envelope.Header.SetString("event_id", rec.Meta.EventID)
	for _, text := range texts {
		rec.Envelope.Items = append(rec.Envelope.Items, schemas.Item{
			Header: schemas.NewItemHeader("event"), Payload: schemas.Bytes(text),
		})
		rec.Meta.Counts = append(rec.Meta.Counts, schemas.Count{Category: schemas.CategoryError, Quantity: 1})
	}
	return rec
}

// env is what most tests begin with.
type env struct {
	t      *testing.T
	h      Harness
	clock  *Clock
	ledger *Ledger
	opts   Options
	s      spool.Spool
}

func begin(t *testing.T, h Harness, o Options) *env {
	e := &env{t: t, h: h, clock: NewClock(), opts: o}
	e.opts.Now = e.clock.Now
	e.open()
	t.Cleanup(func() {
		if err := e.s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

func (e *env) open() {
	if !e.h.Shared || e.ledger == nil {
		e.ledger = NewLedger()
		e.ledger.shared = e.h.Shared
	}
	e.opts.Observer = e.ledger
	e.s = e.h.Open(e.t, e.opts)
}

// recovered checks how many items a start found waiting, where starts tell.
func (e *env) recovered(want int) {
	e.t.Helper()
	got := e.ledger.Recovery()
	if e.h.Shared {
		got = Waiting(e.t, e.s)
	}
	if got != want {
		e.t.Fatalf("recovered %d items, want %d", got, want)
	}
}

func (e *env) reopen() {
	e.t.Helper()
	if err := e.s.Close(); err != nil {
		e.t.Fatalf("close: %v", err)
	}
	e.open()
}

func (e *env) append(rec *schemas.Record) string {
	e.t.Helper()
	if err := e.s.Append(context.Background(), rec); err != nil {
		e.t.Fatalf("append: %v", err)
	}
	if len(rec.Meta.ID) != 26 {
		e.t.Fatalf("append gave the id %q, want a ULID", rec.Meta.ID)
	}
	return rec.Meta.ID
}

// add appends a record with one item for both destinations.
func (e *env) add(text string) string {
	e.t.Helper()
	return e.append(Record(e.clock.Now(), []string{"a", "b"}, text))
}

func (e *env) claim(dst spool.Destination) spool.Claim {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := e.s.Claim(ctx, dst)
	if err != nil {
		e.t.Fatalf("claim %s: %v", dst, err)
	}
	return c
}

// text claims and reads the first item.
func (e *env) text(dst spool.Destination) (spool.Claim, string) {
	e.t.Helper()
	c := e.claim(dst)
	got, err := c.Envelope()
	if err != nil {
		e.t.Fatalf("envelope: %v", err)
	}
	return c, payload(e.t, &got.Items[0])
}

// none checks that nothing is due.
func (e *env) none(dst spool.Destination) {
	e.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if c, err := e.s.Claim(ctx, dst); err == nil {
		e.t.Fatalf("%s was given %s, want nothing", dst, c.Meta().ID)
	}
}

func (e *env) settle(c spool.Claim, o schemas.Outcome, reason string) {
	e.t.Helper()
	if err := c.Settle(schemas.AllFinal(len(c.Meta().Counts), o, reason)); err != nil {
		e.t.Fatalf("settle: %v", err)
	}
}

func (e *env) queue(dst spool.Destination) spool.Queue {
	for _, q := range e.s.Stats().Queues {
		if q.Destination == dst {
			return q
		}
	}
	return spool.Queue{Destination: dst}
}

// balanced checks the ledger against what is listed as waiting.
func (e *env) balanced() {
	e.t.Helper()
	if err := e.ledger.Check(Waiting(e.t, e.s)); err != nil {
		e.t.Fatal(err)
	}
}

// Waiting counts the items of records that wait for any destination.
func Waiting(t testing.TB, s spool.Spool) (items int) {
	t.Helper()
	seen := map[string]bool{}
	err := s.List(spool.Query{}, func(en spool.Entry) bool {
		if !seen[en.Meta.ID] {
			seen[en.Meta.ID] = true
			items += en.Meta.Items()
		}
		return true
	})
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	return items
}

func list(t testing.TB, s spool.Spool, q spool.Query) (entries []spool.Entry) {
	t.Helper()
	if err := s.List(q, func(en spool.Entry) bool { entries = append(entries, en); return true }); err != nil {
		t.Fatalf("list: %v", err)
	}
	return entries
}

func payload(t testing.TB, it *schemas.Item) string {
	t.Helper()
	r, err := it.Payload.Open()
	if err != nil {
		t.Fatalf("opening payload: %v", err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("reading payload: %v", err)
	}
	return string(b)
}

func name(i int) string { return fmt.Sprintf("record %d", i) }
