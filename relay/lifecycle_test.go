package relay_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

// slow is an upstream that takes its time, and notes when it is closed.
type slow struct {
	takes       time.Duration
	stubborn    bool // ignores the end of its context
	done        atomic.Int64
	closed      atomic.Int64
	closedEarly atomic.Bool
	flying      atomic.Int64
}

func (s *slow) Deliver(ctx context.Context, _ *schemas.Meta, _ *schemas.Envelope) ([]schemas.Final, error) {
	s.flying.Add(1)
	defer s.flying.Add(-1)
	if s.stubborn {
		time.Sleep(s.takes)
		return nil, nil
	}
	select {
	case <-time.After(s.takes):
		s.done.Add(1)
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *slow) Close() error {
	s.closed.Add(1)
	if s.flying.Load() > 0 {
		s.closedEarly.Store(true)
	}
	return nil
}

func TestShutdownLetsAttemptsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{takes: 5 * time.Second}
		b := newBench(t, relay.Config{ShutdownTimeout: 10 * time.Second}, to(s))
		b.add(100)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- b.Relay.Run(ctx) }()
		time.Sleep(time.Second)
		cancel()
		start := time.Now()
		if err := <-result; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("shutdown took %v", took)
		}
		if ended, pending := b.src.Ended(up), b.src.Pending(up); ended != 8 || pending != 92 || b.src.Out(up) != 0 {
			t.Errorf("%d ended, %d pending, %d out", ended, pending, b.src.Out(up))
		}
		if s.closed.Load() != 1 || s.closedEarly.Load() {
			t.Errorf("the upstream was closed %d times, early %v", s.closed.Load(), s.closedEarly.Load())
		}
		if err := b.Apply(nil); !errors.Is(err, relay.ErrStopped) {
			t.Errorf("Apply after the end: %v", err)
		}
		b.stop() // a second time does no harm
	})
}

func TestShutdownReleasesWhatDoesNotFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := to(&slow{takes: time.Hour})
		c.Timeout = 2 * time.Hour
		c.MaxAttempts = 1
		b := newBench(t, relay.Config{ShutdownTimeout: 3 * time.Second}, c)
		b.add(10)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		synctest.Wait()
		start := time.Now()
		if err := b.Relay.Run(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("shutdown took %v", took)
		}
		if ended, pending := b.src.Ended(up), b.src.Pending(up); ended != 0 || pending != 10 {
			t.Errorf("%d ended, %d pending", ended, pending)
		}
		for _, r := range b.src.Releases(up) {
			if r.Reason != "shutdown" || r.Due.After(time.Now()) {
				t.Errorf("released %+v", r)
			}
		}
		b.stop()
	})
}

func TestShutdownEndsWithoutAStubbornUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, relay.Config{}, to(&slow{takes: time.Hour, stubborn: true}))
		b.add(1)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := b.Shutdown(ctx); err == nil || time.Since(start) > 4*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		time.Sleep(2 * time.Hour) // so that the bubble can end
	})
}

func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, relay.Config{}, to(good))
		if b.Pause(spool.Destination{Project: "shop", Name: "unknown"}) {
			t.Error("a destination nobody knows was paused")
		}
		synctest.Wait() // the workers wait in Claim
		if !b.Pause(up) {
			t.Error("not paused")
		}
		ids := b.add(10)
		time.Sleep(time.Hour)
		if b.src.Ended(up) != 0 || b.src.Claims(up) != 0 || !b.status(up).Paused || b.metric("breakwater_relay_paused", "shop/up") != 1 {
			t.Errorf("paused: %d ended, %d claimed", b.src.Ended(up), b.src.Claims(up))
		}
		// A pause survives a reload that changes the destination.
		if err := b.Apply([]relay.DestinationConfig{to(good)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if b.src.Ended(up) != 0 {
			t.Error("the reload resumed it")
		}
		b.Resume(up)
		synctest.Wait()
		if n := b.src.Ended(up); n != len(ids) {
			t.Errorf("resumed: %d ended", n)
		}
		b.stop()
	})
}

// lateSource hands out a record although its claim was called back: the race
// every spool has.
type lateSource struct {
	*relaytest.Source
	shut func()
}

func (l *lateSource) Claim(ctx context.Context, dst spool.Destination) (spool.Claim, error) {
	c, err := l.Source.Claim(ctx, dst)
	if l.shut != nil {
		l.shut()
		l.shut = nil
	}
	return c, err
}

func TestClaimThatCameTooLateGoesBack(t *testing.T) {
	for name, end := range map[string]func(*relay.Relay){
		"paused":   func(r *relay.Relay) { r.Pause(up) },
		"replaced": func(r *relay.Relay) { _ = r.Apply([]relay.DestinationConfig{{Destination: up}}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := &lateSource{Source: relaytest.NewSource(nil)}
				r, err := relay.New(relay.Config{}, src)
				if err != nil {
					t.Fatal(err)
				}
				src.shut = func() { end(r) }
				src.Add(relaytest.SampleRecord())
				f := fails(nil)
				if err := r.Apply([]relay.DestinationConfig{{Destination: up, Upstream: f, Concurrency: 1}}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				if f.tries.Load() != 0 || src.Pending(up) != 1 || src.Out(up) != 0 {
					t.Errorf("%d attempts, %d pending, %d out", f.tries.Load(), src.Pending(up), src.Out(up))
				}
				if err := r.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestResumeProbesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fails(gone)
		b := newBench(t, relay.Config{CircuitBase: time.Hour, CircuitCap: time.Hour, BackoffBase: time.Millisecond, BackoffCap: time.Millisecond}, to(f))
		b.add(20)
		time.Sleep(time.Minute)
		if b.status(up).State != relay.Open {
			t.Fatalf("status %+v", b.status(up))
		}
		f.err.Store(nil)
		b.Resume(up)
		time.Sleep(time.Second)
		if n := b.src.Ended(up); n != 20 {
			t.Errorf("%d ended", n)
		}
		b.stop()
	})
}

func TestHeldDestinationWaitsForATarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, relay.Config{}, relay.DestinationConfig{Destination: up, Key: "none"})
		b.add(5)
		time.Sleep(24 * time.Hour)
		if b.src.Claims(up) != 0 || b.status(up).State != relay.NoTarget || b.metric("breakwater_relay_circuit_state", "shop/up", "held") != 1 {
			t.Errorf("%d claims, status %+v", b.src.Claims(up), b.status(up))
		}
		c := to(good)
		c.Key = "dsn"
		if err := b.Apply([]relay.DestinationConfig{c}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := b.src.Ended(up); n != 5 {
			t.Errorf("%d of 5 were delivered when the target came", n)
		}
		b.stop()
	})
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &slow{takes: 5 * time.Second}, &slow{takes: time.Millisecond}
		c := to(first)
		c.Key = "a"
		b := newBench(t, relay.Config{}, c)
		b.add(20)
		synctest.Wait()

		// The same configuration again changes nothing, and frees the copy.
		copied := &slow{}
		same := to(copied)
		same.Key = "a"
		if err := b.Apply([]relay.DestinationConfig{same}); err != nil {
			t.Fatal(err)
		}
		if copied.closed.Load() != 1 || first.closed.Load() != 0 {
			t.Errorf("closed: the copy %d times, the one in use %d times", copied.closed.Load(), first.closed.Load())
		}

		// Another one takes over; what is under way finishes with the old.
		next := to(second)
		next.Key = "b"
		if err := b.Apply([]relay.DestinationConfig{next}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if n := b.src.Ended(up); n != 12 {
			t.Errorf("%d records ended with the new upstream, want 12", n)
		}
		if st := b.status(up); st.InFlight != 8 {
			t.Errorf("%d in flight with the old one", st.InFlight)
		}
		time.Sleep(5 * time.Second)
		if b.src.Ended(up) != 20 || first.done.Load() != 8 || first.closed.Load() != 1 || first.closedEarly.Load() {
			t.Errorf("%d ended, %d by the old upstream, closed %d times, early %v", b.src.Ended(up), first.done.Load(), first.closed.Load(), first.closedEarly.Load())
		}

		// Gone from the configuration: nothing is claimed, no metrics are left.
		if err := b.Apply(nil); err != nil {
			t.Fatal(err)
		}
		b.add(1)
		time.Sleep(time.Hour)
		if b.src.Pending(up) != 1 || len(b.Status()) != 0 || second.closed.Load() != 1 {
			t.Errorf("%d pending, status %v, closed %d", b.src.Pending(up), b.Status(), second.closed.Load())
		}
		families, err := b.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "breakwater_relay_") {
				t.Errorf("%s has %d series of a destination that is gone", f.GetName(), len(f.GetMetric()))
			}
		}
		if err := b.Apply([]relay.DestinationConfig{to(good), to(good)}); err == nil {
			t.Error("a destination was accepted twice")
		}
		b.stop()
	})
}

// The same upstream under another configuration is not closed with the old one.
func TestReloadKeepsASharedUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{takes: time.Millisecond}
		b := newBench(t, relay.Config{}, to(s))
		c := to(s)
		c.Concurrency = 2
		if err := b.Apply([]relay.DestinationConfig{c}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s.closed.Load() != 0 || b.status(up).Concurrency != 2 {
			t.Errorf("closed %d times, concurrency %d", s.closed.Load(), b.status(up).Concurrency)
		}
		b.stop()
	})
}

func TestSpoolThatCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, relay.Config{}, to(good))
		b.src.Close()
		time.Sleep(time.Minute)
		b.stop()
	})
}

var _ relay.Destination = relaytest.Func(nil)
