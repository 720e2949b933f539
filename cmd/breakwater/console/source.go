package console

import (
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// How long an answer is good for: many viewers, live pages and impatient
// fingers ask the parts behind once.
const (
	freshQueues = time.Second
	freshLedger = time.Second
	freshSlow   = 5 * time.Second // error groups, releases, vitals: they walk tables
	maxGroups   = 200
)

// source is everything the pages read, remembered for a moment.
type source struct {
	o Options

	mu   sync.Mutex
	kept map[string]kept
	last float64 // what the ledger was off by, the time before
}

type kept struct {
	at    time.Time
	value any
}

func newSource(o Options) *source { return &source{o: o, kept: map[string]kept{}} }

// remember answers from memory while that is fresh. Asking takes turns: two
// who ask at once cause one reading.
func remember[T any](s *source, key string, fresh time.Duration, read func() T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	if k, ok := s.kept[key]; ok && now.Sub(k.at) < fresh && now.Sub(k.at) >= 0 {
		return k.value.(T)
	}
	v := read()
	s.kept[key] = kept{now, v}
	return v
}

// forget makes the next question a fresh one: after an action.
func (s *source) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.kept)
}

func (s *source) stats() spool.Stats {
	return remember(s, "stats", freshQueues, s.o.Spool.Stats)
}

func (s *source) spool() SpoolState {
	st, now := s.stats(), s.o.Now()
	out := SpoolState{
		Capacity: st.Capacity, Used: st.Used, Free: st.Free, MinFree: st.MinFree, Records: st.Records, Damaged: st.Damaged,
		Growth: st.Growth, Projects: st.Projects,
	}
	if out.Projects == nil {
		out.Projects = []spool.ProjectUse{}
	}
	if left, ok := st.Full(); ok {
		t := left.Seconds()
		out.TimeToFull = &t
	}
	for _, q := range st.Queues {
		out.Dead += q.Dead
		if !q.Oldest.IsZero() && (out.OldestAt.IsZero() || q.Oldest.Before(out.OldestAt)) {
			out.OldestAt = q.Oldest.UTC()
			out.OldestAge = max(now.Sub(q.Oldest).Seconds(), 0)
		}
	}
	return out
}

// waiting is how many items wait, counted for each destination.
func (s *source) waiting() (items float64) {
	for _, q := range s.stats().Queues {
		items += float64(q.Items)
	}
	return items
}

// destinations joins the queues of the spool with the loop's state.
func (s *source) destinations() []Destination {
	st, now := s.stats(), s.o.Now()
	list := []Destination{}
	at := map[spool.Destination]int{}
	for _, r := range remember(s, "relay", freshQueues, s.o.Relay.Status) {
		d := Destination{
			Project: r.Project, Name: r.Name, Target: place(r.Target), State: r.State, Paused: r.Paused, InFlight: r.InFlight,
			Concurrency: r.Concurrency, Attempts: r.Attempts, Delivered: r.Delivered, Failures: r.Failures,
			DownSince: r.DownSince.UTC(), NextRetry: r.NextRetry.UTC(), Last: r.Last, LastStatus: r.LastStatus, LastAt: r.LastAt.UTC(),
			LastError: Visible(r.LastError, 400), LastErrorAt: r.LastErrorAt.UTC(), LastSuccess: r.LastSuccess.UTC(), Alert: r.Alert,
			Limits: []Window{}, Configured: true,
		}
		for _, l := range r.Limits {
			w := Window{Categories: l.Categories, Reason: Visible(l.Reason, 100), Until: l.Until.UTC()}
			if w.Categories == nil {
				w.Categories = []schemas.Category{}
			}
			d.Limits = append(d.Limits, w)
		}
		at[r.Destination] = len(list)
		list = append(list, d)
	}
	for _, q := range st.Queues {
		i, ok := at[q.Destination]
		if !ok {
			if q.Records == 0 && q.Dead == 0 {
				continue
			}
			i = len(list)
			list = append(list, Destination{Project: q.Project, Name: q.Name, State: "removed", Limits: []Window{}})
		}
		d := &list[i]
		d.Depth, d.Items, d.Bytes, d.Dead, d.DeadBytes = q.Records, q.Items, q.Bytes, q.Dead, q.DeadSize
		if !q.Oldest.IsZero() {
			d.OldestAt, d.OldestAge = q.Oldest.UTC(), max(now.Sub(q.Oldest).Seconds(), 0)
		}
	}
	slices.SortFunc(list, func(a, b Destination) int { return strings.Compare(a.ID(), b.ID()) })
	return list
}

// place is an upstream's address without who we are there: the configuration
// hides DSNs, keys included.
func place(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	u.User = nil
	return Visible(u.String(), 300)
}

// groups are the error groups of one project, or of all when it is "".
func (s *source) groups(project, order string, n int) []Group {
	n = min(n, maxGroups)
	if !slices.Contains(Orders, order) {
		order = Orders[0]
	}
	names := of(s.o.State.Projects(), project, func(name string) string { return name }) // remembers nothing of made-up names
	list := []Group{}
	for _, name := range names {
		list = append(list, remember(s, "groups/"+order+"/"+name, freshSlow, func() []Group { return s.o.State.Groups(name, order, maxGroups) })...)
	}
	if len(names) > 1 {
		slices.SortStableFunc(list, func(a, b Group) int { return before(order, a, b) })
	}
	return list[:min(n, len(list))]
}

func before(order string, a, b Group) int {
	compare := func(x, y uint64) int {
		switch {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	}
	var c int
	switch order {
	case "new":
		c = b.FirstSeen.Compare(a.FirstSeen)
	case "recent":
		if c = compare(a.Recent, b.Recent); c == 0 {
			c = b.LastSeen.Compare(a.LastSeen)
		}
	}
	if c == 0 {
		c = compare(a.Count, b.Count)
	}
	return c
}

func (s *source) releases(project string) []Release {
	all := remember(s, "releases", freshSlow, func() []Release {
		list := s.o.State.Releases()
		for i := range list {
			r := &list[i]
			r.CrashFreeSessions, r.CrashFreeUsers = free(r.Crashed, r.Sessions), free(r.CrashedUsers, r.Users)
		}
		return list
	})
	return of(all, project, func(r Release) string { return r.Project })
}

// free is the share without a crash, nil when there is nothing to share.
func free(bad, all uint64) *float64 {
	if all == 0 {
		return nil
	}
	v := 1 - float64(min(bad, all))/float64(all)
	return &v
}

func (s *source) vitals(project string) []Vital {
	all := remember(s, "vitals", freshSlow, func() []Vital {
		list := s.o.State.Vitals()
		for i := range list {
			if n := list[i].Samples; n > 0 {
				share := float64(list[i].Good) / float64(n)
				list[i].ShareGood = &share
			}
		}
		return list
	})
	return of(all, project, func(v Vital) string { return v.Project })
}

// of keeps what belongs to a project; "" keeps all. It is never nil.
func of[T any](all []T, project string, name func(T) string) []T {
	list := []T{}
	for _, v := range all {
		if project == "" || name(v) == project {
			list = append(list, v)
		}
	}
	return list
}
