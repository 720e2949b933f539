package sentry

import (
	"slices"
	"strings"
	"sync"
	"time"

	"breakwater/schemas"
)

// limitCap is the longest a limit is believed. Longer ones are asked about
// again once a day: a slip of an upstream must not silence it for years.
const limitCap = 24 * time.Hour

// Limits keeps the rate limits upstreams announce, each where its scope puts
// it: organization, project or key. Destinations that share a registry share
// what it learns, so a limit of an organization stops all its projects.
//
// It grows with the configured DSNs only: per scope there is one end per
// category, whatever an upstream sends. The zero value is not usable; safe for
// concurrent use.
type Limits struct {
	mu     sync.Mutex
	scopes map[string]map[schemas.Category]limit
	tell   func([]Learned)
}

// Learned is one limit of a registry: what of Category is for Scope waits until
// then. The category "" stands for all.
type Learned struct {
	Scope    string
	Category schemas.Category
	Reason   string
	Until    time.Time
}

type limit struct {
	until  time.Time
	reason string
}

// all stands for a limit over every category.
const all schemas.Category = ""

// NewLimits makes an empty registry.
func NewLimits() *Limits { return &Limits{scopes: map[string]map[schemas.Category]limit{}} }

var scopeNames = []string{"organization", "project", "key"}

// scopeKey is where a limit of a scope is kept. An organization is a host,
// and at hosted Sentry the number in its name.
func scopeKey(d schemas.DSN, scope string) string {
	host := strings.ToLower(d.Host)
	switch scope {
	case "organization":
		return scope + " " + host + " " + d.Org()
	case "project":
		return scope + " " + host + d.Path + "/" + d.ProjectID
	}
	return "key " + host + d.Path + "/" + d.ProjectID + " " + d.PublicKey
}

// Learn notes limits announced to a DSN. Of one category and scope the later
// end stays: a limit is never shortened.
func (l *Limits) Learn(d schemas.DSN, limits []schemas.RateLimit, now time.Time) {
	if len(limits) == 0 {
		return
	}
	fresh, tell := l.note(d, limits, now)
	if tell != nil && len(fresh) > 0 {
		tell(fresh)
	}
}

// Tell has f told of every limit that Learn notes: for other gateways. f must be
// quick. Call it before the first Learn.
func (l *Limits) Tell(f func([]Learned)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell = f
}

// maxAdopted bounds the scopes taken over from others, and slack is by how much
// a limit taken over must be longer to count as another one.
const (
	maxAdopted = 10_000
	slack      = time.Second
)

// Adopt notes limits that others have learned. They are believed as long as own
// ones, and never shorten one.
func (l *Limits) Adopt(list []Learned, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range list {
		if latest := now.Add(limitCap); a.Until.After(latest) {
			a.Until = latest
		}
		ends := l.scopes[a.Scope]
		if !now.Before(a.Until) || ends == nil && len(l.scopes) >= maxAdopted || ends[a.Category].until.Add(slack).After(a.Until) {
			continue
		}
		if ends == nil {
			ends = map[schemas.Category]limit{}
			l.scopes[a.Scope] = ends
		}
		ends[a.Category] = limit{a.Until, reasonWord(a.Reason)}
	}
}

func (l *Limits) note(d schemas.DSN, limits []schemas.RateLimit, now time.Time) (fresh []Learned, tell func([]Learned)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, rl := range limits {
		if latest := now.Add(limitCap); rl.Until.After(latest) {
			rl.Until = latest
		}
		if !now.Before(rl.Until) {
			continue
		}
		key := scopeKey(d, rl.Scope)
		ends := l.scopes[key]
		if ends == nil {
			ends = map[schemas.Category]limit{}
			l.scopes[key] = ends
		}
		categories := rl.Categories
		if len(categories) == 0 {
			categories = []schemas.Category{all}
		}
		for _, c := range categories {
			if rl.Until.After(ends[c].until) {
				ends[c] = limit{rl.Until, reasonWord(rl.Reason)}
				fresh = append(fresh, Learned{key, c, ends[c].reason, rl.Until})
			}
		}
	}
	return fresh, l.tell
}

// Active are the limits in force for a DSN, of all scopes, longest first.
// Categories with the same end stand together.
func (l *Limits) Active(d schemas.DSN, now time.Time) []schemas.RateLimit {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.scopes) == 0 { // nearly always, and asked for every record
		return nil
	}
	var active []schemas.RateLimit
	for _, scope := range scopeNames {
		key := scopeKey(d, scope)
		first := len(active)
		for c, lim := range l.scopes[key] {
			if !now.Before(lim.until) {
				delete(l.scopes[key], c)
				continue
			}
			active = join(active, first, c, schemas.RateLimit{Scope: scope, Reason: lim.reason, Until: lim.until})
		}
		if len(l.scopes[key]) == 0 {
			delete(l.scopes, key)
		}
	}
	for i := range active {
		slices.Sort(active[i].Categories)
	}
	slices.SortFunc(active, func(a, b schemas.RateLimit) int {
		if c := b.Until.Compare(a.Until); c != 0 {
			return c
		}
		if c := strings.Compare(a.Scope, b.Scope); c != 0 {
			return c
		}
		return slices.Compare(a.Categories, b.Categories)
	})
	return active
}

// join adds a category to the limit among list[first:] that is the same but
// for its categories, or else as a new one.
func join(list []schemas.RateLimit, first int, c schemas.Category, rl schemas.RateLimit) []schemas.RateLimit {
	if c != all {
		for i := first; i < len(list); i++ {
			if have := &list[i]; len(have.Categories) > 0 && have.Until.Equal(rl.Until) && have.Reason == rl.Reason {
				have.Categories = append(have.Categories, c)
				return list
			}
		}
		rl.Categories = []schemas.Category{c}
	}
	return append(list, rl)
}

// reasonWord keeps a reason only if it is a word of [a-z0-9_]: it is shown to
// clients again, in a header.
func reasonWord(s string) string {
	if len(s) > 64 {
		return ""
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return ""
		}
	}
	return s
}
