package spooltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

func testDurable(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	for i := range 20 {
		e.add(name(i))
	}
	e.reopen()
	e.recovered(20)
	for i := range 20 {
		if _, got := e.text(DestA); got != name(i) {
			t.Fatalf("claim %d is %q", i, got)
		}
	}
	e.balanced()
}

func testOrder(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	last := ""
	for i := range 50 {
		id := e.add(name(i))
		if id <= last {
			t.Fatalf("id %s is not after %s", id, last)
		}
		last = id
	}
	for i := range 50 {
		c, got := e.text(DestB)
		if got != name(i) {
			t.Fatalf("claim %d is %q", i, got)
		}
		e.settle(c, schemas.Delivered, "")
	}
	e.none(DestB)
}

func testRoundTrip(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	src := []byte("{\"event_id\":\"9ec79c33ec9942ab8353589fcb2e04dc\", \"odd\" : 1e2}\n" +
		"{\"type\":\"event\",\"x\":[1, 2],\"length\":7}\n{\"a\":1}\n" +
		"{\"type\":\"attachment\",\"length\":5,\"filename\":\"z\"}\n\x00\xff\n\n\x01\n" +
		"{\"type\":\"someday\",\"length\":0}\n\n")
	rec := Record(e.clock.Now(), []string{"a"})
	rec.Meta.UserAgent, rec.Meta.ClientIP, rec.Meta.Release, rec.Meta.Fingerprint = "curl/8 \"q\"", "192.0.2.7", "r@1", "f"
	rd := schemas.NewReader(bytes.NewReader(src))
	var err error
	if rec.Envelope.Header, err = rd.Header(); err != nil {
		t.Fatal(err)
	}
	for {
		hd, body, err := rd.Next()
		if err != nil {
			break
		}
		var b bytes.Buffer
		if _, err := b.ReadFrom(body); err != nil {
			t.Fatal(err)
		}
		rec.Envelope.Items = append(rec.Envelope.Items, schemas.Item{Header: hd, Payload: schemas.Bytes(b.Bytes())})
		rec.Meta.Counts = append(rec.Meta.Counts, schemas.Count{Category: schemas.CategoryLog, Quantity: 3})
	}
	id := e.append(rec)
	e.reopen()
	c := e.claim(DestA)
	if diff := cmp.Diff(rec.Meta, *c.Meta()); diff != "" {
		t.Errorf("meta changed (-want +got):\n%s", diff)
	}
	for range 2 { // an envelope that was edited does not show in the next
		env, err := c.Envelope()
		if err != nil {
			t.Fatal(err)
		}
		if len(env.Items) != 3 {
			t.Fatalf("%d items, want 3", len(env.Items))
		}
		var out bytes.Buffer
		if _, err := env.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(src), out.String()); diff != "" {
			t.Fatalf("envelope changed (-want +got):\n%s", diff)
		}
		b, _ := env.Items[0].InMemory()
		b[2] = 'X'
		env.Header.SetString("event_id", "0")
	}
	got, err := e.s.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rec.Meta, got.Meta); diff != "" {
		t.Errorf("opened meta changed (-want +got):\n%s", diff)
	}
	if _, err := e.s.Open("01ARZ3NDEKTSV4RRFFQ69G5FAV"); !errors.Is(err, spool.ErrNotFound) {
		t.Errorf("opening an unknown id: %v, want ErrNotFound", err)
	}
}

func testPerDestination(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	id := e.add("x")
	e.settle(e.claim(DestA), schemas.Delivered, "")
	e.none(DestA)
	if e.ledger.Finals(id) != nil {
		t.Fatal("settled while one destination still waits")
	}
	e.balanced()
	e.settle(e.claim(DestB), schemas.Delivered, "")
	if e.ledger.Finals(id) == nil {
		t.Fatal("not settled after the last destination")
	}
	e.balanced()
}

func testHeld(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	for i := range 30 {
		e.add(name(i))
		e.settle(e.claim(DestA), schemas.Delivered, "")
	}
	if q := e.queue(DestB); q.Records != 30 || q.Items != 30 || q.Bytes <= 0 || !q.Oldest.Equal(e.clock.Now()) {
		t.Fatalf("queue b is %+v", q)
	}
	if q := e.queue(DestA); q.Records != 0 || q.Bytes != 0 || !q.Oldest.IsZero() {
		t.Fatalf("queue a is %+v", q)
	}
	e.reopen()
	for i := range 30 {
		if _, got := e.text(DestB); got != name(i) {
			t.Fatalf("claim %d is %q", i, got)
		}
	}
}

func testRelease(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	for i := range 3 {
		e.add(name(i))
	}
	c, _ := e.text(DestA)
	if c.Attempts() != 0 {
		t.Fatalf("%d attempts before the first", c.Attempts())
	}
	c.Release(e.clock.Now().Add(time.Minute), "http_502")
	c.Release(e.clock.Now(), "twice") // a claim ends once
	if en := list(t, e.s, spool.Query{Destination: "a"}); en[0].Reason != "http_502" || en[0].Attempts != 1 || !en[0].Due.Equal(e.clock.Now().Add(time.Minute)) {
		t.Fatalf("listed as %+v", en[0])
	}
	if _, got := e.text(DestA); got != name(1) {
		t.Fatalf("next is %q", got)
	}
	e.clock.Advance(59 * time.Second)
	h.Tick(e.s)
	c2, got := e.text(DestA)
	if got != name(2) {
		t.Fatalf("then %q", got)
	}
	c2.Release(e.clock.Now(), "again")
	e.clock.Advance(time.Second)
	h.Tick(e.s)
	c, got = e.text(DestA) // due, and older than what was released at once
	if got != name(0) || c.Attempts() != 1 {
		t.Fatalf("then %q after %d attempts", got, c.Attempts())
	}
	if _, got = e.text(DestA); got != name(2) {
		t.Fatalf("last %q", got)
	}
	e.balanced()
}

func testWaiting(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	const workers = 4
	got := make(chan string, workers)
	for range workers {
		go func() {
			c, err := e.s.Claim(context.Background(), DestA)
			if err != nil {
				got <- err.Error()
				return
			}
			got <- c.Meta().ID
		}()
	}
	want := map[string]bool{}
	for i := range workers {
		want[e.add(name(i))] = true
	}
	for range workers {
		id := <-got
		if !want[id] {
			t.Fatalf("a waiting claim got %q", id)
		}
		delete(want, id)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.s.Claim(ctx, DestA); !errors.Is(err, context.Canceled) {
		t.Fatalf("claim with an ended context: %v", err)
	}
	if err := e.s.Append(ctx, Record(e.clock.Now(), []string{"a"}, "x")); !errors.Is(err, context.Canceled) {
		t.Fatalf("append with an ended context: %v", err)
	}
}

func testSettledStays(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	for i := range 10 {
		e.add(name(i))
	}
	var claims []spool.Claim
	for range 10 {
		claims = append(claims, e.claim(DestA))
	}
	for _, i := range []int{7, 2, 9} { // out of order
		e.settle(claims[i], schemas.Delivered, "")
	}
	e.reopen()
	if q := e.queue(DestA); q.Records != 7 || q.InFlight != 0 {
		t.Fatalf("queue a is %+v, want 7 records", q)
	}
	if q := e.queue(DestB); q.Records != 10 {
		t.Fatalf("queue b is %+v, want 10 records", q)
	}
	for _, i := range []int{0, 1, 3, 4, 5, 6, 8} {
		if _, got := e.text(DestA); got != name(i) {
			t.Fatalf("got %q, want %q", got, name(i))
		}
	}
}

func testClaimsOut(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	e.add("x")
	c := e.claim(DestA)
	if q := e.queue(DestA); q.InFlight != 1 || q.Records != 1 {
		t.Fatalf("queue a is %+v", q)
	}
	e.reopen()
	if err := c.Settle(schemas.AllFinal(1, schemas.Delivered, "")); !errors.Is(err, spool.ErrClosed) {
		t.Fatalf("settling a claim of a closed spool: %v", err)
	}
	c, got := e.text(DestA)
	if got != "x" || c.Attempts() != 0 {
		t.Fatalf("got %q after %d attempts", got, c.Attempts())
	}
}

func testConcurrent(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	const producers, each = 8, 50
	var wg sync.WaitGroup
	for p := range producers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				rec := Record(e.clock.Now(), []string{"a", "b"}, fmt.Sprintf("%d/%d", p, i))
				if err := e.s.Append(context.Background(), rec); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	seen := map[spool.Destination]map[string]int{DestA: {}, DestB: {}}
	left := 2 * producers * each
	for _, dst := range []spool.Destination{DestA, DestB, DestA, DestB} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := 0; ; n++ {
				c, err := e.s.Claim(ctx, dst)
				if err != nil {
					return
				}
				if n%5 == 4 {
					c.Release(e.clock.Now(), "later")
					continue
				}
				if err := c.Settle(schemas.AllFinal(1, schemas.Delivered, "")); err != nil {
					t.Error(err)
				}
				mu.Lock()
				seen[dst][c.Meta().ID]++
				if left--; left == 0 {
					cancel()
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	cancel()
	for dst, ids := range seen {
		if len(ids) != producers*each {
			t.Errorf("%s got %d records, want %d", dst, len(ids), producers*each)
		}
		for id, n := range ids {
			if n != 1 {
				t.Errorf("%s got %s %d times", dst, id, n)
			}
		}
	}
	e.balanced()
	if st := e.s.Stats(); st.Records != 0 {
		t.Errorf("%d records are left", st.Records)
	}
}

func testClosed(t *testing.T, h Harness) {
	e := begin(t, h, Options{})
	waiting := make(chan error)
	go func() {
		_, err := e.s.Claim(context.Background(), DestA)
		waiting <- err
	}()
	if err := e.s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; !errors.Is(err, spool.ErrClosed) {
		t.Fatalf("waiting claim: %v, want ErrClosed", err)
	}
	if err := e.s.Append(context.Background(), Record(e.clock.Now(), []string{"a"}, "x")); !errors.Is(err, spool.ErrClosed) {
		t.Fatalf("append: %v, want ErrClosed", err)
	}
	if _, err := e.s.Spill("shop"); !errors.Is(err, spool.ErrClosed) {
		t.Fatalf("spill: %v, want ErrClosed", err)
	}
	if err := e.s.Close(); err != nil {
		t.Fatalf("second close: %v", err)
	}
}
