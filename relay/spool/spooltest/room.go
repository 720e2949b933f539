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
