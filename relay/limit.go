package relay

import (
	"time"

	"breakwater/schemas"
)

// UpstreamLimit is the reason of items dropped for an upstream's rate limit.
const UpstreamLimit = "upstream_limit"

// longest is when the last of the limits over a category ends; zero when none
// holds.
func longest(limits []schemas.RateLimit, c schemas.Category, now time.Time) (until time.Time) {
	for _, l := range limits {
		if l.Covers(c, now) && l.Until.After(until) {
			until = l.Until
		}
	}
	return until
}

// allLimited is when a limit over all categories that is worth waiting for
// ends. Then a queue need not look at its records one by one.
func allLimited(limits []schemas.RateLimit, now time.Time, hold time.Duration) (until time.Time) {
	for _, l := range limits {
		if len(l.Categories) == 0 && now.Before(l.Until) && l.Until.After(until) {
			until = l.Until
		}
	}
	if until.Sub(now) > hold {
		return time.Time{} // its items are dropped, which needs a look
	}
	return until
}

// plan is what upstream limits mean for one record.
type plan struct {
	hold time.Time // not zero: wait until then
	drop []bool    // per item; nil: nothing is dropped
}

func (p plan) dropsAll() bool {
	for _, d := range p.drop {
		if !d {
			return false
		}
	}
	return len(p.drop) > 0
}

// holdByMeta is until when a record must wait, decided by its categories
// alone, so that a limited backlog is put back without being read. Zero means
// that the items have to be looked at: nothing is limited, something is to be
// dropped, or there are attachments, which may be an event of their own.
func holdByMeta(limits []schemas.RateLimit, m *schemas.Meta, now time.Time, hold time.Duration) (wait time.Time) {
	if len(limits) == 0 {
		return time.Time{}
	}
	for _, c := range m.Counts {
		until := longest(limits, c.Category, now)
		if until.Sub(now) > hold || c.Category == schemas.CategoryAttachment {
			return time.Time{}
		}
		if until.After(wait) {
			wait = until
		}
	}
	return wait
}

// planItems decides item by item. Items under a limit longer than hold are
// dropped, and with an event-like item everything that depends on it; if
// something under a shorter limit is left, the whole record waits for it.
func planItems(limits []schemas.RateLimit, m *schemas.Meta, env *schemas.Envelope, now time.Time, hold time.Duration) plan {
	var p plan
	if len(limits) == 0 {
		return p
	}
	until := make([]time.Time, len(env.Items))
	drop := make([]bool, len(env.Items))
	some, mainGone := false, false
	for i := range env.Items {
		it := &env.Items[i]
		c, main := categoryOf(m, i, it)
		until[i] = longest(limits, c, now)
		if until[i].Sub(now) > hold {
			drop[i], some = true, true
			mainGone = mainGone || main
		}
	}
	if mainGone {
		for i := range env.Items {
			if t, _ := schemas.LookupItemType(env.Items[i].Header.Type); t.Dependent {
				drop[i] = true
			}
		}
	}
	for i := range env.Items {
		if !drop[i] && until[i].After(p.hold) {
			p.hold = until[i]
		}
	}
	if some {
		p.drop = drop
	}
	return p
}

// categoryOf is the category an item is limited by, and whether other items
// depend on it. An attachment that makes an event (a minidump) is one.
func categoryOf(m *schemas.Meta, i int, it *schemas.Item) (c schemas.Category, main bool) {
	t, _ := schemas.LookupItemType(it.Header.Type)
	if it.Header.Type == "attachment" && schemas.CreatesEvent(it.Header.AttachmentType()) {
		return schemas.CategoryError, true
	}
	if i < len(m.Counts) {
		return m.Counts[i].Category, t.Main
	}
	return t.Category, t.Main
}

// without is the record's rest when the dropped items are gone.
func without(m *schemas.Meta, env *schemas.Envelope, drop []bool) (*schemas.Meta, *schemas.Envelope) {
	rest, left := *m, &schemas.Envelope{Header: env.Header}
	rest.Counts = nil
	for i := range env.Items {
		if drop[i] {
			continue
		}
		left.Items = append(left.Items, env.Items[i])
		if i < len(m.Counts) {
			rest.Counts = append(rest.Counts, m.Counts[i])
		}
	}
	return &rest, left
}

// merge joins the finals of the delivered rest with those of the dropped
// items. nil from a destination means all delivered.
func merge(n int, drop []bool, rest []schemas.Final) []schemas.Final {
	finals := make([]schemas.Final, n)
	next := 0
	for i := range finals {
		switch {
		case drop != nil && drop[i]:
			finals[i] = schemas.Final{Outcome: schemas.RateLimited, Reason: UpstreamLimit}
			continue
		case next < len(rest):
			finals[i] = rest[next]
		default:
			finals[i] = schemas.Final{Outcome: schemas.Delivered}
		}
		next++
	}
	return finals
}
