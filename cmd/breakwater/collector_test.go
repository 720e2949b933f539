package main

import (
	"context"
	"runtime"
	"testing"
	"time"
)

func TestRoomOfTheHeap(t *testing.T) {
	const mb = 1 << 20
	for _, tt := range []struct {
		name              string
		live, roots, room uint64
		want              int
	}{
		{"little", 8 * mb, mb, 18 * mb, 200},
		{"as Go has it", 18 * mb, 0, 18 * mb, 100},
		{"a burst", 90 * mb, 0, 18 * mb, 20},
		{"a backlog", 90 * mb, 0, 90 * mb, 100},
		{"never at every allocation", 900 * mb, 0, 18 * mb, 10},
		{"nothing", 0, 0, 18 * mb, 1800},
	} {
		if got := roomPercent(tt.live, tt.roots, tt.room); got != tt.want {
			t.Errorf("%s: %d%%, want %d%%", tt.name, got, tt.want)
		}
		// The limit, of which the runtime keeps 3 % back, calls no collection before the percentage.
		if goal, limit := tt.live+(tt.live+tt.roots)*uint64(tt.want)/100, limitFor(tt.live, tt.roots, tt.room)*97/100; limit < goal && tt.live > 0 {
			t.Errorf("%s: collected at %d bytes by the limit, at %d by the percentage", tt.name, limit, goal)
		}
	}
}

// What is alive for a moment is not what stays.
func TestLowest(t *testing.T) {
	var l lowest
	at := time.Unix(0, 0)
	for _, step := range []struct {
		after time.Duration
		live  uint64
		want  uint64
	}{
		{0, 50, 0}, // it may have been less before
		{time.Second, 40, 0},
		{roomMemory, 80, 40},
		{time.Second, 90, 40},
		{roomMemory, 90, 80}, // all the time
		{time.Second, 10, 10},
		{roomMemory, 90, 10},
		{roomMemory, 90, 90},
	} {
		at = at.Add(step.after)
		l.see(step.live, at)
		if got := l.value(); got != step.want {
			t.Errorf("after %v: %d, want %d", at.Sub(time.Unix(0, 0)), got, step.want)
		}
	}
}

// Percentage and limit follow what is alive, collection by collection, and are
// the old ones in the end.
func TestRoomFollowsTheHeap(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	percent := func() int { return int(readMetrics("/gc/gogc:percent")[0]) }
	limit := func() uint64 { return readMetrics("/gc/gomemlimit:bytes")[0] }
	was, wasLimit := percent(), limit()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- keepRoom(ctx, func() time.Time { return time.Unix(0, 0) }) }()
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); !ok(); runtime.GC() {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d%%, at most %d MiB", what, percent(), limit()>>20)
			}
		}
	}
	burst := make([]byte, 200<<20)
	until("with much alive", func() bool { return percent() < 20 && limit() > 200<<20 && limit() < 300<<20 })
	runtime.KeepAlive(burst)
	until("with little alive", func() bool { return percent() > 30 && limit() < 200<<20 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if p := percent(); p != was {
		t.Errorf("%d%% in the end, %d%% before", p, was)
	}
	if l := limit(); l != wasLimit {
		t.Errorf("at most %d bytes in the end, %d before", l, wasLimit)
	}
}
