package spooltest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// fill appends until the spool is full and returns how many fitted.
func (e *env) fill(size int, why string) int {
	e.t.Helper()
	text := strings.Repeat("x", size)
	for n := 0; ; n++ {
		err := e.s.Append(context.Background(), Record(e.clock.Now(), []string{"a"}, text))
		if err == nil {
			if n > 100000 {
				e.t.Fatal("never full")
			}
			continue
		}
		var full *spool.FullError
		if !errors.As(err, &full) || full.Why != why || full.RetryAfter() <= 0 {
			e.t.Fatalf("append: %v, want a FullError for %s with a time to wait", err, why)
		}
		return n
	}
}

func testFull(t *testing.T, h Harness) {
	e := begin(t, h, Options{MaxSize: 1 << 20, ProjectShare: 1})
	n := e.fill(4096, "max_size")
	if n < 128 || n > 256 {
		t.Fatalf("%d records of 4 KB fit in 1 MiB", n)
	}
	e.balanced()
	for range n {
		e.settle(e.claim(DestA), schemas.Delivered, "")
	}
	h.Tick(e.s)
	for range n / 2 { // the room is back
		e.append(Record(e.clock.Now(), []string{"a"}, strings.Repeat("y", 4096)))
	}
	e.balanced()
}

func testShare(t *testing.T, h Harness) {
	e := begin(t, h, Options{MaxSize: 1 << 20, ProjectShare: 0.25})
	if n := e.fill(4096, "project_share"); n < 50 || n > 64 {
		t.Fatalf("%d records of 4 KB fit in a quarter of 1 MiB", n)
	}
	rec := Record(e.clock.Now(), []string{"a"}, "x")
	rec.Meta.Project = "other"
	e.append(rec)
}

func testShareOfSpills(t *testing.T, h Harness) {
	const room = 256 << 10
	e := begin(t, h, Options{MaxSize: 4 * room, ProjectShare: 0.25})
	e.append(Record(e.clock.Now(), []string{"a"}, "first"))
	held := func() int64 {
		for _, p := range e.s.Stats().Projects {
			if p.Project == "shop" {
				return p.Bytes
			}
		}
		return 0
	}
	small := held()
	if small <= 0 || small > 8<<10 {
		t.Fatalf("a small record counts as %d bytes", small)
	}
	write := func(project string, n int) (spool.Spill, int, error) {
		t.Helper()
		sp, err := e.s.Spill(project)
		if err != nil {
			t.Fatal(err)
		}
		for done := 0; ; done += 8 << 10 {
			if done >= n {
				return sp, done, nil
			}
			if _, err := sp.Write(make([]byte, 8<<10)); err != nil {
				return sp, done, err
			}
		}
	}
	refused := func(err error) {
		t.Helper()
		var full *spool.FullError
		if !errors.As(err, &full) || full.Why != "project_share" || full.RetryAfter() <= 0 {
			t.Fatalf("beyond the share: %v, want a FullError for project_share with a time to wait", err)
		}
	}
	// Half an upload, then another that takes what is left.
	slow, _, err := write("shop", room/2)
	if err != nil {
		t.Fatal(err)
	}
	greedy, n, err := write("shop", room)
	refused(err)
	if got, want := held(), small+int64(room/2+n); got != want || n < room/4 {
		t.Fatalf("the project holds %d bytes, want %d; the second upload had %d", got, want, n)
	}
	refused(e.s.Append(context.Background(), Record(e.clock.Now(), []string{"a"}, strings.Repeat("x", 16<<10))))
	neighbour, _, err := write("other", room/2)
	if err != nil {
		t.Fatalf("a neighbour's upload: %v", err)
	}
	rec := Record(e.clock.Now(), []string{"a"}, "x")
	rec.Meta.Project = "other"
	e.append(rec)
	neighbour.Discard()
	greedy.Discard()
	greedy.Discard()
	if got, want := held(), small+room/2; got != want {
		t.Fatalf("the project holds %d bytes after the discard, want %d", got, want)
	}
	// A record counts its file once, also while it is appended: this one takes
	// more than half of the share.
	rest, _, err := write("shop", room/4)
	if err := errors.Join(err, slow.Finish(), rest.Finish()); err != nil {
		t.Fatal(err)
	}
	rec = Record(e.clock.Now(), []string{"a"}, "event", "", "")
	rec.Envelope.Items[1].Payload, rec.Envelope.Items[2].Payload = slow, rest
	e.append(rec)
	slow.Discard()
	if got, least := held(), small+room*3/4; got < least || got > least+8<<10 {
		t.Fatalf("the project holds %d bytes after the append, want %d and the record's own", got, least)
	}
	// One that is refused gives its file's room back.
	before := held()
	lost, _, err := write("shop", room/8)
	if err := errors.Join(err, lost.Finish()); err != nil {
		t.Fatal(err)
	}
	rec = Record(e.clock.Now(), []string{"a"}, strings.Repeat("x", room/4), "")
	rec.Envelope.Items[1].Payload = lost
	refused(e.s.Append(context.Background(), rec))
	if got := held(); got != before {
		t.Fatalf("the project holds %d bytes after the refusal, %d before", got, before)
	}
	for range 2 {
		e.settle(e.claim(DestA), schemas.Delivered, "")
	}
	for deadline := time.Now().Add(30 * time.Second); held() != 0; h.Tick(e.s) {
		if time.Now().After(deadline) {
			t.Fatalf("the project holds %d bytes when all is delivered", held())
		}
	}
}

func testExpiry(t *testing.T, h Harness) {
	e := begin(t, h, Options{MaxAge: time.Hour})
	old := e.add("old")
	delayed := e.claim(DestA)
	delayed.Release(e.clock.Now().Add(24*time.Hour), "later")
	buried := e.append(Record(e.clock.Now(), []string{"a"}, "dead"))
	if err := e.claim(DestA).Bury("no"); err != nil {
		t.Fatal(err)
	}
	e.clock.Advance(30 * time.Minute)
	young := e.add("young")
	e.clock.Advance(31 * time.Minute)
	h.Tick(e.s)
	if f := e.ledger.Finals(old); len(f) != 1 || f[0] != (schemas.Final{Outcome: schemas.Expired, Reason: "max_age"}) {
		t.Fatalf("old record settled as %+v", f)
	}
	if e.ledger.Finals(young) != nil {
		t.Fatal("the young record expired")
	}
	if c := e.claim(DestB); c.Meta().ID != young {
		t.Fatal("an expired record was given out")
	}
	if _, err := e.s.Open(buried); err != nil {
		t.Fatalf("the dead letter is gone: %v", err)
	}
	e.balanced()
}
