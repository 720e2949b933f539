package ingest

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// OtherLabel is the label value of everything that found no place of its own:
// the budget of label values is spent, and what is left is counted together.
const OtherLabel = "__other__"

// CleanLabel makes a stranger's text fit to be a label value: valid UTF-8
// (client_golang panics on anything else), no control characters, no white
// space around it, at most longest bytes.
func CleanLabel(s string, longest int) string {
	s = strings.TrimSpace(s)
	clean := len(s) <= longest
	for i := 0; clean && i < len(s); i++ {
		clean = s[i] >= 0x20 && s[i] < 0x7f
	}
	if clean {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > longest {
		s = s[:longest]
		for len(s) > 0 {
			if r, n := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || n > 1 {
				break
			}
			s = s[:len(s)-1]
		}
	}
	return strings.TrimSpace(s)
}

// FirstSlots gives the first n different values a label of their own and
// everything later OtherLabel: right for what hardly ever changes, such as
// environments. A value keeps its place for the life of the process. Not safe
// for concurrent use.
type FirstSlots struct {
	n      int
	values map[string]string
}

// NewFirstSlots makes n places.
func NewFirstSlots(n int) *FirstSlots { return &FirstSlots{n: n, values: make(map[string]string, n)} }

// Label is the value's label: itself or OtherLabel. The string returned for
// one value is always the same one, so keeping it costs no memory.
func (s *FirstSlots) Label(value string) string {
	if v, ok := s.values[value]; ok {
		return v
	}
	if value == OtherLabel || len(s.values) >= s.n {
		return OtherLabel
	}
	value = strings.Clone(value)
	s.values[value] = value
	return value
}

// The pace at which newcomers may push an older value out of NewestSlots:
// more than anybody deploys, far less than it takes to flood a time series
// database with forged names.
const (
	slotBurst  = 20
	slotRefill = 10 * time.Minute
	// slotGuard is how many sightings make the busiest value safe from newcomers.
	slotGuard = 100
	// slotMemory bounds how many former values are remembered.
	slotMemory = 4096
	slotDecay  = 10_000
)

// NewestSlots gives the newest n values, by first sight, a label of their own
// and everything else OtherLabel: right for releases. A newcomer takes the
// place of the oldest; the value that makes up half of all recent sightings
// (at least 100) is never pushed out, so forged names cannot hide the release
// that is live. A value that lost its place does not come back, and newcomers
// are let in at most 20 in a burst, then one in ten minutes: names made up by
// a stranger cost OtherLabel, not series. Not safe for concurrent use.
type NewestSlots struct {
	n      int
	slots  []slot // oldest first
	former map[string]struct{}
	order  []string // former, oldest first
	total  int
	tokens float64
	last   time.Time
}

type slot struct {
	value string
	hits  int
}

// NewNewestSlots makes n places; n below 1 means 1.
func NewNewestSlots(n int) *NewestSlots {
	return &NewestSlots{n: max(n, 1), former: map[string]struct{}{}, tokens: slotBurst}
}

// Label is the value's label: itself or OtherLabel. When the value took
// another's place, retired names that one: its series must be deleted, since
// from now on it is counted under OtherLabel.
func (s *NewestSlots) Label(value string, now time.Time) (label, retired string) {
	for i := range s.slots {
		if s.slots[i].value == value {
			s.hit(i)
			return s.slots[i].value, ""
		}
	}
	if _, gone := s.former[value]; gone || value == OtherLabel {
		return OtherLabel, ""
	}
	if len(s.slots) >= s.n {
		victim := s.victim()
		if victim < 0 || !s.take(now) {
			return OtherLabel, ""
		}
		retired = s.slots[victim].value
		s.slots = append(s.slots[:victim], s.slots[victim+1:]...)
		s.forget(retired)
	}
	value = strings.Clone(value)
	s.slots = append(s.slots, slot{value: value})
	s.hit(len(s.slots) - 1)
	return value, retired
}

// Current tells whether a value holds a place now.
func (s *NewestSlots) Current(value string) bool {
	for i := range s.slots {
		if s.slots[i].value == value {
			return true
		}
	}
	return false
}

// Values are the values that hold a place, oldest first.
func (s *NewestSlots) Values() []string {
	values := make([]string, len(s.slots))
	for i := range s.slots {
		values[i] = s.slots[i].value
	}
	return values
}

// Former are values that lost their place and will not come back, oldest first.
func (s *NewestSlots) Former() []string { return s.order }

// Restore puts a new NewestSlots where another one was: values of Former and of
// Values. When it has fewer places, the oldest values lose theirs.
func (s *NewestSlots) Restore(former, values []string) {
	newest := max(0, len(values)-s.n)
	for _, v := range slices.Concat(former, values[:newest]) {
		if _, known := s.former[v]; !known {
			s.forget(strings.Clone(v))
		}
	}
	for _, v := range values[newest:] {
		if v != OtherLabel && !s.Current(v) {
			s.slots = append(s.slots, slot{value: strings.Clone(v)})
		}
	}
}

func (s *NewestSlots) hit(i int) {
	s.slots[i].hits++
	if s.total++; s.total >= slotDecay {
		s.total = 0
		for j := range s.slots {
			s.slots[j].hits /= 2
			s.total += s.slots[j].hits
		}
	}
}

func (s *NewestSlots) victim() int {
	for i := range s.slots {
		if h := s.slots[i].hits; h < slotGuard || 2*h < s.total {
			return i
		}
	}
	return -1
}

func (s *NewestSlots) take(now time.Time) bool {
	if !s.last.IsZero() && now.After(s.last) {
		s.tokens = min(slotBurst, s.tokens+float64(now.Sub(s.last))/float64(slotRefill))
	}
	s.last = now
	if s.tokens < 1 {
		return false
	}
	s.tokens--
	return true
}

func (s *NewestSlots) forget(value string) {
	if len(s.order) >= slotMemory {
		delete(s.former, s.order[0])
		s.order = s.order[1:]
	}
	s.former[value] = struct{}{}
	s.order = append(s.order, value)
}

// Seen remembers hashes of what was already counted, in bounded memory: two
// generations of at most n each, so the newest n are always known and about
// 2n at most are held (some 20 bytes each for hashes of 64 bits, 30 for 128). Not
// safe for concurrent use.
type Seen[H comparable] struct {
	n        int
	young    map[H]struct{}
	old      map[H]struct{}
	Rotation int // how often a generation was forgotten
}

// NewSeen remembers at least the newest n hashes.
func NewSeen[H comparable](n int) *Seen[H] { return &Seen[H]{n: max(n, 1), young: map[H]struct{}{}} }

// Has tells whether the hash was added and is still remembered.
func (s *Seen[H]) Has(h H) bool {
	if _, ok := s.young[h]; ok {
		return true
	}
	_, ok := s.old[h]
	return ok
}

// Add remembers a hash and tells whether it was new. What is asked for again
// stays remembered longest.
func (s *Seen[H]) Add(h H) (fresh bool) {
	if _, ok := s.young[h]; ok {
		return false
	}
	_, known := s.old[h]
	s.Remember(h)
	return !known
}

// Remember is Add for those who know that the hash is new.
func (s *Seen[H]) Remember(h H) {
	if len(s.young) >= s.n {
		s.old, s.young = s.young, make(map[H]struct{}, s.n/4)
		s.Rotation++
	}
	s.young[h] = struct{}{}
}

// Len is how many hashes are held.
func (s *Seen[H]) Len() int { return len(s.young) + len(s.old) }

// Hashes are all hashes held, the older generation first; feeding them to Add
// in this order restores the memory.
func (s *Seen[H]) Hashes() []H {
	all := make([]H, 0, s.Len())
	for h := range s.old {
		if _, twice := s.young[h]; !twice {
			all = append(all, h)
		}
	}
	for h := range s.young {
		all = append(all, h)
	}
	return all
}
