package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestGCPercent(t *testing.T) {
	for live, want := range map[uint64]int64{0: 1000, 4 << 20: 1000, 12 << 20: 400, 24 << 20: 200, 48 << 20: 100, 1 << 30: 100} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d MiB alive: %d %%, want %d", live>>20, got, want)
		}
	}
}

// The percentage follows the living heap, both ways.
func TestCollectorFollowsTheHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	defer tuneCollector()()
	current := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	reach := func(what string, ok func(int) bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !ok(current()); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: still at %d %%", what, current())
			}
			runtime.GC()
		}
	}
	reach("with little alive", func(p int) bool { return p > 100 })
	big := make([]byte, 256<<20)
	for i := 0; i < len(big); i += 4096 {
		big[i] = 1
	}
	reach("with 256 MiB alive", func(p int) bool { return p == 100 })
	runtime.KeepAlive(big)
	big = nil
	reach("with little alive again", func(p int) bool { return p > 100 })
}
