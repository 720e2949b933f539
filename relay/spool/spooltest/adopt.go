package spooltest

import (
	"context"
	"testing"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// testAdopt takes over a waiting record and a dead letter of another spool.
func testAdopt(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	a, ok := e.s.(spool.Adopter)
	if !ok {
		t.Fatal("a spool takes over what another one held: it is a spool.Adopter")
	}
	waiting := Record(e.clock.Now(), []string{"a", "b"}, "waiting")
	if err := a.Adopt(context.Background(), waiting, spool.Origin{ID: "01K9A0000000000000000000AA"}); err != nil {
		t.Fatal(err)
	}
	dead := Record(e.clock.Now(), []string{"a"}, "dead")
	if err := a.Adopt(context.Background(), dead, spool.Origin{ID: "01K9A0000000000000000000BB", Dead: true, Reason: "http_400"}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // now, and after a restart
		e.balanced()
		if got := list(t, e.s, spool.Query{}); len(got) != 2 || got[0].Meta.EventID != waiting.Meta.EventID {
			t.Fatalf("listed as waiting: %+v", got)
		}
		got := list(t, e.s, spool.Query{Dead: true})
		if len(got) != 1 || got[0].Destination != DestA || got[0].Reason != "http_400" {
			t.Fatalf("listed as dead: %+v", got)
		}
		rec, err := e.s.Open(got[0].Meta.ID)
		if err != nil || payload(t, &rec.Envelope.Items[0]) != "dead" {
			t.Fatalf("opening a dead letter: %v", err)
		}
		e.reopen()
	}
	e.recovered(1) // a dead letter's item was counted when it was buried
	for _, d := range []spool.Destination{DestA, DestB} {
		c, got := e.text(d)
		if got != "waiting" {
			t.Fatalf("%s was given %q", d, got)
		}
		e.settle(c, schemas.Delivered, "")
	}
	e.none(DestA)
	e.balanced()
	if n, err := e.s.Retry(spool.Query{Dead: true}); n != 1 || err != nil {
		t.Fatalf("retry: %d, %v", n, err)
	}
	c, got := e.text(DestA)
	if got != "dead" {
		t.Fatalf("retried %q", got)
	}
	e.settle(c, schemas.Delivered, "")
	e.balanced()
}
