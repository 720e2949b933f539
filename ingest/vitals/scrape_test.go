package vitals

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// thousandSets records a thousand label sets of every web vital, with enough
// samples that native buckets are many.
func thousandSets(tb testing.TB) *harness {
	const sets = 1000
	rng := rand.New(rand.NewPCG(1, 1))
	h := newHarness(tb, Config{SeriesPerProject: 4 * sets})
	for r := range sets {
		route := fmt.Sprintf("/shop/%c%c%c", 'a'+r/676%26, 'a'+r/26%26, 'a'+r%26)
		for v := range webVitals {
			for range 50 {
				x := specs[v].good * specs[v].div * (0.2 + rng.ExpFloat64())
				h.beacon(route, one(specs[v].name, min(x, specs[v].max), ""))
			}
		}
	}
	return h
}

func TestThousandSetsAreScraped(t *testing.T) {
	h := thousandSets(t)
	for _, family := range families {
		if n := len(h.series(family)); n != 1000 {
			t.Errorf("%s has %d label sets, want 1000", family, n)
		}
	}
}
