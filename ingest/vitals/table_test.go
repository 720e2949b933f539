package vitals

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// modelEntry is a waiting page view as the table should have it.
type modelEntry struct {
	observation
	key         key
	first, last time.Time
	steps       []step
}

// TestTableIsWhatAListWouldBe puts, settles and evicts at random, and holds the table
// against a plain list of entries: what comes out, in which order, with which labels and
// steps, and that nothing is left of what came out.
func TestTableIsWhatAListWouldBe(t *testing.T) {
	projects := []*project{{name: "a"}, {name: "b"}}
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		table := newTable(1000, now)
		var list []*modelEntry // by last report
		gone := map[key]bool{}
		takeOut := func(done []observation, want []*modelEntry) {
			if len(done) != len(want) {
				t.Fatalf("%d came out, want %d", len(done), len(want))
			}
			for i, o := range done {
				if !reflect.DeepEqual(o, want[i].observation) {
					t.Fatalf("%+v came out, want %+v", o, want[i].observation)
				}
				gone[want[i].key] = true
				list = slices.DeleteFunc(list, func(e *modelEntry) bool { return e == want[i] })
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				r := report{key: key{rapid.Uint64Range(0, 1).Draw(t, "high"), rapid.Uint32Range(0, 7).Draw(t, "low")}}
				r.vital = rapid.SampledFrom([]vital{lcp, inp}).Draw(t, "vital")
				r.key.high = r.key.high<<8 | uint64(r.vital) // as in Vitals.key
				r.value = float64(rapid.IntRange(1, 9).Draw(t, "value"))
				r.delta = float64(rapid.IntRange(-2, 2).Draw(t, "delta"))
				r.labels = labels{
					project: rapid.SampledFrom(projects).Draw(t, "project"), route: rapid.SampledFrom([]string{"/", "/a", "/b"}).Draw(t, "route"),
					env: "production", device: rapid.SampledFrom([]string{"mobile", "desktop"}).Draw(t, "device"),
				}
				r.trace[0] = rapid.Byte().Draw(t, "trace")
				if late := table.put(&r, now); late != gone[r.key] {
					t.Fatalf("late is %v", late)
				} else if late {
					return
				}
				i := slices.IndexFunc(list, func(e *modelEntry) bool { return e.key == r.key })
				e := &modelEntry{observation: r.observation, key: r.key, first: now}
				if i >= 0 {
					e = list[i]
					list = slices.Delete(list, i, i+1)
				}
				e.steps = appendStep(e.steps, &r)
				if i >= 0 && r.vital == lcp {
					e.value = max(e.value, r.value)
				} else if i >= 0 {
					e.value = latest(&entry{value: e.value}, &r, e.steps)
				}
				if e.trace == (trace{}) {
					e.trace = r.trace
				}
				e.last = now
				list = append(list, e)
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(10*rapid.IntRange(1, 4).Draw(t, "tens of seconds")) * time.Second)
			},
			"settle": func(*rapid.T) {
				var want []*modelEntry
				for _, e := range list {
					if now.Sub(e.last) >= time.Minute {
						want = append(want, e)
					}
				}
				old := slices.Clone(list)
				slices.SortStableFunc(old, func(a, b *modelEntry) int { return a.first.Compare(b.first) })
				for _, e := range old {
					if now.Sub(e.last) < time.Minute && now.Sub(e.first) >= 2*time.Minute {
						want = append(want, e)
					}
				}
				// Of several first seen at one time the table knows the order, the list does not.
				done := table.due(now, time.Minute, 2*time.Minute, nil)
				settled := len(want)
				for i, e := range want {
					if now.Sub(e.last) < time.Minute {
						settled = i
						break
					}
				}
				byOrder(done[min(settled, len(done)):], want[settled:])
				takeOut(done, want)
			},
			"evict": func(*rapid.T) {
				takeOut(table.quietest(nil), list[:min(1, len(list))])
			},
			"": func(t *rapid.T) {
				if table.waiting != len(list) {
					t.Fatalf("%d wait, want %d", table.waiting, len(list))
				}
				different := map[labels]bool{}
				for _, e := range list {
					different[e.labels] = true
				}
				if len(table.labels.numbers) != len(different) || len(table.labels.sets)-len(table.labels.freed) != len(different) {
					t.Fatalf("%d labels kept of %d", len(table.labels.numbers), len(different))
				}
				n, chained := table.at(0).quiet.next, 0
				for _, e := range list {
					if got := table.at(n); got.key != e.key {
						t.Fatalf("%v is in the place of %v", got.key, e.key)
					} else if steps := table.steps.list(got.steps, nil); e.vital == inp && !slices.Equal(steps, e.steps) {
						t.Fatalf("steps %v, want %v", steps, e.steps)
					} else {
						chained += len(steps)
					}
					n = table.at(n).quiet.next
				}
				free := 0
				for n := table.steps.freed; n != 0; n = table.steps.links[n].older {
					free++
				}
				if len(table.steps.links) > 0 && chained+free != len(table.steps.links)-1 {
					t.Fatalf("%d steps are used and %d free of %d", chained, free, len(table.steps.links)-1)
				}
			},
		})
	})
}

// byOrder sorts entries that were first seen at the same time as done has them.
func byOrder(done []observation, want []*modelEntry) {
	if len(done) != len(want) {
		return
	}
	for i := range done {
		for j := i; j < len(want); j++ {
			if want[j].first.Equal(want[i].first) && reflect.DeepEqual(want[j].observation, done[i]) {
				want[i], want[j] = want[j], want[i]
				break
			}
		}
	}
}

func appendStep(steps []step, r *report) []step {
	if r.delta == 0 || r.vital != inp || len(steps) >= maxSteps {
		return steps
	}
	next := step{r.value - r.delta, r.value}
	if slices.Contains(steps, next) {
		return steps
	}
	return append(steps, next)
}

// TestTableLetsItsMemoryGo: after a rush, when nothing waits, only the memory of observed
// ids is left.
func TestTableLetsItsMemoryGo(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	table := newTable(1, now)
	for round := range 2 {
		for i := range 5 * chunk {
			r := report{key: hashed(uint64(round*5*chunk + i))}
			r.vital, r.value, r.delta = inp, 1, 1
			if table.put(&r, now) {
				t.Fatal("late")
			}
		}
		if n := len(table.due(now.Add(time.Hour), time.Minute, time.Hour, nil)); n != 5*chunk {
			t.Fatalf("%d settled", n)
		}
		if len(table.chunks) != 1 || len(table.steps.links) != 0 || len(table.freed) != 0 || table.at(0).quiet != (links{}) {
			t.Errorf("%d chunks, %d steps, %d free numbers", len(table.chunks), len(table.steps.links), len(table.freed))
		}
	}
}
