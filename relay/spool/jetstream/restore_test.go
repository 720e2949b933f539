package jetstream

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"breakwater/relay/spool"
	"breakwater/relay/spool/jetstream/natstest"
)

// Where somebody removes streams while gateways run, these make them again, one
// of them counts what is lost, and both go on; what a gateway holds is delivered.
func TestStreamsAreMadeAgain(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	place := newPlace()
	s, other := solo(t, c, place, nil), solo(t, c, place, nil)
	for i := range 3 {
		append1(t, s, fmt.Sprint(i))
	}
	held := claimOf(t, s, dstA)
	for _, g := range []*Spool{s, other} {
		if err := g.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range s.names.all() {
		if err := s.js.DeleteStream(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, time.Minute, func() error {
		for _, g := range []*Spool{s, other} {
			if missing, err := g.missing(t.Context()); err != nil || missing {
				return fmt.Errorf("a stream is missing: %w", err)
			}
			if err := g.Ready(); err != nil {
				return err
			}
		}
		return nil
	})
	if n := testutil.ToFloat64(s.metrics.lost) + testutil.ToFloat64(other.metrics.lost); n != 3 {
		t.Errorf("%v records are counted as lost, want 3", n)
	}
	if err := held.Settle(nil); err != nil {
		t.Error(err)
	}
	id := append1(t, other, "new")
	for { // those that s holds of the old stream come first
		got := claimOf(t, s, dstA)
		if got.Meta().ID == id {
			if err := got.Bury("http_400"); err != nil {
				t.Fatal(err)
			}
			break
		}
		if err := got.Settle(nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := claimOf(t, other, dstB); got.Meta().ID != id {
		t.Fatalf("%s came, want %s", got.Meta().ID, id)
	}
	if n, err := other.Retry(spool.Query{}); n != 1 || err != nil {
		t.Fatalf("%d dead letters of the new stream were retried: %v", n, err)
	}
}

// Servers that are away have no stream to show, and nothing is made then.
func TestServersThatAreAwayMissNoStream(t *testing.T) {
	c := natstest.Start(t, natstest.Options{Nodes: 3})
	s := solo(t, c, newPlace(), nil)
	id := append1(t, s, "x")
	c.Kill(0)
	c.Kill(1)
	for s.Ready() == nil {
		brief, cancel := context.WithTimeout(t.Context(), time.Second)
		_ = s.Append(brief, record([]string{"b"}, "y")) // notices
		cancel()
	}
	s.suspect.Store(true)
	s.restore()
	for i := range 2 {
		if err := c.Restart(i); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, time.Minute, func() error {
		if s.suspect.Load() {
			return errors.New("it does not know yet that the streams are there")
		}
		return nil
	})
	if got := claimOf(t, s, dstA); got.Meta().ID != id {
		t.Fatalf("%s came, want %s", got.Meta().ID, id)
	}
	if n := testutil.ToFloat64(s.metrics.lost); n != 0 {
		t.Errorf("%v records are counted as lost", n)
	}
}
