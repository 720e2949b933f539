package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"breakwater/relay/spool"
	"breakwater/relay/spool/jetstream/natstest"
	"breakwater/relay/spool/spooltest"
	"breakwater/schemas"
)

var dstA, dstB = spooltest.DestA, spooltest.DestB

func record(dests []string, texts ...string) *schemas.Record {
	return spooltest.Record(time.Now(), dests, texts...)
}

// fleet is several gateways on one stream, with the books of all of them.
type fleet struct {
	t      *testing.T
	c      *natstest.Cluster
	stream string
	books  *books
	list   []*Spool
}

// books is an observer that all gateways share.
type books struct {
	mu       sync.Mutex
	appended map[string]int
	settled  map[string]int
	foreign  int
}

func (b *books) Recovered(*schemas.Meta) { b.mu.Lock(); b.foreign++; b.mu.Unlock() }
func (b *books) Requeued(*schemas.Meta)  {}
func (b *books) Appended(m *schemas.Meta) {
	b.mu.Lock()
	b.appended[m.ID]++
	b.mu.Unlock()
}

func (b *books) Settled(m *schemas.Meta, _ []schemas.Final) {
	b.mu.Lock()
	b.settled[m.ID]++
	b.mu.Unlock()
}

func newFleet(t *testing.T, c *natstest.Cluster, n int, change func(*Config)) *fleet {
	f := &fleet{t: t, c: c, stream: newPlace(), books: &books{appended: map[string]int{}, settled: map[string]int{}}}
	for i := range n {
		f.join(fmt.Sprintf("gateway-%d", i), change)
	}
	return f
}

func (f *fleet) join(name string, change func(*Config)) *Spool {
	f.t.Helper()
	s := mustOpen(f.t, f.config(name, change))
	f.list = append(f.list, s)
	f.t.Cleanup(func() { _ = s.Close() })
	return s
}

func (f *fleet) config(name string, change func(*Config)) Config {
	cfg := contractConfig(f.c, f.stream, spooltest.Options{MaxSize: 1 << 30, Observer: f.books})
	cfg.Gateway = name
	cfg.times.ackWait, cfg.times.giveUp = 3*time.Second, 5*time.Second
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// deliver settles what a gateway gets for a destination, and notes it, until ctx
// ends. What is out when the gateway closes is not settled, and given again.
func (f *fleet) deliver(ctx context.Context, wg *sync.WaitGroup, s *Spool, dst spool.Destination, note func(id string)) {
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := s.Claim(ctx, dst)
			if err != nil {
				return
			}
			switch err := c.Settle(schemas.AllFinal(len(c.Meta().Counts), schemas.Delivered, "")); {
			case err == nil:
				note(c.Meta().ID)
			case !errors.Is(err, spool.ErrClosed):
				f.t.Errorf("settling: %v", err)
			}
		}
	}()
}

// seen counts deliveries per destination and record.
type seen struct {
	mu sync.Mutex
	n  map[string]int
}

func (s *seen) note(prefix string) func(string) {
	return func(id string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.n == nil {
			s.n = map[string]int{}
		}
		s.n[prefix+id]++
	}
}

func (s *seen) missing(prefix string, ids []string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if s.n[prefix+id] == 0 {
			n++
		}
	}
	return n
}

func (s *seen) twice() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.n {
		if k > 1 {
			n++
		}
	}
	return n
}

func eventually(t *testing.T, within time.Duration, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatalf("after %s: %v", within, err)
}

// Three gateways on one stream, both destinations at each: every record comes
// once to each destination and settles once. One gateway is closed in the
// middle of it, with leases and claims out: the others get them at once.
func TestGatewaysShareOneStream(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	f := newFleet(t, c, 3, func(c *Config) { c.times.ackWait, c.times.giveUp = 10*time.Minute, time.Minute })
	ctx, cancel := context.WithCancel(t.Context())
	var delivering, appending sync.WaitGroup
	var got seen
	held, err := append1(t, f.list[2], "held"), error(nil)
	var out spool.Claim
	if out, err = f.list[2].Claim(ctx, dstA); err != nil {
		t.Fatal(err)
	}
	for _, s := range f.list {
		for _, d := range []spool.Destination{dstA, dstB} {
			f.deliver(ctx, &delivering, s, d, got.note(d.Name))
		}
	}
	var mu sync.Mutex
	ids := []string{held}
	for i := range 12 {
		s := f.list[i%2] // the third one only delivers
		appending.Go(func() {
			for k := range 40 {
				rec := record([]string{"a", "b"}, fmt.Sprintf("%d/%d", i, k))
				if err := s.Append(ctx, rec); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				mu.Lock()
				ids = append(ids, rec.Meta.ID)
				mu.Unlock()
			}
		})
	}
	appending.Wait()
	if out.Meta().ID != held {
		t.Fatalf("claimed %s", out.Meta().ID)
	}
	if err := f.list[2].Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		if n := got.missing("a", ids) + got.missing("b", ids); n > 0 {
			return fmt.Errorf("%d deliveries are missing", n)
		}
		return nil
	})
	eventually(t, time.Minute, func() error {
		f.list[0].Tick()
		if st := f.list[0].Stats(); st.Records != 0 {
			return fmt.Errorf("%d records are left", st.Records)
		}
		return nil
	})
	cancel()
	delivering.Wait()
	if n := got.twice(); n > 0 {
		t.Errorf("%d deliveries were repeated in calm weather", n)
	}
	f.books.mu.Lock()
	defer f.books.mu.Unlock()
	for _, id := range ids {
		if f.books.settled[id] != 1 || f.books.appended[id] != 1 {
			t.Fatalf("%s was appended %d times and settled %d times", id, f.books.appended[id], f.books.settled[id])
		}
	}
	if f.books.foreign == 0 {
		t.Error("no gateway settled a record of another one")
	}
}

func append1(t *testing.T, s *Spool, text string) string {
	t.Helper()
	rec := record([]string{"a", "b"}, text)
	if err := s.Append(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	return rec.Meta.ID
}

// Three servers that sync: under load the leader is killed, then a second
// server, then one gateway. While no majority is there appends are refused with
// "unavailable"; when it is back everything that was acknowledged is delivered.
func TestClusterLosesNothing(t *testing.T) {
	c := natstest.Start(t, natstest.Options{Nodes: 3})
	f := newFleet(t, c, 2, nil)
	load, stopLoad := context.WithCancel(t.Context())
	var appending, delivering sync.WaitGroup
	var mu sync.Mutex
	var acked []string
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(acked) }
	refused := map[string]int{}
	put := func(s *Spool, i int) {
		rec := record([]string{"a", "b"}, fmt.Sprint(i))
		err := s.Append(load, rec)
		mu.Lock()
		defer mu.Unlock()
		var full *spool.FullError
		switch {
		case err == nil:
			acked = append(acked, rec.Meta.ID)
		case errors.As(err, &full):
			refused[full.Why]++
			if full.RetryAfter() <= 0 {
				t.Error("refused without a time to come back")
			}
		case load.Err() == nil && !errors.Is(err, spool.ErrClosed):
			t.Errorf("append: %v", err)
		}
	}
	for i := range 8 {
		appending.Go(func() {
			for k := 0; load.Err() == nil; k++ {
				put(f.list[i%2], k)
				pause(load, 5*time.Millisecond)
			}
		})
	}
	more := func(n int) {
		t.Helper()
		from := count()
		eventually(t, 60*time.Second, func() error {
			if got := count() - from; got < n {
				return fmt.Errorf("%d more were acknowledged, want %d", got, n)
			}
			return nil
		})
	}
	more(50)
	first := c.Leader(f.stream)
	c.Kill(first)
	more(50) // with another leader
	second := (first + 1) % 3
	c.Kill(second)
	eventually(t, 60*time.Second, func() error {
		mu.Lock()
		defer mu.Unlock()
		if refused["unavailable"] == 0 {
			return fmt.Errorf("nothing was refused: %v", refused)
		}
		return nil
	})
	if err := f.list[0].Ready(); err == nil {
		eventually(t, time.Minute, func() error {
			if f.list[0].Ready() == nil {
				return errors.New("it says that it is ready without a majority")
			}
			return nil
		})
	}
	for _, i := range []int{first, second} {
		if err := c.Restart(i); err != nil {
			t.Fatal(err)
		}
	}
	more(50)
	if err := f.list[0].Ready(); err != nil {
		eventually(t, time.Minute, f.list[0].Ready)
	}
	f.list[1].abandon() // kill -9 of a gateway
	stopLoad()
	appending.Wait()
	f.join("gateway-2", nil)
	ctx, cancel := context.WithCancel(t.Context())
	var got seen
	for _, s := range []*Spool{f.list[0], f.list[2]} {
		for _, d := range []spool.Destination{dstA, dstB} {
			for range 4 {
				f.deliver(ctx, &delivering, s, d, got.note(d.Name))
			}
		}
	}
	eventually(t, 90*time.Second, func() error {
		if n := got.missing("a", acked) + got.missing("b", acked); n > 0 {
			return fmt.Errorf("%d of %d deliveries are missing", n, 2*len(acked))
		}
		return nil
	})
	cancel()
	delivering.Wait()
	t.Logf("%d acknowledged, %v refused, %d delivered twice", len(acked), refused, got.twice())
}
