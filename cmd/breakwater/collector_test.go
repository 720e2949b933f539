package main

import (
	"context"
	"runtime"
	"testing"
	"time"
)

func TestBallastIsForSmallHeaps(t *testing.T) {
	held := make([]byte, ballastSize)
	for _, tt := range []struct {
		name    string
		ballast []byte
		live    uint64 // the ballast included
		want    int
	}{
		{"small heap", held, ballastSize + 10<<20, ballastSize},
		{"grown heap", held, ballastSize + ballastLimit - 1, ballastSize},
		{"large heap", held, ballastSize + ballastLimit + 1, 0},
		{"still large", nil, ballastLimit, 0},
		{"small again", nil, ballastLimit/2 - 1, ballastSize},
		{"no figure yet", held, 0, ballastSize},
	} {
		if got := len(weigh(tt.ballast, tt.live)); got != tt.want {
			t.Errorf("%s: %d bytes of ballast, want %d", tt.name, got, tt.want)
		}
	}
}

// The ballast weighs with the collector, and not on the machine.
func TestBallastTakesNoMemory(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	runtime.GC()
	before := liveHeap()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- holdBallast(ctx, time.Hour) }()
	for deadline := time.Now().Add(30 * time.Second); liveHeap() < before+ballastSize/2; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes are alive, %d were before", liveHeap(), before)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
