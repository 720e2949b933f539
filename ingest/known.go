package ingest

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Known remembers what is made of a key, such as the counter that a project's
// outcomes are counted by, for what every request asks and what hardly ever
// grows: reading takes no lock, each new key copies the map. The number of keys
// must be bounded elsewhere. Safe for concurrent use.
type Known[K comparable, V any] struct {
	make func(K) V
	m    atomic.Pointer[map[K]V]
	mu   sync.Mutex // of who adds
}

// NewKnown knows nothing yet; it calls make for each new key, one at a time.
func NewKnown[K comparable, V any](make func(K) V) *Known[K, V] {
	k := &Known[K, V]{make: make}
	k.m.Store(&map[K]V{})
	return k
}

// Get returns what belongs to a key.
func (k *Known[K, V]) Get(key K) V {
	if v, ok := (*k.m.Load())[key]; ok {
		return v
	}
	return k.add(key)
}

func (k *Known[K, V]) add(key K) V {
	k.mu.Lock()
	defer k.mu.Unlock()
	m := *k.m.Load()
	if v, ok := m[key]; ok {
		return v
	}
	m = maps.Clone(m)
	m[key] = k.make(key)
	k.m.Store(&m)
	return m[key]
}
