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
		ask(t, []*Fleet{a, b}[i%2], stormIn("fp", 5, 10, time.Hour))
	}
	ended := func() (got []ingest.EndedStorm) {
		for _, f := range []*Fleet{a, b} {
			list, err := f.Ended(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, list...)
		}
		return got
	}
	if got := ended(); len(got) != 0 {
		t.Fatalf("summed up while it runs: %+v", got)
	}
	// The hour is over.
	hash := "breakwater:storm:fp"
	ref := a.rdb.HGet(t.Context(), hash, "r").Val()
	if left := time.Until(time.UnixMilli(int64(a.rdb.ZScore(t.Context(), "breakwater:storms", ref).Val()))); left < 50*time.Minute || left > time.Hour {
		t.Errorf("it ends in %s, want an hour after the last one that was suppressed", left)
	}
	past := time.Now().Add(-time.Hour - time.Second).UnixMilli()
	a.rdb.HSet(t.Context(), hash, "w", past, "l", past)
	a.rdb.ZAdd(t.Context(), "breakwater:storms", zNow(ref))
	got := ended()
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
	if n := ask(t, a, stormIn("fp", 5, 10, time.Hour))[0]; !n.Passed || n.Count != 1 || n.Since != 5 {
		t.Errorf("the next one: %+v, want the first of a window, 5 suppressed before it", n)
	}
}

// What a storm counted that Redis has evicted is lost; what comes after it makes
// no key without an end, and a storm of its own. So does a window that was made
// longer.
func TestStormEvicted(t *testing.T) {
	s := redistest.Start(t)
	f := join(t, s)
	ctx := t.Context()
	hash := "breakwater:storm:fp"
	for range 2 {
		ask(t, f, stormStep("fp", 1, 2))
	}
	f.rdb.Del(ctx, f.rdb.HGet(ctx, hash, "r").Val())
	for _, k := range append(f.rdb.Keys(ctx, hash+":*").Val(), "") {
		if f.rdb.Exists(ctx, k).Val() != 0 {
			t.Fatalf("%q is there", k)
		}
	}
	if a := ask(t, f, stormStep("fp", 1, 2))[0]; !a.Passed || a.Count != 3 {
		t.Errorf("%+v", a)
	}
	if n := len(f.rdb.Keys(ctx, hash+":*").Val()); n != 0 {
		t.Errorf("%d keys for a storm that is lost", n)
	}
	if a := ask(t, f, stormStep("fp", 1, 2))[0]; a.Passed {
		t.Errorf("%+v", a)
	}
	ref := f.rdb.HGet(ctx, hash, "r").Val()
	if got := f.rdb.HMGet(ctx, ref, "seen", "forwarded").Val(); got[0] != "2" || got[1] != "1" {
		t.Errorf("the second storm has seen and forwarded %v, want 2 and 1: what came since the first was lost", got)
	}
	f.rdb.HSet(ctx, hash, "r", "")
	ask(t, f, stormIn("fp", 1, 2, time.Hour))
	if f.rdb.Exists(ctx, "").Val() != 0 {
		t.Error("counted under no name")
	}
}

// Of two storms that touch, the second counts nothing that the first has.
func TestStormsThatTouchCountOnce(t *testing.T) {
	f := join(t, redistest.Start(t))
	ctx := t.Context()
	hash := "breakwater:storm:fp"
	for range 8 { // 5 pass, 3 are suppressed
		ask(t, f, stormStep("fp", 5, 100))
	}
	now, err := f.Clock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// A new window began half a minute ago; the storm ran on in it, and is over now.
	first := f.rdb.HGet(ctx, hash, "r").Val()
	f.rdb.HSet(ctx, hash, "w", now.Add(-90*time.Second).UnixMilli())
	for range 4 {
		ask(t, f, stormStep("fp", 5, 100))
	}
	f.rdb.HSet(ctx, hash, "l", now.Add(-time.Hour).UnixMilli())
	until(t, "a millisecond has passed, by which storms are named", func() bool {
		later, err := f.Clock(ctx)
		return err == nil && later.Sub(now) >= 2*time.Millisecond
	})
	for range 3 {
		ask(t, f, stormStep("fp", 5, 100))
	}
	told := 0
	for _, ref := range []string{first, f.rdb.HGet(ctx, hash, "r").Val()} {
		n, err := f.rdb.HGet(ctx, ref, "seen").Int()
		if err != nil {
			t.Fatal(err)
		}
		told += n
	}
	if told != 15 {
		t.Errorf("both tell of %d events, 15 were sent", told)
	}
}
