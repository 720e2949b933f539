package jetstream

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"breakwater/relay/spool"
	"breakwater/relay/spool/jetstream/natstest"
	"breakwater/schemas"
)

// sums are the books of all gateways together.
type sums struct {
	mu                           sync.Mutex
	appended, requeued, recorded int
	settled                      map[string]int
}

func (b *sums) Recovered(*schemas.Meta) {}
func (b *sums) Appended(*schemas.Meta)  { b.mu.Lock(); b.appended++; b.mu.Unlock() }
func (b *sums) Requeued(*schemas.Meta)  { b.mu.Lock(); b.requeued++; b.mu.Unlock() }
func (b *sums) Settled(m *schemas.Meta, _ []schemas.Final) {
	b.mu.Lock()
	b.settled[m.ID]++
	b.recorded++
	b.mu.Unlock()
}

// check that appended and requeued have settled.
func (b *sums) check() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.appended+b.requeued != b.recorded {
		return fmt.Errorf("%d appended and %d requeued, %d settled", b.appended, b.requeued, b.recorded)
	}
	return nil
}

func keptBy(b *sums) func(*Config) { return func(c *Config) { c.Observer = b } }

// A gateway ends the last other destination of a record before another one's
// retry could move it: the record has ended, and the retried part is counted
// again. Had the retry been first, it would have settled once.
func TestRetryComesTooLate(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	place, b := newPlace(), &sums{settled: map[string]int{}}
	one, two := solo(t, c, place, keptBy(b)), solo(t, c, place, keptBy(b))
	id := append1(t, one, "x")
	if err := claimOf(t, one, dstA).Bury("http_400"); err != nil {
		t.Fatal(err)
	}
	last := claimOf(t, two, dstB)
	var l *letter
	if err := one.walkDead(t.Context(), spool.Query{Dead: true}, func(found *letter, _ *schemas.Meta) (bool, error) { l = found; return false, nil }); err != nil || l == nil {
		t.Fatalf("no dead letter: %v", err)
	}
	home, i, err := one.home(t.Context(), l)
	if home == nil || err != nil {
		t.Fatalf("the record does not wait: %v", err)
	}
	defer one.letGo(home)
	if err := last.Settle(nil); err != nil {
		t.Fatal(err)
	}
	two.Tick()
	if ended, err := one.moveOut(t.Context(), home, i, home.seq+1); !ended || err != nil {
		t.Fatalf("a record that ended is moved: %v, %v", ended, err)
	}
	if n, err := one.Retry(spool.Query{}); n != 1 || err != nil {
		t.Fatalf("retried %d: %v", n, err)
	}
	if err := claimOf(t, two, dstA).Settle(nil); err != nil {
		t.Fatal(err)
	}
	if err := b.check(); err != nil || b.settled[id] != 2 {
		t.Errorf("settled %d times: %v", b.settled[id], err)
	}
}

// A retry moves a record while another gateway has ended its last other
// destination and not stored that: the end is stored in the new place, and the
// record settles once.
func TestRetryOvertakesTheEnd(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	place, b := newPlace(), &sums{settled: map[string]int{}}
	one, two := solo(t, c, place, keptBy(b)), solo(t, c, place, keptBy(b))
	id := append1(t, one, "x")
	if err := claimOf(t, one, dstA).Bury("http_400"); err != nil {
		t.Fatal(err)
	}
	last := claimOf(t, two, dstB)
	for range cap(two.flushes) { // nothing can be stored there
		two.flushes <- struct{}{}
	}
	if err := last.Settle(nil); err != nil {
		t.Fatal(err)
	}
	if n, err := one.Retry(spool.Query{}); n != 1 || err != nil {
		t.Fatalf("retried %d: %v", n, err)
	}
	for range cap(two.flushes) {
		<-two.flushes
	}
	eventually(t, 30*time.Second, func() error {
		one.Tick()
		for _, q := range one.Stats().Queues {
			if want := map[spool.Destination]int64{dstA: 1}[q.Destination]; q.Records != want {
				return fmt.Errorf("%d records wait for %s, want %d", q.Records, q.Destination, want)
			}
		}
		return nil
	})
	if err := claimOf(t, two, dstA).Settle(nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, b.check)
	if b.settled[id] != 1 || b.requeued != 0 {
		t.Errorf("settled %d times, requeued %d", b.settled[id], b.requeued)
	}
}

// Retries at one gateway and ends at another at the same time: the books are
// right whoever is first.
func TestRetriesRaceEnds(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	place, b := newPlace(), &sums{settled: map[string]int{}}
	one, two := solo(t, c, place, keptBy(b)), solo(t, c, place, keptBy(b))
	const n = 40
	for i := range n {
		append1(t, one, fmt.Sprint(i))
	}
	for range n {
		if err := claimOf(t, one, dstA).Bury("http_400"); err != nil {
			t.Fatal(err)
		}
	}
	var claims []spool.Claim
	for range n {
		claims = append(claims, claimOf(t, two, dstB))
	}
	for i, cl := range claims { // the end comes a little later from one to the next
		var wg sync.WaitGroup
		wg.Go(func() {
			if got, err := one.Retry(spool.Query{IDs: []string{cl.Meta().ID}}); got != 1 || err != nil {
				t.Errorf("retried %d: %v", got, err)
			}
		})
		pause(t.Context(), time.Duration(i)*time.Millisecond/2)
		if err := cl.Settle(nil); err != nil {
			t.Error(err)
		}
		wg.Wait()
	}
	for range n {
		if err := claimOf(t, two, dstA).Settle(nil); err != nil {
			t.Error(err)
		}
	}
	eventually(t, time.Minute, func() error {
		two.Tick()
		for _, q := range two.Stats().Queues {
			if q.Records > 0 {
				return fmt.Errorf("%d records wait for %s", q.Records, q.Destination)
			}
		}
		return b.check()
	})
	b.mu.Lock()
	t.Logf("%d of %d retries came after the end", b.requeued, n)
	b.mu.Unlock()
}

var _ spool.Observer = (*sums)(nil)
