package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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

func TestRetryAfterIsHonouredAndBounded(t *testing.T) {
	for name, tc := range map[string]struct{ asked, want time.Duration }{
		"ten minutes": {10 * time.Minute, 10 * time.Minute},
		"three years": {26280 * time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := fails(&relay.DeliverError{Class: relay.Temporary, Reason: "http_503", Status: 503, Down: true, Until: time.Now().Add(tc.asked)})
				b := newBench(t, relay.Config{}, to(f))
				id := b.add(1)[0]
				synctest.Wait()
				time.Sleep(time.Second)
				f.err.Store(nil)
				time.Sleep(tc.want - 2*time.Second)
				if n := f.tries.Load(); n != 1 {
					t.Errorf("%d attempts before the time the upstream asked for", n)
				}
				time.Sleep(2 * time.Second)
				if len(b.src.Ends(up, id)) != 1 {
					t.Error("not delivered after it")
				}
				b.stop()
			})
		})
	}
}

func TestPanicIsTheRecordsFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, relay.Config{}, to(relaytest.Func(func(_ context.Context, m *schemas.Meta, _ *schemas.Envelope) ([]schemas.Final, error) {
			if m.ID == "R00000001" {
				panic("a payload with the word hushhush in it")
			}
			return nil, nil
		})))
		b.add(2)
		time.Sleep(time.Hour)
		if ends := b.src.Ends(up, "R00000001"); len(ends) != 1 || ends[0].Buried != "panic" {
			t.Errorf("ended as %v", ends)
		}
		if len(b.src.Ends(up, "R00000002")) != 1 || b.log.count("hushhush") != 0 {
			t.Error("the neighbour suffered, or the payload was logged")
		}
		b.stop()
	})
}

func TestUnreadableRecordIsBuried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, relay.Config{}, relay.DestinationConfig{Destination: up})
		id := b.add(1)[0]
		b.src.FailOpen(id, io.ErrUnexpectedEOF)
		if err := b.Apply([]relay.DestinationConfig{to(good)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if ends := b.src.Ends(up, id); len(ends) != 1 || ends[0].Buried != "unreadable" {
			t.Errorf("ended as %v", ends)
		}
		b.stop()
	})
}

// When the spool cannot note an end, the record comes again: twice, not never.
func TestSpoolFaultLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fails(nil)
		b := newBench(t, relay.Config{}, relay.DestinationConfig{Destination: up})
		ids := b.add(3)
		b.src.FailEnds(errors.New("no space left"), errors.New("no space left"))
		if err := b.Apply([]relay.DestinationConfig{to(f)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		for _, id := range ids {
			if len(b.src.Ends(up, id)) != 1 {
				t.Errorf("%s did not end", id)
			}
		}
		if f.tries.Load() != 5 || b.log.count("spool cannot write down deliveries") != 1 || b.log.count("spool writes down deliveries again") != 1 {
			t.Errorf("%d attempts; log:\n%s", f.tries.Load(), strings.Join(b.log.lines(), "\n"))
		}
		b.stop()
	})
}

func TestSlowUpstreamTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := to(relaytest.Func(func(ctx context.Context, _ *schemas.Meta, _ *schemas.Envelope) ([]schemas.Final, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		c.Timeout = 3 * time.Second
		b := newBench(t, relay.Config{}, c)
		b.add(1)
		time.Sleep(2900 * time.Millisecond)
		if b.src.Out(up) != 1 {
			t.Error("the attempt ended before its time")
		}
		time.Sleep(200 * time.Millisecond)
		if b.metric("breakwater_relay_attempts_total", "shop/up", "timeout") != 1 {
			t.Error("no timeout was counted")
		}
		b.stop()
	})
	env := &schemas.Envelope{Items: []schemas.Item{{Payload: schemas.Bytes(make([]byte, 1<<20))}}}
	if got := relay.AttemptTimeout(time.Second, env, 256<<10); got != 5*time.Second {
		t.Errorf("a mebibyte at 256 KiB/s may take %v", got)
	}
}

func TestMetricsAreCleanAndComplete(t *testing.T) {
	b := newBench(t, relay.Config{}, to(&limited{}))
	b.add(1)
	defer b.stop()
	for _, r := range relay.Results {
		_ = b.metric("breakwater_relay_attempts_total", "shop/up", r)
	}
	for _, c := range schemas.Categories {
		_ = b.metric("breakwater_relay_upstream_limited_until_seconds", "shop/up", string(c))
	}
	if b.metric("breakwater_relay_circuit_state", "shop/up", "closed") != 1 {
		t.Error("the circuit is not closed")
	}
	lint(t, b.reg)
}

func TestTapSeesEveryAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := &tap{}
		b := newBench(t, relay.Config{Tap: tap}, to(fails(&relay.DeliverError{Class: relay.Bounded, Reason: "http_500"})))
		b.add(1)
		time.Sleep(time.Hour)
		if want := "shop/up R00000001 http_500"; tap.n.Load() != 5 || tap.last.Load() != want {
			t.Errorf("%d attempts, last %q", tap.n.Load(), tap.last.Load())
		}
		b.stop()
	})
}

type tap struct {
	n    atomic.Int64
	last atomic.Value
}

func (p *tap) Attempt(dst spool.Destination, m *schemas.Meta, result string, _ time.Duration) {
	p.n.Add(1)
	p.last.Store(fmt.Sprint(dst, " ", m.ID, " ", result))
}
