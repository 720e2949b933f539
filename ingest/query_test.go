package ingest

import (
	"fmt"
	"hash/maphash"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// What is remembered of a query is what reading it says, also where others took
// its place, it is too long to be kept or only a part of it can be read.
func TestQueries(t *testing.T) {
	q := &queries{seed: maphash.MakeSeed()}
	raws := []string{"", "key=a", "key=a&key=b", "sentry_key=a&sentry_version=7&sentry_client=x%2F1", "a=%zz&b=1", "a;b=1&c=2", "=&&", "x=" + strings.Repeat("y", longestQuery)}
	for i := range 4 * querySlots {
		raws = append(raws, fmt.Sprintf("key=%d", i))
	}
	for range 2 {
		for _, raw := range raws {
			want, _ := url.ParseQuery(raw)
			if got := q.read(raw); len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
				t.Errorf("%q: %v, want %v", raw, got, want)
			}
		}
	}
	for i := range q.slots {
		if r := q.slots[i].Load(); r != nil && len(r.raw) > longestQuery {
			t.Errorf("%d bytes are kept", len(r.raw))
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { q.read("sentry_key=a") }); allocs != 0 {
		t.Errorf("reading a known query costs %v allocations", allocs)
	}
}
