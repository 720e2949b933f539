package fleet

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/cmd/breakwater/redistest"
	"breakwater/ingest"
)

func owner(key string) ingest.Step {
	return ingest.Step{Kind: ingest.StepOwner, After: ingest.Always, Key: key}
}

// An id belongs to the gateway that asked first; what others send it arrives. Of
// one that died the next takes over; one that stopped in order keeps its own, and
// is its owner again after it.
func TestOwners(t *testing.T) {
	s := redistest.Start(t)
	var mu sync.Mutex
	var got []string
	hear := func(o *Options) {
		o.Name = "first"
		o.Message = func(m []byte) { mu.Lock(); got = append(got, string(m)); mu.Unlock() }
	}
	first, second := join(t, s, hear), join(t, s, func(o *Options) { o.Name = "second" })
	if a := ask(t, first, owner("id"))[0]; !a.Passed {
		t.Fatalf("%+v", a)
	}
	for range 2 {
		if a := ask(t, first, owner("id"))[0]; !a.Passed {
			t.Errorf("its own again: %+v", a)
		}
		if a := ask(t, second, owner("id"))[0]; a.Passed || a.Owner != "first" || a.Pending {
			t.Errorf("another's: %+v", a)
		}
	}
	until(t, "it listens", func() bool {
		return first.rdb.PubSubNumSub(t.Context(), "breakwater:to:first").Val()["breakwater:to:first"] == 1
	})
	second.Forward("first", []byte("hello"))
	until(t, "the message arrives", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == 1 && got[0] == "hello" })

	first.Rest()
	if a := ask(t, second, owner("id"))[0]; a.Passed || !a.Pending || a.Owner != "" {
		t.Errorf("of one that rests: %+v", a)
	}
	_ = first.Close()
	back := join(t, s, hear)
	if a := ask(t, second, owner("id"))[0]; a.Passed || a.Owner != "first" {
		t.Errorf("of one that is back: %+v", a)
	}
	_ = back.Close() // without a word, as after kill -9: its sign of life runs out
	if ttl := second.rdb.PTTL(t.Context(), "breakwater:alive:first").Val(); ttl <= 0 || ttl > aliveFor {
		t.Errorf("it counts as alive for %s", ttl)
	}
	second.rdb.Del(context.Background(), "breakwater:alive:first")
	if a := ask(t, second, owner("id"))[0]; !a.Passed {
		t.Errorf("of one that died: %+v", a)
	}
}

// A limit that one gateway announced reaches the others as a message, and one
// that comes later by its pulse; it is never shortened.
func TestAnnouncedLimits(t *testing.T) {
	s := redistest.Start(t)
	var mu sync.Mutex
	heard := map[string]time.Time{}
	hear := func(o *Options) {
		o.Learned = func(list []Limit) {
			mu.Lock()
			defer mu.Unlock()
			for _, l := range list {
				heard[l.Scope+" "+string(l.Category)+" "+l.Reason] = l.Until
			}
		}
	}
	knows := func(name string, about time.Time) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return heard[name].Sub(about).Abs() < 2*time.Second
		}
	}
	speaker := join(t, s)
	join(t, s, hear)
	hour := time.Now().Add(time.Hour)
	speaker.Announce([]Limit{{Scope: "organization a | b", Category: "error", Reason: "quota", Until: hour}, {Scope: "destination shop/x", Until: hour}})
	until(t, "both are heard", func() bool {
		return knows("organization a | b error quota", hour)() && knows("destination shop/x  ", hour)()
	})
	speaker.Announce([]Limit{{Scope: "organization a | b", Category: "error", Reason: "quota", Until: time.Now().Add(time.Minute)}, {Scope: "past", Until: time.Now().Add(-time.Minute)}})
	speaker.Announce([]Limit{{Scope: "last", Category: "session", Until: hour}})
	until(t, "the last one is heard", knows("last session ", hour))
	if !knows("organization a | b error quota", hour)() {
		t.Error("a limit was shortened")
	}
	mu.Lock()
	if _, ok := heard["past  "]; ok {
		t.Error("one that was over was sent")
	}
	heard = map[string]time.Time{}
	mu.Unlock()
	join(t, s, hear)
	until(t, "a late one hears of it", knows("organization a | b error quota", hour))
}

// Whatever strangers put into what keys are made of, the answer is to the steps
// that were asked, and no key is left without an end or outside the prefix.
func FuzzKeys(f *testing.F) {
	s := redistest.Start(f)
	fleet, err := New(Options{URL: s.URL(), Timeout: patience})
	if err != nil {
		f.Fatal(err)
	}
	fleet.Start()
	f.Cleanup(func() { _ = fleet.Close() })
	for _, seed := range []string{"", "shop:error", "a\r\nFLUSHALL\r\n", "\x00\xff", "{tag}:{", strings.Repeat("é", 500), "breakwater:alive:x", "*", "%s %d"} {
		f.Add(seed, seed, int64(1), 1.0)
	}
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, key, text string, n int64, rate float64) {
		n = max(n&0xffff, 1)
		if rate != rate || rate < 0.001 || rate > 1e6 {
			rate = 1
		}
		storm := stormStep(key, n, n)
		storm.Storm.Facts.Title, storm.Storm.Facts.Release, storm.Storm.Facts.Project = text, key, text
		private := bucket(key, n, rate, n)
		private.Private = true
		items := quota(n, 0, 0)
		items.Key, items.Quota.Key, items.After = key, text, 0
		steps := []ingest.Step{bucket(key, n, rate, n), private, storm, items, {Kind: ingest.StepClaim, After: ingest.Always, Key: key}, owner(text)}
		answers, ok := fleet.Ask(steps)
		if !ok || len(answers) != len(steps) {
			t.Fatalf("%d answers, %v", len(answers), ok)
		}
		if !answers[2].Taken || answers[2].Count < 1 {
			t.Errorf("storm: %+v", answers[2])
		}
		keys, _, err := fleet.rdb.Scan(ctx, 0, "*", 1000).Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if !strings.HasPrefix(k, "breakwater:") || len(k) > 800 {
				t.Errorf("key %q", k)
			}
			if ttl := fleet.rdb.PTTL(ctx, k).Val(); ttl == -1 {
				t.Errorf("key %q has no end", k)
			}
		}
		fleet.rdb.FlushAll(ctx)
	})
}
