package fleet

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/cmd/breakwater/redistest"
	"breakwater/ingest"
)

func stormStep(key string, first, oneIn int64) ingest.Step {
	return stormIn(key, first, oneIn, time.Minute)
}

func stormIn(key string, first, oneIn int64, window time.Duration) ingest.Step {
	return ingest.Step{Kind: ingest.StepStorm, After: ingest.Always, Key: key, Storm: ingest.StepOfStorm{
		Window: window, First: first, OneIn: oneIn,
		Facts: ingest.EndedStorm{Project: "shop", Fingerprint: "f", Title: "TypeError: x is undefined", Release: "shop@1", Environment: "production", Level: "error", PublicKey: "k"},
	}}
}

// Three gateways, one storm: the budget holds to the item, and what passed says
// exactly how many were suppressed.
func TestStormOverGateways(t *testing.T) {
	s := redistest.Start(t)
	fleets := []*Fleet{join(t, s), join(t, s), join(t, s)}
	const first, oneIn, events = 50, 100, 6000
	var forwarded, since atomic.Int64
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			for range events / 12 {
				a, ok := fleets[i%3].Ask([]ingest.Step{stormStep("fp", first, oneIn)})
				if !ok {
					t.Error("no answer")
				} else if a[0].Passed {
					forwarded.Add(1)
					since.Add(a[0].Since)
				}
			}
		})
	}
	all.Wait()
	if want := int64(first + (events-first)/oneIn); forwarded.Load() != want {
		t.Errorf("%d forwarded, want exactly %d", forwarded.Load(), want)
	}
	// The last to pass was number 50+59*100; what came after it is not told yet.
	last := int64(first + (events-first)/oneIn*oneIn)
	if want := last - forwarded.Load(); since.Load() != want {
		t.Errorf("the forwarded tell of %d suppressed, want exactly %d", since.Load(), want)
	}
}

// A storm that is over is handed to one gateway, and to another when that one
// does not say that it has stored the summary.
func TestStormIsSummedUpOnce(t *testing.T) {
	s := redistest.Start(t)
	a, b := join(t, s), join(t, s)
	for i := range 30 {
		ask(t, []*Fleet{a, b}[i%2], stormIn("fp", 5, 10, 300*time.Millisecond))
	}
	var got []ingest.EndedStorm
	until(t, "the storm is over", func() bool {
		for _, f := range []*Fleet{a, b} {
			list, err := f.Ended(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, list...)
		}
		return len(got) > 0
	})
	if len(got) != 1 {
		t.Fatalf("%d summaries", len(got))
	}
	if e := got[0]; e.Seen != 30 || e.Forwarded != 7 || e.Title != "TypeError: x is undefined" || e.Release != "shop@1" || e.Project != "shop" || !e.Last.After(e.Start.Add(-time.Millisecond)) {
		t.Errorf("%+v, want 30 seen and 7 forwarded", e)
	}
	// Whoever took it died: its time runs out.
	a.rdb.ZAdd(t.Context(), "breakwater:storms", zNow(got[0].Ref))
	again, err := b.Ended(t.Context())
	if err != nil || len(again) != 1 || again[0] != got[0] {
		t.Fatalf("again: %+v %v", again, err)
	}
	if err := b.Told(t.Context(), again[0]); err != nil {
		t.Fatal(err)
	}
	a.rdb.ZAdd(t.Context(), "breakwater:storms", zNow(got[0].Ref)) // a stale name
	if list, err := a.Ended(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("after it was told: %+v %v", list, err)
	}
	// The next event of the fingerprint begins anew, and tells what was left.
	if n := ask(t, a, stormIn("fp", 5, 10, 300*time.Millisecond))[0]; !n.Passed || n.Count != 1 || n.Since != 5 {
		t.Errorf("the next one: %+v, want the first of a window, 5 suppressed before it", n)
	}
}
