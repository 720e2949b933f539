package limit

import (
	"sort"
	"sync"
	"time"
)

const (
	// maxRefusals bounds the listing of who is limited.
	maxRefusals = 256
	// refusalAge is how long after its last refusal a client stays listed.
	refusalAge = 5 * time.Minute
)

// Limited is one client, key or category that was refused lately.
type Limited struct {
	Project string `json:"project"`
	// Reason is one of Reasons.
	Reason string `json:"reason"`
	// Subject is the network or address, the key's name, or the category.
	Subject string `json:"subject"`
	// Refused counts requests (per_ip, per_key) or items since First.
	Refused int64     `json:"refused"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	// Until is when the client was last told to come back.
	Until time.Time `json:"until"`
}

type refusal struct{ project, reason, subject string }

// refusals remembers who was refused most. When it is full, the entry with the
// fewest refusals makes room and the newcomer goes on from its count, so
// whoever is refused a lot is never missing (Metwally's space-saving).
type refusals struct {
	mu     sync.Mutex
	index  map[refusal]int
	counts [maxRefusals]int64
	last   [maxRefusals]int64 // nanoseconds, beside the counts for a quick scan
	list   []Limited
}

func newRefusals() *refusals {
	return &refusals{index: make(map[refusal]int, maxRefusals), list: make([]Limited, 0, maxRefusals)}
}

func (r *refusals) add(who refusal, n int, now, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.index[who]
	switch {
	case ok && now.Sub(r.list[i].Last) > refusalAge:
		r.list[i].First, r.counts[i] = now, 0
	case ok:
	case len(r.list) < maxRefusals:
		i = len(r.list)
		r.list = append(r.list, Limited{Project: who.project, Reason: who.reason, Subject: who.subject, First: now})
		r.index[who] = i
	default:
		i = r.least(now)
		old := &r.list[i]
		delete(r.index, refusal{old.Project, old.Reason, old.Subject})
		if now.Sub(old.Last) > refusalAge {
			r.counts[i] = 0
		}
		*old = Limited{Project: who.project, Reason: who.reason, Subject: who.subject, First: now}
		r.index[who] = i
	}
	r.counts[i] += int64(max(n, 1))
	r.list[i].Last, r.list[i].Until = now, until
	r.last[i] = now.UnixNano()
}

// least is the entry to give up: one no longer listed, else the fewest refusals.
func (r *refusals) least(now time.Time) int {
	at, stale := 0, now.Add(-refusalAge).UnixNano()
	for i := range r.counts {
		if r.last[i] < stale {
			return i
		}
		if r.counts[i] < r.counts[at] {
			at = i
		}
	}
	return at
}

// Limited lists who was refused in the last five minutes, most refused first,
// at most 256 entries. Counts are exact until more than 256 were refused at
// the same time; then the smaller ones may be too high.
func (l *Limiter) Limited(now time.Time) []Limited {
	r := l.refused
	r.mu.Lock()
	out := make([]Limited, 0, len(r.list))
	for i, e := range r.list {
		if now.Sub(e.Last) <= refusalAge {
			e.Refused = r.counts[i]
			out = append(out, e)
		}
	}
	r.mu.Unlock()
	sort.Slice(out, func(i, j int) bool {
		if out[i].Refused != out[j].Refused {
			return out[i].Refused > out[j].Refused
		}
		return out[i].Subject < out[j].Subject
	})
	return out
}
