package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"breakwater/relay/spool"
	"breakwater/relay/spool/spooltest"
	"breakwater/schemas"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SPOOL_TEST_HOLD"); dir != "" { // the second process of TestLocked and BenchmarkBacklog
		start := time.Now()
		s, err := Open(Config{Dir: dir})
		fmt.Println(time.Since(start).Seconds())
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("open", rss())
		_ = s.Close()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, cfg Config) *Spool {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.MinFree == 0 {
		cfg.MinFree = -1
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(t testing.TB, s *Spool, text string, dests ...string) string {
	t.Helper()
	rec := spooltest.Record(s.now(), dests, text)
	if err := s.Append(context.Background(), rec); err != nil {
		t.Fatal(err)
	}
	return rec.Meta.ID
}

func take(t testing.TB, s *Spool, name string) spool.Claim {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := s.Claim(ctx, spool.Destination{Project: "shop", Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func settle(t testing.TB, c spool.Claim) {
	t.Helper()
	if err := c.Settle(schemas.AllFinal(1, schemas.Delivered, "")); err != nil {
		t.Fatal(err)
	}
}

func TestLocked(t *testing.T) {
	s := open(t, Config{})
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SPOOL_TEST_HOLD="+s.dir)
	out, err := cmd.CombinedOutput()
	want := fmt.Sprintf("held by process %d", os.Getpid())
	if err == nil || !strings.Contains(string(out), want) {
		t.Fatalf("the second process said %q, want %q", out, want)
	}
	if _, err := Open(Config{Dir: s.dir}); !errors.Is(err, spool.ErrLocked) {
		t.Fatalf("opening twice: %v, want ErrLocked", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SPOOL_TEST_HOLD="+s.dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("after close: %v: %s", err, out)
	}
}

// TestDueOnRealTimers shows that a claim waits on a timer, not by looking again and again.
func TestDueOnRealTimers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(Config{Dir: dir, MinFree: -1})
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, "x", "a")
		c, err := s.Claim(context.Background(), spooltest.DestA)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		c.Release(start.Add(90*time.Second), "later")
		if c, err = s.Claim(context.Background(), spooltest.DestA); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited < 90*time.Second || waited > 91*time.Second {
			t.Errorf("given out after %v, want 90 s", waited)
		}
		settle(t, c)
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		if _, err := s.Claim(ctx, spooltest.DestA); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("claim of an empty queue: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWatchIsHandedOn lets one of two waiting workers take the record that is
// due first and stay with it: the other must get the second one in its time.
func TestWatchIsHandedOn(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(Config{Dir: dir, MinFree: -1})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		put(t, s, "first", "a")
		put(t, s, "second", "a")
		first, second := take(t, s, "a"), take(t, s, "a")
		at := make(chan time.Duration, 2)
		for range 2 {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
				defer cancel()
				if _, err := s.Claim(ctx, spooltest.DestA); err != nil {
					t.Error(err)
				}
				at <- time.Since(start)
			}()
		}
		synctest.Wait()
		second.Release(start.Add(20*time.Second), "later")
		synctest.Wait()
		first.Release(start.Add(10*time.Second), "later")
		for _, want := range []time.Duration{10 * time.Second, 20 * time.Second} {
			if got := <-at; got < want || got > want+time.Second {
				t.Errorf("claimed after %v, want %v", got, want)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func diskUsage(t testing.TB, dir string) (n int64) {
	t.Helper()
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // just removed
		}
		if err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestUsedIsWhatIsOnDisk(t *testing.T) {
	clock := spooltest.NewClock()
	s := open(t, Config{SegmentSize: 16 << 10, MaxSize: 4 << 20, Now: clock.Now})
	for i := range 100 {
		put(t, s, strings.Repeat("x", 1000), "a", "b")
		settle(t, take(t, s, "a"))
		if i%3 > 0 {
			settle(t, take(t, s, "b"))
		}
	}
	check := func(what string) {
		t.Helper()
		clock.Advance(time.Minute)
		lockFile := int64(len(fmt.Sprintln(os.Getpid())))
		var used, disk int64
		for range 100 { // the writer and the keeper may be at work
			s.Tick()
			_ = s.flushAcks(true)
			if used, disk = s.used.Load(), diskUsage(t, s.dir)-lockFile; used == disk {
				return
			}
		}
		t.Fatalf("%s: used is %d, the directory holds %d", what, used, disk)
	}
	check("with a third living")
	if used := s.used.Load(); used > 60<<10 {
		t.Fatalf("34 records of 1 KB hold %d bytes: not merged", used)
	}
	for i := range 34 {
		c := take(t, s, "b")
		if i == 0 {
			c.Release(clock.Now(), "later")
			c = take(t, s, "b")
		}
		settle(t, c)
	}
	check("drained")
	put(t, s, "x", "a")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, Config{Dir: s.dir, SegmentSize: 16 << 10, MaxSize: 4 << 20, Now: clock.Now})
	if used, disk := again.used.Load(), diskUsage(t, s.dir)-int64(len(fmt.Sprintln(os.Getpid()))); used != disk {
		t.Fatalf("after a restart: used is %d, the directory holds %d", used, disk)
	}
}

func TestDamageFoundAtClaim(t *testing.T) {
	ledger := spooltest.NewLedger()
	s := open(t, Config{Observer: ledger})
	bad := put(t, s, "to be damaged", "a", "b")
	good := put(t, s, "intact", "a", "b")
	s.mu.Lock()
	g := s.active
	off := int64(g.entries[0].off + g.entries[0].size - 3)
	s.mu.Unlock()
	f, err := os.OpenFile(s.path(g.name()+g.ext), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("?"), off); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	for _, name := range []string{"a", "b"} {
		if c := take(t, s, name); c.Meta().ID != good {
			t.Fatalf("claimed %s, want the intact record", c.Meta().ID)
		}
	}
	if st := s.Stats(); st.Damaged != 1 {
		t.Fatalf("%d damaged, want 1", st.Damaged)
	}
	if n := ledger.Outcome(schemas.DeadLetter); n != 1 {
		t.Fatalf("%d items ended as dead letters, want that of %s", n, bad)
	}
	if err := ledger.Check(1); err != nil {
		t.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(dir); !errors.Is(err, spool.ErrLocked) {
		t.Fatalf("verifying a spool in use: %v, want ErrLocked", err)
	}
	for i := range 10 {
		put(t, s, fmt.Sprint("record ", i), "a")
	}
	sp, _ := s.Spill("shop")
	if _, err := sp.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	rec := spooltest.Record(time.Now(), []string{"a"}, "")
	rec.Envelope.Items[0].Payload = sp
	if err := s.Append(context.Background(), rec); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	rep, err := Verify(dir)
	if err != nil || rep.Records != 11 || rep.Blobs != 1 || rep.Damaged != 0 || rep.Segments != 1 {
		t.Fatalf("verified %+v, %v", rep, err)
	}
	for _, glob := range []string{"*.sealed", "blobs/*"} {
		names, _ := filepath.Glob(filepath.Join(dir, glob))
		b, _ := os.ReadFile(names[0])
		b[len(b)/2] ^= 1
		if err := os.WriteFile(names[0], b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if rep, err = Verify(dir); err != nil || rep.Damaged != 2 || len(rep.Problems) != 2 {
		t.Fatalf("verified %+v, %v, want 2 problems", rep, err)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	clock := spooltest.NewClock()
	s := open(t, Config{Registerer: reg, Now: clock.Now, MaxSize: 1 << 20})
	s.Expect(spooltest.DestA, spooltest.DestB, spool.Destination{Project: "shop", Name: "c"})
	rec := spooltest.Record(clock.Now(), []string{"a", "b"}, "x")
	rec.Meta.Counts[0].Quantity = 5
	if err := s.Append(context.Background(), rec); err != nil {
		t.Fatal(err)
	}
	if err := take(t, s, "b").Bury("no"); err != nil {
		t.Fatal(err)
	}
	clock.Advance(90 * time.Second)
	want := `
# HELP breakwater_spool_items Items waiting for a destination. When it only grows, the upstream is down or too slow.
# TYPE breakwater_spool_items gauge
breakwater_spool_items{destination="a",project="shop"} 5
breakwater_spool_items{destination="b",project="shop"} 0
breakwater_spool_items{destination="c",project="shop"} 0
# HELP breakwater_spool_oldest_age_seconds Age of the oldest record waiting for a destination, 0 when none waits.
# TYPE breakwater_spool_oldest_age_seconds gauge
breakwater_spool_oldest_age_seconds{destination="a",project="shop"} 90
breakwater_spool_oldest_age_seconds{destination="b",project="shop"} 0
breakwater_spool_oldest_age_seconds{destination="c",project="shop"} 0
# HELP breakwater_relay_dead_letters Records a destination refused for good, kept for retry. Look at them in the console.
# TYPE breakwater_relay_dead_letters gauge
breakwater_relay_dead_letters{destination="shop/a"} 0
breakwater_relay_dead_letters{destination="shop/b"} 1
breakwater_relay_dead_letters{destination="shop/c"} 0
# HELP breakwater_spool_capacity_bytes How much the spool may take on disk (spool.max_size).
# TYPE breakwater_spool_capacity_bytes gauge
breakwater_spool_capacity_bytes 1.048576e+06
`
	err := testutil.GatherAndCompare(reg, strings.NewReader(want), "breakwater_spool_items",
		"breakwater_spool_oldest_age_seconds", "breakwater_relay_dead_letters", "breakwater_spool_capacity_bytes")
	if err != nil {
		t.Error(err)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestSetLimits(t *testing.T) {
	s := open(t, Config{MaxSize: 1 << 20, ProjectShare: 1})
	put(t, s, "fits", "a")
	s.SetLimits(spool.Limits{MaxSize: 100, MinFree: -1, ProjectShare: 1})
	var full *spool.FullError
	err := s.Append(context.Background(), spooltest.Record(time.Now(), []string{"a"}, "x"))
	if !errors.As(err, &full) || full.Why != "max_size" {
		t.Fatalf("append: %v", err)
	}
	s.SetLimits(spool.Limits{MinFree: 1 << 60})
	err = s.Append(context.Background(), spooltest.Record(time.Now(), []string{"a"}, "x"))
	if !errors.As(err, &full) || full.Why != "min_free" {
		t.Fatalf("append: %v", err)
	}
	s.SetLimits(spool.Limits{MinFree: -1})
	put(t, s, "fits again", "a")
}
