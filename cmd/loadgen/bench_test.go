package main

import (
	"fmt"
	"testing"
	"time"
)

// The bench counts each process by itself, holds deliveries back where it says
// so and delivers all of it in the end.
func TestBench(t *testing.T) {
	longEnough(t, func(d time.Duration) error {
		b := benchCmd{Gateway: binary(t), Kinds: []string{"envelope"}, Rounds: 1, Time: d, Conns: 16, Size: "4096", Encoding: "auto"}
		r, err := b.run()
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Cells) != 3 || r.Ledger != 0 {
			t.Fatalf("%+v", r)
		}
		if r.Bare["envelope"] <= 0 || r.Fsyncs <= 0 {
			return fmt.Errorf("%+v", r)
		}
		for i, c := range r.Cells {
			if c.Cores.Server <= 0 || c.PerSecond <= 0 || c.CPUPerM <= 0 || c.CPUAccept <= 0 || c.NotOK != 0 || (i > 0) != (c.OfFloor > 0) {
				return fmt.Errorf("%+v", c)
			}
		}
		if held := r.Cells[2]; held.CPUAccept >= held.CPUPerM {
			return fmt.Errorf("%s: delivering took no CPU after the load: %+v", held.Name, held)
		}
		return nil
	})
}

// longEnough measures for a second, and for longer where that is too short: the
// kernel counts CPU in hundredths of a second, and a busy machine gives little.
func longEnough(t *testing.T, measure func(time.Duration) error) {
	t.Helper()
	for d := time.Second; ; d *= 2 {
		err := measure(d)
		if err == nil {
			return
		}
		if d >= 8*time.Second {
			t.Fatal(err)
		}
		t.Logf("%v is too short here: %v", d, err)
	}
}

func TestCoreShares(t *testing.T) {
	got := coreClock{server: 11, generator: 22, upstream: 31, all: 200, idle: 60}.since(coreClock{server: 1, generator: 2, upstream: 1, all: 100, idle: 50})
	if want := (coreShares{Server: 10, Generator: 20, Upstream: 30, Others: 30, Idle: 10}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
