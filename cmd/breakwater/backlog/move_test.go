package backlog_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/backlog"
	"breakwater/relay/spool"
	"breakwater/relay/spool/disk"
	"breakwater/schemas"
)

// breaking ends the context after some records, as a shutdown would, and
// refuses now and then, as a target without room does.
type breaking struct {
	spool.Adopter
	left   atomic.Int64
	cancel context.CancelFunc
	full   atomic.Int64
}

func (b *breaking) Adopt(ctx context.Context, rec *schemas.Record, from spool.Origin) error {
	if b.full.Add(-1) == 0 {
		return &spool.FullError{Why: "max_size", After: time.Millisecond}
	}
	if rec.Meta.Release == "bad" {
		return errors.New("this one never")
	}
	if b.left.Add(-1) == 0 {
		b.cancel()
	}
	return b.Adopter.Adopt(ctx, rec, from)
}

// A spool moves into another one, broken off at any record: everything arrives
// once, waiting ones waiting and dead letters dead, each for the destinations
// that it still had.
func TestMoverBreaksOffAndGoesOn(t *testing.T) {
	source, notes := filepath.Join(t.TempDir(), "old"), filepath.Join(t.TempDir(), "moved.log")
	a, b := openSpool(t, source), openSpool(t, t.TempDir())
	up, elk := spool.Destination{Project: "shop", Name: "up"}, spool.Destination{Project: "shop", Name: "elk"}
	const n = 700
	for i := range n {
		rec := record([]string{"up", "elk"}, 0)
		if i == 3 {
			rec = record([]string{"up", "elk"}, 300<<10)
		}
		rec.Meta.EventID = fmt.Sprintf("%032x", i)
		add(t, a, rec)
	}
	for i := range 60 { // some are done at one destination, some dead at one, some at both
		for _, d := range []spool.Destination{up, elk} {
			c, err := a.Claim(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case i%3 == 0 || i%3 == 1 && d == up:
				err = c.Bury(fmt.Sprintf("http_%d", 400+i%2))
			case d == elk:
				err = c.Settle(schemas.AllFinal(len(c.Meta().Counts), schemas.Delivered, ""))
			default:
				c.Release(time.Now(), "later")
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	bad := record([]string{"up"}, 0)
	bad.Meta.Release = "bad"
	bad.Meta.EventID = fmt.Sprintf("%032x", n)
	add(t, a, bad)
	want := states(t, a)

	ended, runs := 0, 0
	for size := int64(10); ; size *= 3 {
		ctx, cancel := context.WithCancel(t.Context())
		to := &breaking{Adopter: b, cancel: cancel}
		to.left.Store(size)
		to.full.Store(5)
		m := &backlog.Mover{From: a, To: to, Notes: notes, Log: zerolog.Nop(), Pause: time.Millisecond, Ended: func(*schemas.Meta, bool) { ended++ }}
		res, err := m.Run(ctx)
		cancel()
		if runs++; err == nil {
			if res.Failed != 1 {
				t.Fatalf("%+v", res)
			}
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if runs < 4 {
		t.Fatalf("%d runs: nothing broke off", runs)
	}
	got, left := states(t, b), states(t, a)
	if len(left) != 1 || left[bad.Meta.EventID+" up"] == "" {
		t.Errorf("left behind: %v", left)
	}
	delete(want, bad.Meta.EventID+" up")
	for k, state := range want {
		if got[k] != state {
			t.Errorf("%s is %q, want %q", k, got[k], state)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d are there, want %d", len(got), len(want))
	}
	waiting := map[string]bool{}
	for k, state := range want {
		if state == "waiting " {
			waiting[k[:32]] = true
		}
	}
	if ended != len(waiting) {
		t.Errorf("%d waiting records ended, want %d", ended, len(waiting))
	}
	if _, err := os.Stat(notes); err != nil {
		t.Errorf("the notes are gone, and one record is left: %v", err)
	}
}

// states are what a spool holds, by event and destination. An entry that is
// there twice shows.
func states(t *testing.T, s *disk.Spool) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, dead := range []bool{false, true} {
		for _, e := range entries(t, s, dead) {
			state := "waiting "
			if dead {
				state = "dead " + e.Reason
			}
			m[e.Meta.EventID+" "+e.Destination.Name] += state
		}
	}
	return m
}

// A spool that is empty in the end is nothing to look at the next time.
func TestMoverLeavesNothing(t *testing.T) {
	source, notes := t.TempDir(), filepath.Join(t.TempDir(), "moved.log")
	a, err := disk.Open(disk.Config{Dir: source, MinFree: -1, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	b := openSpool(t, t.TempDir())
	add(t, b, record([]string{"up"}, 0))
	for range 20 {
		add(t, a, record([]string{"up"}, 0))
	}
	if held, err := disk.Holds(source); err != nil || !held {
		t.Fatalf("held %v, %v", held, err)
	}
	res, err := (&backlog.Mover{From: a, To: b, Notes: notes, Log: zerolog.Nop()}).Run(t.Context())
	if err != nil || res != (backlog.MoveResult{Moved: 20}) {
		t.Fatalf("%+v, %v", res, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if held, err := disk.Holds(source); err != nil || held {
		t.Errorf("held %v, %v", held, err)
	}
	if _, err := os.Stat(notes); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("notes: %v", err)
	}
	if held, err := disk.Holds(filepath.Join(source, "nowhere")); err != nil || held {
		t.Errorf("nowhere: %v, %v", held, err)
	}
}
