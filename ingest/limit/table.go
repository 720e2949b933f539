package limit

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

const (
	shardCount = 256
	ways       = 16
	// DefaultMaxAddresses is how many client addresses are remembered: 16 bytes
	// each, 32 MiB in all when the table is full.
	DefaultMaxAddresses = 1 << 21
)

// addressKey folds an address into the 64 bits that identify a client: an
// IPv4 address whole, an IPv6 address by its /64, which is what one customer
// gets. IPv4 is put under ffff::/16, which is multicast and never a sender, so
// two clients never share a key.
func addressKey(a netip.Addr) uint64 {
	a = a.Unmap()
	if a.Is4() {
		b := a.As4()
		return 0xffff<<48 | uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	key := binary.BigEndian.Uint64(b[:8])
	if key == 0 {
		return 1 // ::1 and its like; 0 marks an empty slot
	}
	return key
}

// budgetKey sets the buckets of a budget apart from the common ones. An IPv4
// address keeps a key of its own, under fffe::/16, which sends as little; two
// IPv6 networks share one by a chance of 2⁻⁶⁴.
func budgetKey(key uint64, budget string) uint64 {
	switch {
	case budget == "":
		return key
	case key>>48 == 0xffff:
		return key ^ 1<<48
	}
	if key = key*0x9e3779b97f4a7c15 ^ 0xbf58476d1ce4e5b9; key == 0 {
		return 1
	}
	return key
}

// table is the buckets of the client addresses.
type table struct {
	seed      uint64
	maxSets   int // per shard
	shards    [shardCount]shard
	evictions func() // called when a bucket that still says something goes
}

type shard struct {
	mu   sync.Mutex
	sets []set
	used int
	_    [24]byte // keeps neighbours' locks off one cache line
}

type set [ways]slot

// slot is an address and when its bucket is full again; key 0 is empty.
type slot struct {
	key  uint64
	full int64
}

// newTable makes a table that starts small and doubles, shard by shard, only
// when a bucket would be lost otherwise.
func newTable(maxAddresses int, evictions func()) *table {
	t := &table{seed: rand.Uint64(), maxSets: 1, evictions: evictions}
	for t.maxSets*2*ways*shardCount <= maxAddresses {
		t.maxSets *= 2
	}
	for i := range t.shards {
		t.shards[i].sets = make([]set, 1)
	}
	return t
}

// mix is the finaliser of SplitMix64; the seed keeps strangers from choosing
// addresses that fall into one set.
func (t *table) mix(key uint64) uint64 {
	h := key + t.seed
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// take charges n tokens to an address.
func (t *table) take(g gcra, key uint64, now int64, n int) (wait time.Duration, ok bool) {
	h := t.mix(key)
	s := &t.shards[h>>56]
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.find(t, h, key, now)
	next, wait, ok := g.take(at.full, now, n)
	at.full = next
	return wait, ok
}

// find returns the slot of a key, made or taken over when it has none.
func (s *shard) find(t *table, h, key uint64, now int64) *slot {
	for {
		st := &s.sets[h&uint64(len(s.sets)-1)]
		victim := &st[0]
		for i := range st {
			at := &st[i]
			if at.key == key {
				return at
			}
			if victim.key != 0 && (at.key == 0 || at.full < victim.full) {
				victim = at
			}
		}
		switch {
		case victim.key == 0:
			s.used++
		case victim.full <= now: // full again: as good as never seen
		case len(s.sets) < t.maxSets:
			s.grow(t)
			continue
		default:
			t.evictions()
		}
		*victim = slot{key: key}
		return victim
	}
}

// grow doubles a shard. A set's entries part into two sets, so each fits.
func (s *shard) grow(t *table) {
	old := s.sets
	s.sets = make([]set, 2*len(old))
	for i := range old {
		for _, e := range old[i] {
			if e.key == 0 {
				continue
			}
			st := &s.sets[t.mix(e.key)&uint64(len(s.sets)-1)]
			for j := range st {
				if st[j].key == 0 {
					st[j] = e
					break
				}
			}
		}
	}
}

// len is how many addresses are remembered.
func (t *table) len() int {
	n := 0
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += s.used
		s.mu.Unlock()
	}
	return n
}
