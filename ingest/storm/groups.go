package storm

import (
	"encoding/hex"
	"sort"
	"time"
)

// maxListed bounds the releases of a listed group.
const maxListed = 20

// Group is a fingerprint over all its releases, for people to see. Its counts
// are exact for as long as the fingerprint has been remembered.
type Group struct {
	Fingerprint string `json:"fingerprint"`
	// Title is an example: the error's type and its message with what differs
	// from one occurrence to the next folded, at most 80 bytes.
	Title      string    `json:"title"`
	Count      uint64    `json:"count"`
	Forwarded  uint64    `json:"forwarded"`
	Suppressed uint64    `json:"suppressed"`
	FirstSeen  time.Time `json:"first_seen"`
	LastSeen   time.Time `json:"last_seen"`
	// Releases are those it was seen in, the most recent first, at most 20.
	Releases []string `json:"releases"`
	// Storming tells that errors of it are being suppressed.
	Storming bool `json:"storming"`
	// FirstRelease is the release it was seen in first.
	FirstRelease string `json:"first_release"`
	// Recent is how many came in the running window.
	Recent uint64 `json:"recent"`
}

// Order is how Groups are sorted.
type Order string

// The orders. Each ends with the fingerprint, so that it is the same each time.
const (
	ByCount  Order = "count"  // seen most often
	ByRecent Order = "recent" // seen most often in the running window, then last
	ByNew    Order = "new"    // first seen last
)

// Orders is the closed list.
var Orders = []Order{ByRecent, ByCount, ByNew}

// Groups lists the n fingerprints of a project seen most often, nil for a
// project that is not configured.
func (c *Control) Groups(project string, n int) []Group {
	return c.GroupsBy(project, ByCount, n, time.Time{})
}

// GroupsBy is Groups in another order; now says which windows are running.
func (c *Control) GroupsBy(project string, order Order, n int, now time.Time) []Group {
	p := c.projects()[project]
	if p == nil || n <= 0 {
		return nil
	}
	return p.groups(order, n, now)
}

func (p *project) groups(order Order, n int, now time.Time) []Group {
	at := p.sums(now)
	ids := make([]ID, 0, len(at))
	for id := range at {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return order.before(ids[i], ids[j], at[ids[i]], at[ids[j]]) })
	return p.collect(ids[:min(n, len(ids))], now)
}

// Group is one fingerprint, by its 32 hexadecimal digits.
func (c *Control) Group(project, fingerprint string, now time.Time) (g Group, ok bool) {
	p := c.projects()[project]
	raw, err := hex.DecodeString(fingerprint)
	if p == nil || err != nil || len(raw) != len(ID{}) {
		return g, false
	}
	if list := p.collect([]ID{ID(raw)}, now); len(list) == 1 {
		return list[0], true
	}
	return g, false
}

// sum is what groups are sorted by.
type sum struct {
	total, recent uint64
	first, last   uint32
}

func (o Order) before(a, b ID, x, y sum) bool {
	switch {
	case o == ByNew && x.first != y.first:
		return x.first > y.first
	case o == ByRecent && x.recent != y.recent:
		return x.recent > y.recent
	case o == ByRecent && x.last != y.last:
		return x.last > y.last
	case x.total != y.total:
		return x.total > y.total
	}
	return string(a[:]) < string(b[:])
}

// sums adds the releases of each fingerprint up. The table is copied under
// the lock and added up without it: errors do not wait for a page.
func (p *project) sums(now time.Time) map[ID]sum {
	type one struct {
		id ID
		sum
	}
	p.mu.Lock()
	list := make([]one, 0, p.table.len())
	p.table.each(func(e *entry) { list = append(list, one{e.id, sum{e.total, p.recent(e, now), e.first, e.last}}) })
	p.mu.Unlock()
	sums := make(map[ID]sum, len(list))
	for _, o := range list {
		s, ok := sums[o.id]
		if !ok || o.first < s.first {
			s.first = o.first
		}
		s.total, s.recent, s.last = s.total+o.total, s.recent+o.recent, max(s.last, o.last)
		sums[o.id] = s
	}
	return sums
}

// recent is what an entry counted in the running window.
func (p *project) recent(e *entry, now time.Time) uint64 {
	if now.UnixNano()-e.windowStart >= p.window {
		return 0
	}
	return uint64(e.inWindow)
}

// collect joins the entries of the chosen fingerprints.
func (p *project) collect(ids []ID, now time.Time) []Group {
	at := make(map[ID]int, len(ids))
	for i, id := range ids {
		at[id] = i
	}
	type seen struct {
		release string
		last    uint32
	}
	groups := make([]Group, len(ids))
	releases := make([][]seen, len(ids))
	p.mu.Lock()
	p.table.each(func(e *entry) {
		i, ok := at[e.id]
		if !ok {
			return
		}
		g := &groups[i]
		first, last := time.Unix(int64(e.first), 0).UTC(), time.Unix(int64(e.last), 0).UTC()
		if g.Count == 0 || first.Before(g.FirstSeen) {
			g.FirstSeen, g.FirstRelease = first, p.table.names[e.release]
		}
		if last.After(g.LastSeen) {
			g.LastSeen = last
		}
		if e.title != "" {
			g.Title = e.title
		}
		g.Count += e.total
		g.Forwarded += e.forwarded
		g.Recent += p.recent(e, now)
		if st := p.storms[e.key]; st != nil {
			g.Storming = true
		}
		if name := p.table.names[e.release]; name != "" {
			releases[i] = append(releases[i], seen{name, e.last})
		}
	})
	p.mu.Unlock()
	out := groups[:0]
	for i, g := range groups {
		if g.Count == 0 {
			continue // forgotten in between
		}
		g.Fingerprint = ids[i].String()
		g.Suppressed = g.Count - g.Forwarded
		r := releases[i]
		sort.Slice(r, func(a, b int) bool {
			if r[a].last != r[b].last {
				return r[a].last > r[b].last
			}
			return r[a].release > r[b].release
		})
		g.Releases = []string{}
		for _, s := range r[:min(len(r), maxListed)] {
			g.Releases = append(g.Releases, s.release)
		}
		out = append(out, g)
	}
	return out
}
