package spooltest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

func testDeadLetters(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	one, two := e.add("one"), e.add("two")
	for range 2 {
		if err := e.claim(DestA).Bury("rejected"); err != nil {
			t.Fatal(err)
		}
		e.settle(e.claim(DestB), schemas.Delivered, "")
	}
	e.none(DestA)
	if f := e.ledger.Finals(one); len(f) != 1 || f[0] != (schemas.Final{Outcome: schemas.DeadLetter, Reason: "rejected"}) {
		t.Fatalf("settled as %+v", f)
	}
	e.balanced()
	dead := list(t, e.s, spool.Query{Dead: true})
	if len(dead) != 2 || dead[0].Meta.ID != one || !dead[0].Dead || dead[0].Reason != "rejected" || dead[0].Destination != DestA {
		t.Fatalf("listed %+v", dead)
	}
	if q := e.queue(DestA); q.Dead != 2 || q.DeadSize <= 0 || q.Records != 0 {
		t.Fatalf("queue is %+v", q)
	}
	rec, err := e.s.Open(two)
	if err != nil || payload(t, &rec.Envelope.Items[0]) != "two" {
		t.Fatalf("opening a dead letter: %v", err)
	}
	if n, err := e.s.Retry(spool.Query{IDs: []string{one}, Dead: true}); n != 1 || err != nil {
		t.Fatalf("retry: %d, %v", n, err)
	}
	e.balanced()
	if n, err := e.s.Drop(spool.Query{Dead: true, Project: "shop", Destination: "a"}); n != 1 || err != nil {
		t.Fatalf("drop: %d, %v", n, err)
	}
	e.balanced()
	if _, err := e.s.Open(two); !errors.Is(err, spool.ErrNotFound) {
		t.Fatalf("opening a dropped one: %v", err)
	}
	c, got := e.text(DestA)
	if got != "one" {
		t.Fatalf("retried %q", got)
	}
	e.settle(c, schemas.Delivered, "")
	if f := e.ledger.Finals(one); f[0].Outcome != schemas.Delivered {
		t.Fatalf("settled again as %+v", f)
	}
	e.balanced()
	if st := e.s.Stats(); st.Records != 0 {
		t.Fatalf("%d records are left", st.Records)
	}
}

func testBurialStays(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	id := e.add("x")
	if err := e.claim(DestA).Bury("http_400"); err != nil {
		t.Fatal(err)
	}
	if en := list(t, e.s, spool.Query{Destination: "a", Dead: true}); len(en) != 1 || en[0].Attempts != 1 {
		t.Fatalf("listed as %+v", en)
	}
	e.reopen()
	e.recovered(1) // it still waits for b
	e.settle(e.claim(DestB), schemas.Delivered, "")
	if f := e.ledger.Finals(id); len(f) != 1 || f[0].Outcome != schemas.DeadLetter || f[0].Reason != "http_400" {
		t.Fatalf("settled as %+v", f)
	}
	e.balanced()
	e.reopen()
	e.recovered(0) // there are dead letters only: it had settled
	dead := list(t, e.s, spool.Query{Dead: true})
	if len(dead) != 1 || dead[0].Reason != "http_400" {
		t.Fatalf("listed %+v", dead)
	}
	if n, err := e.s.Retry(spool.Query{}); n != 1 || err != nil {
		t.Fatalf("retry: %d, %v", n, err)
	}
	e.balanced()
	e.reopen()
	e.recovered(1)
	if _, got := e.text(DestA); got != "x" {
		t.Fatal("the retry was lost")
	}
	e.balanced()
}

func testDropPending(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	id, other := e.add("x"), e.add("y")
	held := e.claim(DestA)
	if n, err := e.s.Drop(spool.Query{IDs: []string{id}}); n != 1 || err != nil {
		t.Fatalf("drop: %d, %v", n, err)
	}
	if f := e.ledger.Finals(id); len(f) != 1 || f[0] != (schemas.Final{Outcome: schemas.DeadLetter, Reason: "dropped"}) {
		t.Fatalf("settled as %+v", f)
	}
	e.settle(held, schemas.Delivered, "") // too late; it must not count twice
	e.balanced()
	e.reopen()
	if c := e.claim(DestA); c.Meta().ID != other {
		t.Fatal("a dropped record came back")
	}
	e.balanced()
}

func testWorst(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	rec := Record(e.clock.Now(), []string{"a", "b"}, "1", "2", "3")
	id := e.append(rec)
	d, r, x := schemas.Final{Outcome: schemas.Delivered}, schemas.Final{Outcome: schemas.RateLimited, Reason: "quota"}, schemas.Final{Outcome: schemas.Expired, Reason: "held"}
	if err := e.claim(DestA).Settle([]schemas.Final{d, r, x}); err != nil {
		t.Fatal(err)
	}
	e.reopen()
	if err := e.claim(DestB).Settle([]schemas.Final{d, d, r}); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint([]schemas.Final{d, r, x})
	if got := fmt.Sprint(e.ledger.Finals(id)); got != want {
		t.Fatalf("settled as %s, want %s", got, want)
	}
	e.balanced()
}

// testEnd: records end with the outcome that is given, at one destination and
// by their ids alone, and stay ended.
func testEnd(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	first, second := e.add("first"), e.add("second")
	f := schemas.Final{Outcome: schemas.Delivered, Reason: "exported"}
	end := func(q spool.Query, want int) {
		t.Helper()
		if n, err := e.s.End(q, f); err != nil || n != want {
			t.Fatalf("ended %d, %v, want %d", n, err, want)
		}
	}
	end(spool.Query{IDs: []string{first}, Destination: "a", Project: DestA.Project}, 1)
	end(spool.Query{IDs: []string{first}, Destination: "a", Project: DestA.Project}, 0)
	if got := e.ledger.Finals(first); got != nil {
		t.Fatalf("settled as %v with a destination to go", got)
	}
	e.reopen()
	if _, text := e.text(DestA); text != "second" {
		t.Fatalf("%s was given again", text)
	}
	end(spool.Query{IDs: []string{first}}, 1)
	if got := fmt.Sprint(e.ledger.Finals(first)); got != fmt.Sprint([]schemas.Final{f}) {
		t.Fatalf("settled as %s, want %v", got, f)
	}
	if err := e.claim(DestB).Bury("no"); err != nil {
		t.Fatal(err)
	}
	end(spool.Query{IDs: []string{second}, Destination: "b"}, 0) // dead letters are not meant
	end(spool.Query{IDs: []string{second}, Dead: true}, 1)
	e.balanced()
}

// testFiltered: an item that one destination keeps and another does not is
// delivered, whoever was first; one that none keeps is filtered.
func testFiltered(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	d, f := schemas.Final{Outcome: schemas.Delivered}, schemas.Final{Outcome: schemas.Filtered, Reason: "no_document"}
	for _, tc := range []struct {
		a, b, want []schemas.Final
		restart    bool
	}{
		{[]schemas.Final{d, d}, []schemas.Final{d, f}, []schemas.Final{d, d}, false},
		{[]schemas.Final{d, f}, []schemas.Final{d, d}, []schemas.Final{d, d}, false},
		{[]schemas.Final{d, f}, []schemas.Final{d, f}, []schemas.Final{d, f}, false},
		{[]schemas.Final{d, d}, []schemas.Final{f, f}, []schemas.Final{d, d}, true},
		{[]schemas.Final{f, f}, []schemas.Final{d, d}, []schemas.Final{d, d}, true},
		{[]schemas.Final{f, f}, []schemas.Final{f, f}, []schemas.Final{f, f}, true},
	} {
		id := e.append(Record(e.clock.Now(), []string{"a", "b"}, "1", "2"))
		if err := e.claim(DestA).Settle(tc.a); err != nil {
			t.Fatal(err)
		}
		if tc.restart {
			e.reopen()
		}
		if err := e.claim(DestB).Settle(tc.b); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(e.ledger.Finals(id)); got != fmt.Sprint(tc.want) {
			t.Fatalf("%v and %v settled as %s, want %v", tc.a, tc.b, got, tc.want)
		}
		e.balanced()
	}
}

func testSpill(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	sp, err := e.s.Spill("shop")
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	for i := range 300 {
		chunk := bytes.Repeat([]byte{byte(i), '\n', 0}, 1000)
		want.Write(chunk)
		if _, err := sp.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := sp.Finish(); err != nil {
		t.Fatal(err)
	}
	if sp.Size() != int64(want.Len()) {
		t.Fatalf("size %d, want %d", sp.Size(), want.Len())
	}
	rec := Record(e.clock.Now(), []string{"a", "b"}, "small", "large", "small too")
	rec.Envelope.Items[1].Payload = sp
	e.append(rec)
	sp.Discard() // does nothing any more
	check := func(dst spool.Destination) spool.Claim {
		t.Helper()
		c := e.claim(dst)
		env, err := c.Envelope()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := env.Items[1].InMemory(); ok {
			t.Error("a spilled payload came back in memory")
		}
		if got := payload(t, &env.Items[1]); got != want.String() {
			t.Errorf("the spilled payload changed: %d bytes, want %d", len(got), want.Len())
		}
		if payload(t, &env.Items[0]) != "small" || payload(t, &env.Items[2]) != "small too" {
			t.Error("its neighbours changed")
		}
		return c
	}
	used := e.s.Stats().Used
	e.settle(check(DestA), schemas.Delivered, "")
	e.reopen()
	e.settle(check(DestB), schemas.Delivered, "")
	h.Tick(e.s)
	if left := e.s.Stats().Used; left > used-int64(want.Len()) {
		t.Errorf("%d of %d bytes are left after the last destination", left, used)
	}
	e.balanced()
}

func testSpillDiscard(t *testing.T, h Harness) {
	e := begin(t, h, Options{MaxSize: 1 << 20, ProjectShare: 1})
	before := e.s.Stats().Used
	sp, err := e.s.Spill("shop")
	if err != nil {
		t.Fatal(err)
	}
	var full *spool.FullError
	for {
		if _, err = sp.Write(make([]byte, 64<<10)); err != nil {
			break
		}
	}
	if !errors.As(err, &full) {
		t.Fatalf("writing without end: %v, want a FullError", err)
	}
	sp.Discard()
	sp.Discard()
	if got := e.s.Stats().Used; got != before {
		t.Fatalf("%d bytes used after the discard, %d before", got, before)
	}
	e.add("there is room")
}

func testList(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	var ids []string
	for i := range 25 {
		rec := Record(e.clock.Now(), []string{"a"}, name(i))
		if i == 13 {
			rec.Meta.EventID = "0123456789abcdef0123456789abcdef"
		}
		ids = append(ids, e.append(rec))
	}
	var got []string
	after := ""
	for pages := 0; ; pages++ {
		page := list(t, e.s, spool.Query{After: after, Limit: 10})
		for _, en := range page {
			got = append(got, en.Meta.ID)
			after = en.Meta.ID
		}
		if len(page) < 10 {
			if pages != 2 {
				t.Fatalf("%d full pages, want 2", pages)
			}
			break
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(ids) {
		t.Fatalf("pages gave %v, want %v", got, ids)
	}
	if en := list(t, e.s, spool.Query{EventID: "0123456789abcdef0123456789abcdef"}); len(en) != 1 || en[0].Meta.ID != ids[13] {
		t.Fatalf("by event id: %+v", en)
	}
	if en := list(t, e.s, spool.Query{Project: "nobody"}); len(en) != 0 {
		t.Fatalf("of another project: %+v", en)
	}
	if en := list(t, e.s, spool.Query{IDs: []string{"no id"}}); len(en) != 0 {
		t.Fatalf("by an id that is none: %+v", en)
	}
	n := 0
	if err := e.s.List(spool.Query{}, func(spool.Entry) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Fatalf("a stopped walk went on: %d, %v", n, err)
	}
}

func testDeadBudget(t *testing.T, h Harness) {
	e := begin(t, h, Options{MaxSize: 4 << 20, DeadLetterSize: 64 << 10})
	var ids []string
	for range 40 {
		ids = append(ids, e.append(Record(e.clock.Now(), []string{"a"}, strings.Repeat("x", 4096))))
		if err := e.claim(DestA).Bury("no"); err != nil {
			t.Fatal(err)
		}
	}
	h.Tick(e.s)
	dead := list(t, e.s, spool.Query{Dead: true})
	if len(dead) < 8 || len(dead) > 16 {
		t.Fatalf("%d dead letters of 4 KB are left in 64 KiB", len(dead))
	}
	if dead[len(dead)-1].Meta.ID != ids[39] || dead[0].Meta.ID != ids[40-len(dead)] {
		t.Fatal("not the oldest were dropped")
	}
	if n := e.ledger.Outcome(schemas.DeadLetter); n != 40 {
		t.Fatalf("%d items counted as dead letters, want 40: a dropped one was counted before", n)
	}
	e.balanced()
}
