package relaytest

import (
	"encoding/hex"
	"strings"
	"sync"
)

// ID is an event id: 32 hex digits as 16 bytes.
type ID [16]byte

// ParseID reads an event id, with or without dashes, in any case.
func ParseID(s string) (id ID, ok bool) {
	if len(s) == 36 {
		s = strings.ReplaceAll(s, "-", "")
	}
	if len(s) != 32 {
		return ID{}, false
	}
	_, err := hex.Decode(id[:], []byte(s))
	return id, err == nil
}

// String is the id as 32 lower-case hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

const idShards = 64

// IDs counts event ids, millions of them. The zero value is ready; safe for
// concurrent use.
type IDs struct {
	shards [idShards]struct {
		mu   sync.Mutex
		seen map[ID]uint32
	}
}

// Add counts one sighting.
func (s *IDs) Add(id ID) {
	sh := &s.shards[id[15]%idShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.seen == nil {
		sh.seen = map[ID]uint32{}
	}
	sh.seen[id]++
}

// Count is how often an id was seen.
func (s *IDs) Count(id ID) int {
	sh := &s.shards[id[15]%idShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return int(sh.seen[id])
}

// Len is how many different ids were seen, and how many of them more than once.
func (s *IDs) Len() (unique, repeated int) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		unique += len(sh.seen)
		for _, n := range sh.seen {
			if n > 1 {
				repeated++
			}
		}
		sh.mu.Unlock()
	}
	return unique, repeated
}

// Reset forgets all.
func (s *IDs) Reset() {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		sh.seen = nil
		sh.mu.Unlock()
	}
}

// Each hands out every id and how often it was seen, in no order. fn must not
// add ids.
func (s *IDs) Each(fn func(id ID, n int)) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for id, n := range sh.seen {
			fn(id, int(n))
		}
		sh.mu.Unlock()
	}
}
