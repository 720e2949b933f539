package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"breakwater/relay/spool"
	"breakwater/relay/spool/spooltest"
)

// TestPowerCut cuts the power at every call that changes the disk, throws away
// or tears what was not durable, and starts again: nothing that was promised
// may be missing.
func TestPowerCut(t *testing.T) {
	whole := newWorld(t, newSimFS())
	whole.story()
	steps := whole.fs.steps
	if steps < 100 {
		t.Fatalf("the story has %d steps only", steps)
	}
	merged := false
	for cut := 1; cut <= steps+2; cut++ {
		w := newWorld(t, newSimFS())
		w.fs.cutAt = cut
		w.story()
		for i := range 8 { // chance decides what is left
			r := rand.New(rand.NewPCG(uint64(cut), uint64(i)))
			again := *w
			again.fs = w.fs.crash(r)
			for name := range again.fs.files {
				merged = merged || strings.HasSuffix(name, extMerged)
			}
			what := fmt.Sprintf("cut %d, chance %d", cut, i)
			ledger := spooltest.NewLedger()
			again.obs = ledger
			if err := again.open(); err != nil {
				t.Fatalf("%s: opening: %v", what, err)
			}
			again.check(what)
			audit(t, again.s)
			if err := ledger.Check(waiting(t, again.s)); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if n := again.s.damaged.Load(); n > 1 {
				t.Fatalf("%s: %d damaged records, at most the torn batch may be one", what, n)
			}
			again.texts, again.said = map[string]string{}, map[string]map[spool.Destination]promise{}
			if err := again.append("life goes on", false); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			_ = again.s.Close()
		}
		abandon(w.s)
	}
	if !merged {
		t.Fatal("the story never had a merged segment: it does not test what it should")
	}
}

// abandon stops the goroutines of a spool whose disk is gone.
func abandon(s *Spool) {
	if s != nil {
		_ = s.Close()
	}
}

func TestFullDisk(t *testing.T) {
	w := newWorld(t, newSimFS())
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.s.Close() }()
	w.fs.capacity = 20 << 10
	var full *spool.FullError
	for i := 0; ; i++ {
		err := w.append(fmt.Sprintf("%d %s", i, strings.Repeat("y", 1000)), false)
		if err == nil {
			continue
		}
		if !errors.As(err, &full) || full.Why != "disk" || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("append on a full disk: %v", err)
		}
		break
	}
	if len(w.texts) < 10 {
		t.Fatalf("only %d records fitted", len(w.texts))
	}
	for range 3 {
		if w.append("no room", false) == nil && w.fs.used() > w.fs.capacity {
			t.Fatal("stored beyond the capacity")
		}
	}
	sp, err := w.s.Spill("shop")
	if err == nil {
		if _, err = sp.Write(make([]byte, 64<<10)); !errors.As(err, &full) {
			t.Fatalf("spilling on a full disk: %v", err)
		}
		sp.Discard()
	}
	w.check("while full")
	w.fs.mu.Lock()
	w.fs.capacity = 0 // somebody made room; no restart
	w.fs.mu.Unlock()
	for i := range 5 {
		if err := w.append(fmt.Sprintf("after %d", i), false); err != nil {
			t.Fatalf("append with room again: %v", err)
		}
	}
	w.check("with room again")
	w.fs = w.fs.crash(rand.New(rand.NewPCG(1, 2)))
	old := w.s
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	abandon(old)
	w.check("after a crash")
	if n := w.s.damaged.Load(); n != 0 {
		t.Fatalf("%d damaged records: half a record was left in front of good ones", n)
	}
}

func TestFailedSync(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fails int
		ok    bool
	}{{"once", 1, true}, {"twice", 2, false}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, newSimFS())
			if err := w.open(); err != nil {
				t.Fatal(err)
			}
			if err := w.append("before", false); err != nil {
				t.Fatal(err)
			}
			left := tc.fails
			w.fs.failSync = func(path string) error {
				if left > 0 && strings.HasSuffix(path, extActive) {
					left--
					return syscall.EIO
				}
				return nil
			}
			err := w.append("during", false)
			if (err == nil) != tc.ok {
				t.Fatalf("append: %v", err)
			}
			if err := w.append("after", false); err != nil {
				t.Fatal(err)
			}
			for i := range uint64(20) {
				again := *w
				again.fs = w.fs.crash(rand.New(rand.NewPCG(i, 7)))
				if err := again.open(); err != nil {
					t.Fatal(err)
				}
				again.check("after a crash")
				if n := again.s.Stats().Records; n != int64(len(w.texts)) {
					t.Fatalf("%d records, want %d: a failed append must not come back", n, len(w.texts))
				}
				_ = again.s.Close()
			}
			abandon(w.s)
		})
	}
}
