package health

import (
	"sort"
	"time"
)

// hours is how far back a release's recent sessions are counted.
const hours = 24

// recent counts the sessions of the last day by the hour: 200 bytes a release.
type recent [hours]struct{ hour, started, crashed uint32 }

func hourOf(t time.Time) uint32 { return uint32(t.Unix() / 3600) }

// count counts sessions, in the metrics and in the last day. The hour is that
// of the report, not of the session: late crashes show when they arrive.
func (s *series) count(status string, n float64, now time.Time) {
	s.sessions[status].Add(n)
	if n <= 0 || (status != started && status != crashed) {
		return
	}
	h := hourOf(now)
	at := &s.recent[h%hours]
	if at.hour != h {
		*at = struct{ hour, started, crashed uint32 }{hour: h}
	}
	if status == started {
		at.started += uint32(n)
	} else {
		at.crashed += uint32(n)
	}
}

// sums adds up the hours that are within the last day.
func (r *recent) sums(now time.Time) (begun, bad uint64) {
	h := hourOf(now)
	for _, at := range r {
		if at.hour <= h && h-at.hour < hours {
			begun, bad = begun+uint64(at.started), bad+uint64(at.crashed)
		}
	}
	return begun, bad
}

// Release is the health of one release in one environment, for people to see.
type Release struct {
	Project     string `json:"project"`
	Environment string `json:"environment"`
	Release     string `json:"release"`
	// Sessions began and Crashed ended badly in the last 24 hours, by the
	// time of the report.
	Sessions uint64 `json:"sessions"`
	Crashed  uint64 `json:"crashed_sessions"`
	// Adoption is the release's part of the environment's sessions, 0 to 1.
	Adoption float64 `json:"adoption"`
	// Users were seen today (UTC), estimated to about 1 %; CrashedUsers had a
	// crash.
	Users        uint64 `json:"users"`
	CrashedUsers uint64 `json:"crashed_users"`
	// Errors counts error events since the start, those not relayed too.
	Errors    uint64    `json:"errors"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
}

// Releases lists the releases that have a label of their own, and the rest as
// __other__, by project and environment, the newest first. Sessions and errors
// begin with the process; users of the day and when a release was seen first
// survive an orderly restart.
func (h *Health) Releases() []Release {
	now := h.cfg.Now()
	type place struct{ project, environment string }
	all := map[place]uint64{}
	list := []Release{}
	h.mu.Lock()
	h.turnDay(now)
	for name, p := range h.projects {
		for k, s := range p.series {
			r := Release{
				Project: name, Environment: k.environment, Release: k.release, Errors: s.errors,
				FirstSeen: s.first.UTC(), LastSeen: s.last.UTC(),
			}
			if first, ok := p.firstSeen[k.release]; ok {
				r.FirstSeen = first.UTC() // a restart does not forget it
			}
			r.Sessions, r.Crashed = s.recent.sums(now)
			if s.users != nil {
				r.Users = s.users.Estimate()
			}
			if s.crashedUsers != nil {
				r.CrashedUsers = min(s.crashedUsers.Estimate(), r.Users)
			}
			all[place{name, k.environment}] += r.Sessions
			list = append(list, r)
		}
	}
	h.mu.Unlock()
	for i := range list {
		if n := all[place{list[i].Project, list[i].Environment}]; n > 0 {
			list[i].Adoption = float64(list[i].Sessions) / float64(n)
		}
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := &list[i], &list[j]
		switch {
		case a.Project != b.Project:
			return a.Project < b.Project
		case a.Environment != b.Environment:
			return a.Environment < b.Environment
		case !a.FirstSeen.Equal(b.FirstSeen):
			return a.FirstSeen.After(b.FirstSeen)
		}
		return a.Release > b.Release
	})
	return list
}
