package limit

import (
	"sort"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Name is "limit".
func (l *Limiter) Name() string { return "limit" }

// Apply charges the items alive to the upstreams' limits, the quotas and the
// rates of their categories, and drops what none is left for, with what cannot
// live without it. What was refused, and what the upstreams have announced,
// is added to Batch.Limits. Measurements are charged to the category vital, all
// of a request or none; no upstream has a say in those. Client reports are never
// looked at. It never returns an error.
func (l *Limiter) Apply(b *ingest.Batch) error {
	req := b.Request
	if req.Project == nil {
		return nil
	}
	d := decision{l: l, project: req.Project.Name, now: req.ReceivedAt}
	d.config = l.state.Load().projects[d.project]
	if l.opts.Upstream != nil && len(b.Items) > 0 {
		d.upstream = active(l.opts.Upstream.Limits(d.project, d.now), d.now)
	}
	if d.config == nil && len(d.upstream) == 0 {
		return nil
	}
	if d.config != nil && d.config.vitals {
		if n := b.Measurements(); n > 0 {
			if reason, ok := d.charge(req.Ballot(), stepVitals, schemas.CategoryVital, n); !ok {
				b.DropMeasurements(schemas.RateLimited, reason)
			}
		}
	}
	for _, u := range unitsOf(b, (*ingest.Item).Alive) {
		if !u.items[0].Alive() {
			continue // an earlier unit took it along
		}
		reason, ok := d.decide(req.Ballot(), u)
		if ok {
			continue
		}
		for _, it := range u.items {
			b.Drop(it, schemas.RateLimited, reason)
		}
		if u.carries {
			for _, it := range b.Items {
				if it.Type.Dependent && it.Alive() {
					b.Drop(it, schemas.RateLimited, reason)
				}
			}
		}
	}
	if len(d.limits) > 0 || len(d.upstream) > 0 {
		b.Limits = announce(b.Limits, append(d.limits, d.upstream...), d.now)
	}
	return nil
}

// unit is what is charged and kept or dropped as one.
type unit struct {
	items    []*ingest.Item
	category schemas.Category
	quantity int
	// carries says that every dependent item goes with it.
	carries bool
}

// unitsOf parts the items alive, the event first: when it goes, its attachments
// must not have been charged. An event and the attachments that would make an
// event by themselves (a native crash's minidump) are one error; a replay's
// event and its recording are one unit. Of a request of many events each is
// one by itself: a list must not cost less than its reports one by one.
func unitsOf(b *ingest.Batch, alive func(*ingest.Item) bool) []unit {
	list := make([]unit, 0, len(b.Items))
	event, replay := -1, -1
	add := func(it *ingest.Item) {
		switch {
		case !b.Many && (it.Type.Main || createsEvent(it)):
			if event < 0 {
				event = len(list)
				list = append(list, unit{category: it.Category, quantity: it.Quantity, carries: true})
			}
			list[event].items = append(list[event].items, it)
		case it.Header.Type == "replay_event" || it.Header.Type == "replay_recording":
			if replay < 0 {
				replay = len(list)
				list = append(list, unit{category: it.Category})
			}
			list[replay].items = append(list[replay].items, it)
			list[replay].quantity += it.Quantity
		default:
			list = append(list, unit{items: []*ingest.Item{it}, category: it.Category, quantity: it.Quantity})
		}
	}
	pass := func(want func(*ingest.Item) bool) {
		for _, it := range b.Items {
			if alive(it) && it.Category != schemas.CategoryInternal && want(it) {
				add(it)
			}
		}
	}
	pass(func(it *ingest.Item) bool { return it.Type.Main })
	pass(func(it *ingest.Item) bool { return !it.Type.Main && createsEvent(it) })
	pass(func(it *ingest.Item) bool { return !it.Type.Main && !createsEvent(it) })
	return list
}

// createsEvent tells whether an item becomes an error without an event item.
func createsEvent(it *ingest.Item) bool {
	return !it.Type.Main && it.Category == schemas.CategoryError
}

// decision is one batch's.
type decision struct {
	l        *Limiter
	project  string
	config   *project
	now      time.Time
	upstream []schemas.RateLimit
	limits   []schemas.RateLimit
}

// decide charges a unit, or says why not.
func (d *decision) decide(q *ingest.Ballot, u unit) (reason string, ok bool) {
	c, n := u.category, max(u.quantity, 1)
	for _, l := range d.upstream {
		if l.Covers(c, d.now) {
			d.note(ReasonUpstream, c, u.quantity, l.Until)
			return ReasonUpstream, false
		}
	}
	if d.config == nil {
		return "", true
	}
	return d.charge(q, u.items[0], c, n)
}

// charge takes n of a category for who: as all gateways together decided, else
// alone.
func (d *decision) charge(q *ingest.Ballot, who any, c schemas.Category, n int) (reason string, ok bool) {
	a, answered := q.Answer(ingest.StepItems, who)
	switch {
	case !answered:
		return d.allow(c, n)
	case a.Passed:
		if r, limited := d.config.categories[c]; limited {
			_, _ = r.bucket.take(r.gcra, d.now.UnixNano(), n) // for the time when nobody answers
		}
		return "", true
	case a.ByQuota:
		return d.overQuota(c, d.config.quota[c].quota, n)
	}
	d.refuse(ReasonCategory, c, n, d.now.Add(clampRetry(a.Wait)))
	return ReasonCategory, false
}

func (d *decision) overQuota(c schemas.Category, q Quota, n int) (reason string, ok bool) {
	until := d.now.Add(schemas.BareLimit)
	if q.Limit > 0 {
		until = q.Period.end(d.now)
	}
	d.refuse(ReasonQuota, c, n, until)
	return ReasonQuota, false
}

// allow decides alone on n items of a category.
func (d *decision) allow(c schemas.Category, n int) (reason string, ok bool) {
	share := d.l.share()
	q, quota := d.config.quota[c]
	if quota && !q.counter.reserve(q.quota, d.now, int64(n), share) {
		return d.overQuota(c, q.quota, n)
	}
	if r, limited := d.config.categories[c]; limited {
		wait, ok := r.bucket.take(r.gcra.share(share), d.now.UnixNano(), n)
		if !ok {
			if quota {
				q.counter.release(d.now, int64(n))
			}
			d.refuse(ReasonCategory, c, n, d.now.Add(clampRetry(wait)))
			return ReasonCategory, false
		}
	}
	if quota {
		d.l.quotas.touched()
	}
	return "", true
}

func (d *decision) refuse(reason string, c schemas.Category, n int, until time.Time) {
	d.limits = append(d.limits, schemas.RateLimit{
		Categories: []schemas.Category{c}, Scope: "project", Reason: reason, Until: until,
	})
	d.note(reason, c, n, until)
}

func (d *decision) note(reason string, c schemas.Category, n int, until time.Time) {
	d.l.refused.add(refusal{d.project, reason, string(c)}, n, d.now, until)
}

func active(limits []schemas.RateLimit, now time.Time) []schemas.RateLimit {
	var out []schemas.RateLimit
	for _, l := range limits {
		if now.Before(l.Until) {
			out = append(out, l)
		}
	}
	return out
}

// announce joins limits so that no SDK learns a shorter wait than the longest.
// The JavaScript SDK lets a later entry of a category overwrite an earlier one,
// and looks at "all categories" only where a category has no entry of its own;
// so the longest stands last, and an entry that a longer "all" covers is left
// out.
func announce(a, b []schemas.RateLimit, now time.Time) []schemas.RateLimit {
	merged := schemas.MergeRateLimits(a, b, now)
	var all time.Time
	for _, l := range merged {
		if len(l.Categories) == 0 && l.Until.After(all) {
			all = l.Until
		}
	}
	out := merged[:0]
	for _, l := range merged {
		if len(l.Categories) == 0 || l.Until.After(all) {
			out = append(out, l)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Until.Before(out[j].Until) })
	return out
}
