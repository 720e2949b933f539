package vitals

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// memo remembers what was made of texts that come again and again, as many as it
// has places: each text has one, and the newest of those that share it is
// remembered. Looking is one hash and one comparison, without a lock or a list to
// keep in order. Which texts share a place nobody outside can know.
type memo[V any] struct {
	seed   maphash.Seed
	places []atomic.Pointer[remembered[V]]
}

type remembered[V any] struct {
	text  string
	value V
}

func newMemo[V any](places int) *memo[V] {
	return &memo[V]{seed: maphash.MakeSeed(), places: make([]atomic.Pointer[remembered[V]], places)}
}

// of is what is made of a text: always the same of the same text. The text that
// is made from is a copy, so that what is remembered keeps nothing else.
func (m *memo[V]) of(text string, made func(string) V) V {
	place := &m.places[maphash.String(m.seed, text)%uint64(len(m.places))]
	if r := place.Load(); r != nil && r.text == text {
		return r.value
	}
	text = strings.Clone(text)
	r := &remembered[V]{text, made(text)}
	place.Store(r)
	return r.value
}
