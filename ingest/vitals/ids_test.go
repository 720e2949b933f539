package vitals

import (
	"testing"

	"pgregory.net/rapid"
)

// hashed is a key as Vitals.key makes them, of a number.
func hashed(n uint64) key {
	mix := func(n uint64) uint64 { // the finalizer of splitmix64
		n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
		n = (n ^ n>>27) * 0x94d049bb133111eb
		return n ^ n>>31
	}
	return key{mix(n + 0x9e3779b97f4a7c15), uint32(mix(n + 0x3c6ef372fe94f82a))}
}

// TestIDsAreWhatAMapWouldBe lets ids come, settle, be asked for again and be
// forgotten at random, in runs that make segments grow and be made anew, and holds
// the table against a map.
func TestIDsAreWhatAMapWouldBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const remembered = 1 << 13
		table := newIDs(remembered)
		next := uint64(0)
		shape := rapid.SampledFrom([]func(uint64) key{
			hashed,
			func(n uint64) key { return key{uint64(n % 3), uint32(n)} }, // one line of one segment
			func(n uint64) key { return key{n % 3 << 60, uint32(n % 700)} },
		}).Draw(t, "shape of keys")
		crowded := shape(0).high == shape(3).high // as slow as a list
		waiting, most := map[key]uint32{}, 0
		var order []key // every mark as observed, the newest at the end
		at := map[key]int{}
		observe := func(k key, s *slot) {
			if s.state != table.generation {
				order = append(order, k)
				at[k] = len(order) - 1
			}
			table.observe(s)
		}
		t.Repeat(map[string]func(*rapid.T){
			"come": func(t *rapid.T) {
				n := rapid.IntRange(1, 3000).Draw(t, "ids")
				if crowded {
					n = n/100 + 1
				}
				for range n {
					next++
					k := shape(next)
					s := table.put(k)
					if number, ok := s.waiting(); ok != (waiting[k] != 0) || ok && number != waiting[k] {
						t.Fatalf("%v waits as %d, want %d", k, number, waiting[k])
					} else if !ok {
						s.wait(uint32(next))
						waiting[k] = uint32(next)
						delete(at, k)
					}
				}
			},
			"settle": func(t *rapid.T) {
				n := rapid.IntRange(1, 3000).Draw(t, "ids")
				for k := range waiting {
					if n--; n < 0 {
						break
					}
					observe(k, table.get(k))
					delete(waiting, k)
				}
			},
			"ask again": func(t *rapid.T) {
				for range rapid.IntRange(1, 100).Draw(t, "times") {
					if len(order) == 0 {
						return // none was observed yet
					}
					k := order[len(order)-1-rapid.IntRange(0, min(len(order), remembered)-1).Draw(t, "which")]
					if waiting[k] != 0 {
						continue
					}
					if s := table.put(k); table.observed(s) {
						observe(k, s)
					}
				}
			},
			"": func(t *rapid.T) {
				for k, n := range waiting {
					if number, ok := table.put(k).waiting(); !ok || number != n {
						t.Fatalf("%v waits as %d (%v), want %d", k, number, ok, n)
					}
				}
				for k, i := range at {
					s := table.put(k)
					if newest := len(order)-i <= remembered; newest && !table.observed(s) {
						t.Fatalf("%v is forgotten, and was the %dth from the end", k, len(order)-i)
					}
					if old := len(order)-i > remembered+2*int(table.perGeneration); old && table.observed(s) {
						t.Fatalf("%v is still remembered", k)
					}
				}
				keys := table.observedKeys()
				last := -1
				for _, k := range keys {
					if _, ok := at[k]; !ok {
						t.Fatalf("%v is said to be observed", k)
					}
					if g := int(table.get(k).state); g < last {
						t.Fatal("the order of what was observed is not that of generations")
					} else {
						last = g
					}
				}
				unknown := shape(next + 1)
				if _, ok := at[unknown]; !ok && waiting[unknown] == 0 && table.get(unknown) != nil && !crowded {
					t.Fatalf("%v is known", unknown)
				}
				if crowded {
					return
				}
				most = max(most, len(waiting))
				slots := 0
				for i := range table.segments {
					slots += len(table.segments[i].slots)
				}
				if limit := 3 * (most + remembered*9/8 + 64*2*lineSlots); slots > limit {
					t.Fatalf("%d slots, want %d at most", slots, limit)
				}
			},
		})
	})
}

// TestIDsOfASteadyFlow lets a hundred times as many ids through as are remembered: the
// newest of them are, and the memory stays.
func TestIDsOfASteadyFlow(t *testing.T) {
	const wait, remembered, all = 1000, 1 << 13, 1_000_000
	table := newIDs(remembered)
	size := func() (slots int) {
		for i := range table.segments {
			slots += len(table.segments[i].slots)
		}
		return slots
	}
	half := 0
	for i := range uint64(all) {
		table.put(hashed(i)).wait(uint32(i))
		if i < wait {
			continue
		}
		s := table.get(hashed(i - wait))
		if n, ok := s.waiting(); !ok || n != uint32(i-wait) {
			t.Fatalf("%d waits as %d (%v)", i-wait, n, ok)
		}
		table.observe(s)
		if i == all/2 {
			half = size()
		}
		if i > 2*remembered && (i%7919 == 0 || i == all-1) {
			for n := i - wait - remembered + 1; n <= i-wait; n++ {
				if s := table.get(hashed(n)); s == nil || !table.observed(s) {
					t.Fatalf("%d is forgotten after %d", n, i)
				}
			}
			if s := table.get(hashed(i - wait - 2*remembered)); s != nil && table.observed(s) {
				t.Fatalf("twice as old as must be, and remembered after %d", i)
			}
		}
	}
	if got := size(); got > half*5/4 || got > 3*(wait+remembered*9/8) {
		t.Errorf("%d slots after %d ids, %d after half of them", got, all, half)
	}
}
