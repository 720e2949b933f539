package jetstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"breakwater/relay/spool"
	"breakwater/relay/spool/jetstream/natstest"
	"breakwater/schemas"
)

// Trouble in random order for five seconds (ten minutes with BREAKWATER_LONG=1):
// servers are killed, frozen and come back, one or two at a time; gateways are
// killed, closed and replaced; records are settled, released and buried. At the
// end everything that was acknowledged has been settled or lies buried, once
// for each destination, and what was never appended never came.
func TestTroubleInRandomOrder(t *testing.T) {
	span := 5 * time.Second
	if os.Getenv("BREAKWATER_LONG") != "" {
		span = 10 * time.Minute
	}
	c := natstest.Start(t, natstest.Options{Nodes: 3})
	f := newFleet(t, c, 3, nil)
	seed := uint64(time.Now().UnixNano())
	t.Logf("the seed of the trouble is %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	var acked []string
	tried := map[string]bool{} // texts
	ended := map[string]int{}  // by destination and record
	live := append([]*Spool(nil), f.list...)
	gateway := func() *Spool { mu.Lock(); defer mu.Unlock(); return live[rand.IntN(len(live))] }

	ctx, cancel := context.WithCancel(t.Context())
	load, stopLoad := context.WithCancel(ctx)
	var appending, working sync.WaitGroup
	for i := range 6 {
		appending.Go(func() {
			for k := 0; load.Err() == nil; k++ {
				text := fmt.Sprintf("%d/%d", i, k)
				mu.Lock()
				tried[text] = true
				mu.Unlock()
				rec := record([]string{"a", "b"}, text)
				if err := gateway().Append(load, rec); err == nil {
					mu.Lock()
					acked = append(acked, rec.Meta.ID)
					mu.Unlock()
				}
				pause(load, 2*time.Millisecond)
			}
		})
	}
	for _, dst := range []spool.Destination{dstA, dstB} {
		for range 6 {
			working.Go(func() {
				for ctx.Err() == nil {
					turn, done := context.WithTimeout(ctx, time.Second)
					cl, err := gateway().Claim(turn, dst)
					done()
					if err != nil {
						pause(ctx, 5*time.Millisecond)
						continue
					}
					env, err := cl.Envelope()
					if err != nil {
						t.Errorf("reading %s: %v", cl.Meta().ID, err)
						return
					}
					b, _ := env.Items[0].InMemory()
					mu.Lock()
					if !tried[string(b)] {
						t.Errorf("%q came and was never appended", b)
					}
					mu.Unlock()
					switch rand.IntN(10) {
					case 0:
						cl.Release(time.Now().Add(time.Duration(rand.IntN(300))*time.Millisecond), "later")
						continue
					case 1:
						err = cl.Bury("no")
					default:
						err = cl.Settle(schemas.AllFinal(1, schemas.Delivered, ""))
					}
					if err != nil {
						cl.Release(time.Now(), "fault")
						continue
					}
					mu.Lock()
					ended[dst.Name+cl.Meta().ID]++
					mu.Unlock()
				}
			})
		}
	}
	names := 3
	for end := time.Now().Add(span); time.Now().Before(end); pause(ctx, time.Duration(200+rnd.IntN(800))*time.Millisecond) {
		switch node := rnd.IntN(3); rnd.IntN(6) {
		case 0:
			c.Kill(node)
		case 1:
			c.Pause(node)
		case 2, 3:
			for i := range 3 {
				c.Resume(i)
				if err := c.Restart(i); err != nil {
					t.Fatal(err)
				}
			}
		default: // a gateway ends, another one comes when it can
			mu.Lock()
			old := live[rnd.IntN(len(live))]
			if len(live) > 1 {
				live = without(live, old)
			} else {
				old = nil
			}
			mu.Unlock()
			if old != nil && rnd.IntN(2) == 0 {
				old.abandon()
			} else if old != nil {
				_ = old.Close()
			}
			names++
			cfg := f.config(fmt.Sprintf("gateway-%d", names), nil)
			opening, done := context.WithTimeout(ctx, 3*time.Second)
			if s, err := Open(opening, cfg); err == nil {
				t.Cleanup(func() { _ = s.Close() })
				mu.Lock()
				live = append(live, s)
				mu.Unlock()
			}
			done()
		}
	}
	for i := range 3 {
		c.Resume(i)
		if err := c.Restart(i); err != nil {
			t.Fatal(err)
		}
	}
	stopLoad()
	appending.Wait()
	if err := c.Ready(time.Minute); err != nil {
		t.Fatal(err)
	}
	last := f.join("the-last", nil)
	mu.Lock()
	live = append(live, last)
	mu.Unlock()
	eventually(t, time.Minute, func() error {
		mu.Lock()
		var missing []string
		for _, id := range acked {
			for _, d := range []string{"a", "b"} {
				if ended[d+id] == 0 {
					missing = append(missing, d+" "+id)
				}
			}
		}
		mu.Unlock()
		if len(missing) > 0 {
			return fmt.Errorf("%d of %d ends are missing: %s", len(missing), 2*len(acked), where(last, missing))
		}
		return nil
	})
	// What a killed gateway had not stored comes once more, when its lease has run out.
	eventually(t, time.Minute, func() error {
		last.Tick()
		for _, q := range last.Stats().Queues {
			if q.Records > 0 {
				var list []string
				_ = last.List(spool.Query{}, func(e spool.Entry) bool {
					mu.Lock()
					defer mu.Unlock()
					list = append(list, e.Destination.Name+" "+e.Meta.ID)
					if !slices.Contains(acked, e.Meta.ID) {
						list[len(list)-1] += " (never acknowledged)"
					}
					return true
				})
				return fmt.Errorf("%d records wait for %s: %q", q.Records, q.Destination, list)
			}
		}
		return nil
	})
	cancel()
	working.Wait()
	again := 0
	for _, n := range ended {
		if n > 1 {
			again++
		}
	}
	t.Logf("%d acknowledged, %d of %d ends twice", len(acked), again, len(ended))
}

// where says what became of records, "d id".
func where(s *Spool, list []string) string {
	out := ""
	for _, e := range list[:min(len(list), 5)] {
		out += "\n" + e + ":"
		for _, dead := range []bool{false, true} {
			err := s.List(spool.Query{IDs: []string{e[2:]}, Dead: dead}, func(en spool.Entry) bool {
				out += fmt.Sprintf(" listed for %s (dead %v, in flight %v, due %v)", en.Destination, dead, en.InFlight, en.Due)
				return true
			})
			if err != nil {
				out += err.Error()
			}
		}
		_ = s.walk(s.ctx, spool.Query{IDs: []string{e[2:]}}, func(en entry) (bool, error) {
			out += fmt.Sprintf(" in message %d (%s)", en.seq, en.subject)
			return true, nil
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, q := range s.queues {
		out += fmt.Sprintf("\n%s: %d ready, %d delayed, %d wait, pulling %v", d, len(q.ready.list), len(q.delayed.list), q.waiters, q.pulling)
		if c, err := s.js.Consumer(context.Background(), s.names.records(), s.names.consumer(d)); err == nil {
			i := c.CachedInfo()
			out += fmt.Sprintf(", consumer: %d pending, %d ack pending, %d redelivered, %d waiting, floor %d", i.NumPending, i.NumAckPending, i.NumRedelivered, i.NumWaiting, i.AckFloor.Stream)
		}
	}
	return out
}

func without(list []*Spool, s *Spool) (out []*Spool) {
	for _, o := range list {
		if o != s {
			out = append(out, o)
		}
	}
	return out
}

// What was confirmed is on the disks of a majority: each server runs under
// strace, and between an append and its confirmation at least two of the three
// call fsync. It is as near to a power cut as one machine comes: that a synced
// file survives one is the kernel's and the disk's promise.
func TestConfirmedIsSynced(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: `make deps` installs it")
	}
	if out, err := exec.Command(strace, "-f", "-e", "trace=fsync", "true").CombinedOutput(); err != nil {
		t.Skipf("this machine forbids tracing (a container without CAP_SYS_PTRACE): nobody can see here when a server calls fsync: %v %s", err, out)
	}
	dir := t.TempDir()
	trace := func(i int) string { return filepath.Join(dir, fmt.Sprintf("trace%d", i)) }
	o := natstest.Options{Nodes: 3, Wait: 2 * time.Minute}
	for i := range 3 {
		o.Prefix = append(o.Prefix, []string{strace, "-D", "-f", "-qq", "-e", "trace=fsync,fdatasync,openat", "-e", "status=successful", "-y", "-o", trace(i)})
	}
	c := natstest.Start(t, o)
	s := solo(t, c, newPlace(), func(c *Config) { c.times = times{} })
	sync := regexp.MustCompile(`(?m)^\d+ +(fsync|fdatasync)\(|O_SYNC`)
	count := func(i int) int {
		b, err := os.ReadFile(trace(i))
		if err != nil {
			t.Fatal(err)
		}
		return len(sync.FindAll(b, -1))
	}
	append1(t, s, "first")
	for k := range 10 {
		var before [3]int
		for i := range before {
			before[i] = count(i)
		}
		if err := s.Append(t.Context(), record([]string{"a"}, fmt.Sprint(k))); err != nil {
			t.Fatal(err)
		}
		synced := 0
		for i := range before {
			if count(i) > before[i] {
				synced++
			}
		}
		if synced < 2 {
			t.Errorf("append %d was confirmed when %d of 3 servers had synced", k, synced)
		}
	}
}
