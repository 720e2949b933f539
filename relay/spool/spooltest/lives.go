package spooltest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// promise is what the spool has said about a record for one destination.
type promise int

const (
	kept   promise = iota // must wait
	buried                // must be a dead letter
	ended                 // must not come back
	open                  // under way when the power went, or dropped while it was out: anything but both
)

// life is one spool under random use, and the book of what it promised.
type life struct {
	*env
	rnd  *rand.Rand
	text map[string]string
	said map[string]map[spool.Destination]promise
	out  map[spool.Destination][]spool.Claim
	n    int
}

var both = []spool.Destination{DestA, DestB}

// crash ends the spool without its knowing and opens the place again.
func (e *env) crash() {
	e.t.Helper()
	e.h.Crash(e.t, e.s)
	if e.h.Shared {
		e.ledger = nil
	}
	e.open()
	if e.h.Shared {
		e.ledger.appended = Waiting(e.t, e.s)
	}
}

func testCrash(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	texts := map[string]string{}
	for i := range 30 {
		texts[e.add(name(i))] = name(i)
	}
	e.crash()
	for _, dst := range both {
		for range texts {
			c, got := e.text(dst)
			if texts[c.Meta().ID] != got {
				t.Fatalf("%s: %s is %q, want %q", dst, c.Meta().ID, got, texts[c.Meta().ID])
			}
		}
		e.none(dst)
	}
	e.balanced()
}

func testCrashKeepsDecisions(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	dead, retried, dropped := e.add("dead"), e.add("retried"), e.add("dropped")
	for range 2 {
		if err := e.claim(DestA).Bury("no"); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := e.s.Retry(spool.Query{IDs: []string{retried}}); n != 1 || err != nil {
		t.Fatalf("retry: %d, %v", n, err)
	}
	if n, err := e.s.Drop(spool.Query{IDs: []string{dropped}}); n != 1 || err != nil {
		t.Fatalf("drop: %d, %v", n, err)
	}
	e.crash()
	if l := list(t, e.s, spool.Query{Dead: true}); len(l) != 1 || l[0].Meta.ID != dead || l[0].Reason != "no" {
		t.Fatalf("dead letters after a crash: %+v", l)
	}
	if l := list(t, e.s, spool.Query{Destination: "a"}); len(l) != 1 || l[0].Meta.ID != retried {
		t.Fatalf("waiting for a after a crash: %+v", l)
	}
	e.balanced()
}

// testLives plays random lives: whatever happens in whatever order, restarts
// and crashes included, the books balance after each step and nothing that was
// promised is missing.
func testLives(t *testing.T, h Harness) {
	steps := 400
	l := &life{
		env: begin(t, h, Options{}), rnd: rand.New(rand.NewPCG(1, 2)),
		text: map[string]string{}, said: map[string]map[spool.Destination]promise{}, out: map[spool.Destination][]spool.Claim{},
	}
	doings := []func(){l.put, l.put, l.put, l.take, l.take, l.take, l.settleOne, l.settleOne, l.releaseOne, l.buryOne, l.retryOne, l.dropOne, l.later}
	for i := range steps {
		switch {
		case i%40 == 39 && h.Crash != nil:
			for _, dests := range l.said { // an acknowledgement may be on its way still
				for dst, p := range dests {
					if p == ended {
						dests[dst] = open
					}
				}
			}
			l.out = map[spool.Destination][]spool.Claim{}
			l.crash()
		case i%40 == 19:
			l.out = map[spool.Destination][]spool.Claim{}
			l.reopen()
		default:
			doings[l.rnd.IntN(len(doings))]()
		}
		l.check(i)
	}
}

func (l *life) put() {
	l.n++
	text := fmt.Sprint(l.n, " ", strings.Repeat("z", l.rnd.IntN(900)))
	id := l.add(text)
	l.text[id] = text
	l.said[id] = map[spool.Destination]promise{DestA: kept, DestB: kept}
}

// take claims the next record of a destination, if one is due.
func (l *life) take() {
	dst := both[l.rnd.IntN(2)]
	due := false
	for _, en := range list(l.t, l.s, spool.Query{Destination: dst.Name}) {
		due = due || (!en.InFlight && !en.Due.After(l.clock.Now()))
	}
	if due {
		l.out[dst] = append(l.out[dst], l.claim(dst))
	}
}

// pick takes one of the claims that are out.
func (l *life) pick() (c spool.Claim, dst spool.Destination, was promise) {
	dst = both[l.rnd.IntN(2)]
	n := len(l.out[dst])
	if n == 0 {
		return nil, dst, open
	}
	i := l.rnd.IntN(n)
	c = l.out[dst][i]
	l.out[dst] = append(l.out[dst][:i:i], l.out[dst][i+1:]...)
	return c, dst, l.said[c.Meta().ID][dst]
}

func (l *life) settleOne() {
	if c, dst, _ := l.pick(); c != nil {
		l.settle(c, []schemas.Outcome{schemas.Delivered, schemas.RateLimited}[l.rnd.IntN(2)], "")
		l.said[c.Meta().ID][dst] = ended
	}
}

func (l *life) releaseOne() {
	if c, _, _ := l.pick(); c != nil {
		c.Release(l.clock.Now().Add(time.Duration(l.rnd.IntN(100)-10)*time.Second), "later")
	}
}

func (l *life) buryOne() {
	c, dst, was := l.pick()
	if c == nil {
		return
	}
	if err := c.Bury("no"); err != nil {
		l.t.Fatalf("bury: %v", err)
	}
	if was == kept {
		l.said[c.Meta().ID][dst] = buried
	}
}

// one is a record that stands so with a destination, "" when there is none.
func (l *life) one(want promise, dst spool.Destination) string {
	for id, dests := range l.said {
		if dests[dst] == want {
			return id
		}
	}
	return ""
}

func (l *life) retryOne() {
	dst := both[l.rnd.IntN(2)]
	id := l.one(buried, dst)
	if id == "" {
		return
	}
	if n, err := l.s.Retry(spool.Query{IDs: []string{id}, Destination: dst.Name}); n != 1 || err != nil {
		l.t.Fatalf("retry of a dead letter: %d, %v", n, err)
	}
	l.said[id][dst] = kept
}

func (l *life) dropOne() {
	dst, want := both[l.rnd.IntN(2)], []promise{kept, buried}[l.rnd.IntN(2)]
	id := l.one(want, dst)
	if id == "" {
		return
	}
	if n, err := l.s.Drop(spool.Query{IDs: []string{id}, Destination: dst.Name, Dead: want == buried}); n != 1 || err != nil {
		l.t.Fatalf("drop: %d, %v", n, err)
	}
	l.said[id][dst] = ended
}

func (l *life) later() {
	l.clock.Advance(20 * time.Second)
	l.h.Tick(l.s)
}

// check compares the spool with the book.
func (l *life) check(step int) {
	l.t.Helper()
	l.balanced()
	where := map[string][]bool{}
	for _, dead := range []bool{false, true} {
		for _, en := range list(l.t, l.s, spool.Query{Dead: dead}) {
			key := en.Meta.ID + " " + en.Destination.String()
			where[key] = append(where[key], en.Dead)
			if _, known := l.text[en.Meta.ID]; !known {
				l.t.Fatalf("step %d: %s is there and was never acknowledged", step, en.Meta.ID)
			}
		}
	}
	for id, dests := range l.said {
		for dst, p := range dests {
			got := where[id+" "+dst.String()]
			right := len(got) <= 1
			switch p {
			case kept:
				right = len(got) == 1 && !got[0]
			case buried:
				right = len(got) == 1 && got[0]
			case ended:
				right = len(got) == 0
			}
			if !right {
				l.t.Fatalf("step %d: %s for %s was promised as %d, listed %v (dead or not)", step, id, dst, p, got)
			}
		}
	}
	if id := l.one(kept, DestA); id != "" {
		rec, err := l.s.Open(id)
		if err != nil {
			l.t.Fatalf("step %d: %v", step, err)
		}
		if got := payload(l.t, &rec.Envelope.Items[0]); got != l.text[id] {
			l.t.Fatalf("step %d: %s has changed: %q", step, id, got)
		}
	}
}

// testAway takes the storage away while the spool is in use: it must refuse,
// lose nothing, and go on without a restart when the storage is back.
func testAway(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	before, held := e.add("before"), e.claim(DestA)
	h.Away(t, true)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // the spool's own patience ends before
	defer cancel()
	if err := e.s.Append(ctx, Record(e.clock.Now(), []string{"a", "b"}, "meanwhile")); err == nil {
		t.Fatal("an append without storage was acknowledged")
	}
	held.Release(e.clock.Now(), "no answer")
	h.Away(t, false)
	var after string
	for deadline := time.Now().Add(time.Minute); after == ""; {
		rec := Record(e.clock.Now(), []string{"a", "b"}, "after")
		if err := e.s.Append(context.Background(), rec); err == nil {
			after = rec.Meta.ID
		} else if time.Now().After(deadline) || errors.Is(err, spool.ErrClosed) {
			t.Fatalf("append with the storage back: %v", err)
		}
	}
	for _, want := range []string{before, after} {
		if c := e.claim(DestA); c.Meta().ID != want {
			t.Fatalf("claimed %s, want %s", c.Meta().ID, want)
		}
	}
	e.balanced()
	e.reopen()
	for _, want := range []string{before, after} {
		if c := e.claim(DestB); c.Meta().ID != want {
			t.Fatalf("claimed %s after a restart, want %s: what was refused must not come back", c.Meta().ID, want)
		}
	}
	e.balanced()
}
