package storm

import (
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
}

// Groups lists the n fingerprints of a project seen most often, nil for a
// project that is not configured.
func (c *Control) Groups(project string, n int) []Group {
	p := c.projects()[project]
	if p == nil || n <= 0 {
		return nil
	}
	return p.groups(n)
}

func (p *project) groups(n int) []Group {
	type count struct {
		id    ID
		total uint64
	}
	p.mu.Lock()
	counts := make([]count, 0, p.table.len())
	p.table.each(func(e *entry) { counts = append(counts, count{e.id, e.total}) })
	p.mu.Unlock()

	sums := make(map[ID]uint64, len(counts))
	for _, c := range counts {
		sums[c.id] += c.total
	}
	ids := make([]ID, 0, len(sums))
	for id := range sums {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool {
		if sums[ids[i]] != sums[ids[j]] {
			return sums[ids[i]] > sums[ids[j]]
		}
		return string(ids[i][:]) < string(ids[j][:])
	})
	ids = ids[:min(n, len(ids))]
	at := make(map[ID]int, len(ids))
	for i, id := range ids {
		at[id] = i
	}
	return p.collect(ids, at)
}

// collect joins the entries of the chosen fingerprints.
func (p *project) collect(ids []ID, at map[ID]int) []Group {
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
			g.FirstSeen = first
		}
		if last.After(g.LastSeen) {
			g.LastSeen = last
		}
		if e.title != "" {
			g.Title = e.title
		}
		g.Count += e.total
		g.Forwarded += e.forwarded
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
