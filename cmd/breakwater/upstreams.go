package main

import (
	"sync/atomic"
	"time"

	"breakwater/ingest/limit"
	"breakwater/relay"
	"breakwater/schemas"
)

// upstreams tells the door what a project's upstreams refuse, so that a client
// is told at once and not after the spool. Per project it has one limiter for
// each destination, nil for those that announce no limits.
type upstreams struct {
	p atomic.Pointer[map[string][]relay.Limiter]
}

var _ limit.Upstream = (*upstreams)(nil)

func (u *upstreams) store(m map[string][]relay.Limiter) { u.p.Store(&m) }

// Limits are the limits that all destinations of the project are under: what
// one of several still takes is worth keeping.
func (u *upstreams) Limits(project string, now time.Time) []schemas.RateLimit {
	m := u.p.Load()
	if m == nil {
		return nil
	}
	list := (*m)[project]
	if len(list) == 1 {
		if list[0] == nil {
			return nil
		}
		return list[0].Limits(now)
	}
	return common(list, now)
}

// common cuts the limits of several destinations down to what all refuse: per
// category, until the first of them takes it again.
func common(list []relay.Limiter, now time.Time) []schemas.RateLimit {
	until := map[schemas.Category]time.Time{}
	for i, l := range list {
		if l == nil {
			return nil
		}
		limits := l.Limits(now)
		if len(limits) == 0 {
			return nil
		}
		for _, c := range schemas.Categories {
			var mine time.Time
			for _, rl := range limits {
				if rl.Covers(c, now) && rl.Until.After(mine) {
					mine = rl.Until
				}
			}
			if have, ok := until[c]; i == 0 || ok && mine.Before(have) {
				until[c] = mine
			}
		}
	}
	var out []schemas.RateLimit
	for _, c := range schemas.Categories {
		if until[c].After(now) {
			out = append(out, schemas.RateLimit{Categories: []schemas.Category{c}, Scope: "project", Reason: "upstream", Until: until[c]})
		}
	}
	return out
}
