package relay_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/relay/spool"
	"breakwater/relay/spool/disk"
	"breakwater/schemas"
)

// The three days of TestDeadSiblingCostsNothing.
const (
	days         = 3 * 24 * time.Hour
	burstEvery   = 20 * time.Minute
	burst        = 32
	fanoutRecord = 4 << 10
	fanoutSeg    = 256 << 10
)

// fanoutRun is what one run of the three days showed of the destination that
// is up, and of the disk.
type fanoutRun struct {
	delays []time.Duration // of the live destination, sorted
	most   int64           // bytes on disk at most, without the living bytes of the dead destination
	held   int64           // living bytes of the dead destination at the end
	left   int64           // bytes on disk after everything was delivered
}

func (r fanoutRun) quantile(q float64) time.Duration {
	return r.delays[min(int(float64(len(r.delays))*q), len(r.delays)-1)]
}

// books count items of a spool's observer.
type books struct{ appended, settled atomic.Int64 }

func (b *books) Recovered(*schemas.Meta)                    {}
func (b *books) Requeued(*schemas.Meta)                     {}
func (b *books) Appended(m *schemas.Meta)                   { b.appended.Add(int64(m.Items())) }
func (b *books) Settled(m *schemas.Meta, _ []schemas.Final) { b.settled.Add(int64(m.Items())) }

// A destination that is down for three days costs the one beside it nothing:
// not a millisecond of delay, by the clock of the test, and no disk but the
// dead one's own records. The real spool on a real disk, three times the same
// traffic: without a second destination, with one that every record goes to,
// and with one that gets every eighth record, so that its few living records
// lie in all segments and only merging gives their disk back.
func TestDeadSiblingCostsNothing(t *testing.T) {
	var alone fanoutRun
	for _, tc := range []struct {
		name  string
		every int // every n-th record goes to the dead destination too; 0: none
	}{{"alone", 0}, {"beside a dead one", 1}, {"beside a dead one with every eighth record", 8}} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			var got fanoutRun
			synctest.Test(t, func(t *testing.T) { got = threeDays(t, dir, tc.every) })
			t.Logf("delays p50 %v p99 %v most %v; %d KiB on disk at most beside the %d KiB the dead destination holds, %d KiB after the drain",
				got.quantile(.5), got.quantile(.99), got.quantile(1), got.most>>10, got.held>>10, got.left>>10)
			if tc.every == 0 {
				alone = got
				return
			}
			if len(alone.delays) == 0 {
				t.Fatal("nothing to compare with: run all of the test")
			}
			if !slices.Equal(got.delays, alone.delays) {
				t.Errorf("delays differ from those without the dead destination: p50 %v, want %v; p99 %v, want %v; most %v, want %v", got.quantile(.5), alone.quantile(.5),
					got.quantile(.99), alone.quantile(.99), got.quantile(1), alone.quantile(1))
			}
			if limit := alone.most + fanoutSeg + got.held/4; got.most > limit {
				t.Errorf("%d bytes on disk beside the dead destination's own %d, want at most %d: as without it, a segment, and a quarter of what it holds", got.most, got.held, limit)
			}
			if want := int64(days/burstEvery) * burst / int64(tc.every) * fanoutRecord; got.held < want {
				t.Errorf("the dead destination holds %d bytes, want at least %d: the run proves nothing", got.held, want)
			}
		})
	}
}

// threeDays runs in a bubble, whose clock stands still while anything works.
func threeDays(t *testing.T, dir string, every int) (run fanoutRun) {
	ledger := &books{}
	s, err := disk.Open(disk.Config{Dir: dir, MinFree: -1, MaxSize: 1 << 30, SegmentSize: fanoutSeg, MaxAge: -1, Logger: zerolog.Nop(), Observer: ledger})
	if err != nil {
		t.Fatal(err)
	}
	live, dead := spool.Destination{Project: "shop", Name: "live"}, spool.Destination{Project: "shop", Name: "dead"}
	begin := time.Now()
	var mu sync.Mutex
	up := relaytest.Func(func(_ context.Context, m *schemas.Meta, _ *schemas.Envelope) ([]schemas.Final, error) {
		time.Sleep(20 * time.Millisecond)
		if now := time.Since(begin) % (24 * time.Hour); now > 2*time.Hour && now < 2*time.Hour+25*time.Minute { // so that there are delays to compare
			return nil, gone
		}
		mu.Lock()
		run.delays = append(run.delays, time.Since(m.ReceivedAt))
		mu.Unlock()
		return nil, nil
	})
	var back atomic.Bool
	down := relaytest.Func(func(ctx context.Context, _ *schemas.Meta, _ *schemas.Envelope) ([]schemas.Final, error) {
		if back.Load() {
			return nil, nil
		}
		<-ctx.Done() // the worst kind: it answers nothing
		return nil, ctx.Err()
	})
	r, err := relay.New(relay.Config{Rand: func() float64 { return 0.5 }}, s)
	if err != nil {
		t.Fatal(err)
	}
	dests := []relay.DestinationConfig{{Destination: live, Upstream: up}}
	if every > 0 {
		dests = append(dests, relay.DestinationConfig{Destination: dead, Upstream: down})
	}
	if err := r.Apply(dests); err != nil {
		t.Fatal(err)
	}

	look := func() {
		st := s.Stats()
		used := st.Used
		for _, q := range st.Queues {
			if q.Destination == dead {
				run.held = q.Bytes
				used -= q.Bytes
			}
		}
		run.most = max(run.most, used)
	}
	text := strings.Repeat("x", fanoutRecord)
	for n := 0; time.Since(begin) < days; time.Sleep(burstEvery) {
		var wg sync.WaitGroup
		for range burst {
			names := []string{live.Name}
			if n++; every > 0 && n%every == 0 {
				names = append(names, dead.Name)
			}
			rec := relaytest.MustRecord("{}\n{\"type\":\"event\"}\n{\"message\":\"" + text + "\"}")
			rec.Meta.ReceivedAt, rec.Meta.Project, rec.Meta.Destinations = time.Now(), live.Project, names
			wg.Go(func() {
				if err := s.Append(context.Background(), rec); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		look() // most is on disk right after a burst
	}
	look()
	back.Store(true)
	time.Sleep(2 * time.Hour)

	st := s.Stats()
	for _, q := range st.Queues {
		if q.Records+q.Dead != 0 {
			t.Errorf("left in the spool for %s: %d records, %d in flight, %d dead, oldest from %v", q.Destination, q.Records, q.InFlight, q.Dead, q.Oldest.Sub(begin))
		}
	}
	if run.left = st.Used; run.left > fanoutSeg {
		t.Errorf("%d bytes on disk after everything was delivered", run.left)
	}
	if in, out := ledger.appended.Load(), ledger.settled.Load(); in != out || in != int64(days/burstEvery)*burst {
		t.Errorf("%d items came in, %d ended", in, out)
	}
	if len(run.delays) != int(days/burstEvery)*burst {
		t.Errorf("%d deliveries at the live destination", len(run.delays))
	}
	slices.Sort(run.delays)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := errors.Join(r.Shutdown(ctx), s.Close()); err != nil {
		t.Error(err)
	}
	if rep, err := disk.Verify(dir); err != nil || rep.Damaged != 0 {
		t.Errorf("verifying: %+v, %v", rep, err)
	}
	return run
}
