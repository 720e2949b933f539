package ingest

import (
	"hash/maphash"
	"net/url"
	"strings"
	"sync/atomic"
)

// Bounds of what is remembered of queries: some 200 KiB at most.
const (
	querySlots   = 256
	longestQuery = 256 // bytes
)

// queries remembers what query strings say. All clients of a key send the same
// one, its key and its version, for as long as a page lives; reading it anew
// makes a map and a list for each of its parts. A query has one place, by its
// hash, and takes it from whichever was there. Safe for concurrent use.
type queries struct {
	seed  maphash.Seed
	slots [querySlots]atomic.Pointer[readQuery]
}

type readQuery struct {
	raw    string
	values url.Values
}

// read returns the pairs of a query; what cannot be read of it is skipped. The
// map is shared: nobody may change it.
func (q *queries) read(raw string) url.Values {
	if raw == "" {
		return nil
	}
	if len(raw) > longestQuery {
		values, _ := url.ParseQuery(raw)
		return values
	}
	slot := &q.slots[maphash.String(q.seed, raw)%querySlots]
	if known := slot.Load(); known != nil && known.raw == raw {
		return known.values
	}
	raw = strings.Clone(raw) // it is part of a longer text, the request's first line
	values, _ := url.ParseQuery(raw)
	slot.Store(&readQuery{raw, values})
	return values
}
