package ingest

import (
	"sync"
	"sync/atomic"
	"testing"
)

// However many ask at the same time, one value is made of a key, and everybody
// gets that one.
func TestKnown(t *testing.T) {
	var made atomic.Int64
	k := NewKnown(func(n int) *int { made.Add(1); return &n })
	const keys, askers = 50, 8
	var got [askers][keys]*int
	var wg sync.WaitGroup
	for a := range askers {
		wg.Go(func() {
			for i := range keys {
				got[a][(i+a)%keys] = k.Get((i + a) % keys)
			}
		})
	}
	wg.Wait()
	if made.Load() != keys {
		t.Errorf("%d values were made of %d keys", made.Load(), keys)
	}
	for i := range keys {
		for a := range askers {
			if v := got[a][i]; *v != i || v != got[0][i] {
				t.Fatalf("asker %d got another value of key %d: %d", a, i, *v)
			}
		}
	}
}
