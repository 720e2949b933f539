package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"breakwater/relay/spool"
	"breakwater/relay/spool/spooltest"
)

// TestEveryCallFails lets every call to the file system fail in turn: once, or
// from there on until the disk is well again; with EIO or ENOSPC, a write after
// half of its bytes or none. The spool must carry on without a restart, nothing
// that was promised may be missing, nothing that was refused may be there, and
// the books must close; then the power goes, and all that must still hold.
func TestEveryCallFails(t *testing.T) {
	plain := newWorld(t, newSimFS())
	plain.story()
	calls := plain.fs.calls
	if calls < 300 {
		t.Fatalf("the story has %d calls only", calls)
	}
	stride := 1
	if os.Getenv("BREAKWATER_LONG") == "" {
		stride = 2 // the odd ones with one kind of fault, the even ones with the next
	}
	seen := map[string]bool{}
	for kind, f := range []struct {
		name string
		fault
		lasts int // calls
	}{
		{"EIO", fault{syscall.EIO, false}, 1},
		{"short write, EIO", fault{syscall.EIO, true}, 1},
		{"ENOSPC", fault{syscall.ENOSPC, false}, 1},
		{"short write, ENOSPC", fault{syscall.ENOSPC, true}, 1},
		{"EIO for a while", fault{syscall.EIO, true}, 12},
		{"ENOSPC for a while", fault{syscall.ENOSPC, true}, 12},
	} {
		for at := 1 + kind%stride; at <= calls; at += stride {
			w := newWorld(t, newSimFS())
			ledger := spooltest.NewLedger()
			w.obs = ledger
			var hit call
			w.fs.fault = func(n int, c call) *fault {
				if n < at || n >= at+f.lasts {
					return nil
				}
				if n == at {
					hit = c
				}
				if c.op != "write" && c.op != "create" && c.op != "syncdir" && c.op != "rename" && errors.Is(f.err, syscall.ENOSPC) {
					return nil // reading and removing need no room
				}
				return &f.fault
			}
			w.story()
			seen[hit.op] = true
			what := fmt.Sprintf("%s at call %d (%s %s)", f.name, at, hit.op, hit.path)
			w.healed(what, f.lasts == 1)
		}
	}
	for _, op := range []string{"create", "open", "rename", "remove", "list", "syncdir", "lock", "free", "read", "write", "truncate", "sync", "close", "size"} {
		if !seen[op] && op != "truncate" { // only a failure leads to that
			t.Errorf("no %s ever failed: the test does not test what it should", op)
		}
	}
}

// healed checks a spool whose disk works again, then after a power cut.
func (w *world) healed(what string, single bool) {
	w.t.Helper()
	w.fs.mu.Lock()
	w.fs.fault = nil
	w.fs.mu.Unlock()
	ledger := spooltest.NewLedger()
	w.obs = ledger
	if err := w.open(); err != nil {
		w.t.Fatalf("%s: opening on a good disk: %v", what, err)
	}
	w.check(what)
	w.refused(what, single)
	audit(w.t, w.s)
	for i := range 2 {
		if err := w.append(fmt.Sprint("life goes on ", i), i == 1); err != nil {
			w.t.Fatalf("%s: appending on a good disk: %v", what, err)
		}
	}
	if c := w.claim(spooltest.DestA); c != nil {
		w.finish(c, spooltest.DestA)
	}
	if err := ledger.Check(waiting(w.t, w.s)); err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
	old := w.s
	w.fs = w.fs.crash(rand.New(rand.NewPCG(uint64(len(what)), 5)))
	_ = old.Close()
	if err := w.open(); err != nil {
		w.t.Fatalf("%s, then a power cut: %v", what, err)
	}
	w.check(what + ", then a power cut")
	w.refused(what+", then a power cut", single)
	_ = w.s.Close()
}

// refused checks that no record is there that Append refused. After several
// faults in a row that cannot be promised: where neither truncating the file
// nor writing down where it ends succeeded, a record that reached the disk is
// found by the next start.
func (w *world) refused(what string, single bool) {
	w.t.Helper()
	if !single {
		return
	}
	if len(w.strange) > 0 {
		w.t.Errorf("%s: %v was claimed, and was never acknowledged", what, w.strange)
	}
	for _, dead := range []bool{false, true} {
		err := w.s.List(spool.Query{Dead: dead}, func(e spool.Entry) bool {
			if _, ok := w.texts[e.Meta.ID]; !ok {
				w.t.Fatalf("%s: %s is there, and was never acknowledged", what, e.Meta.ID)
			}
			return true
		})
		if err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
	}
}

// waiting is spooltest.Waiting for any test.
func waiting(t failer, s *Spool) (items int) {
	seen := map[string]bool{}
	if err := s.List(spool.Query{}, func(e spool.Entry) bool {
		if !seen[e.Meta.ID] {
			seen[e.Meta.ID] = true
			items += e.Meta.Items()
		}
		return true
	}); err != nil {
		t.Fatalf("list: %v", err)
	}
	return items
}
