package limit

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"breakwater/schemas"
)

// quotas are the counters of all projects, those configured and those that
// were: a quota that is taken out and put back in the same month goes on.
type quotas struct {
	path   string
	shared bool // other gateways count, too
	log    zerolog.Logger

	mu       sync.Mutex
	counters map[counterID]*counter

	dirty atomic.Bool
	save  sync.Mutex // one writer of the file
	bad   bool       // the last save failed; guarded by save
}

type counterID struct {
	project  string
	category schemas.Category
}

// counter counts what was accepted in the running day and the running month,
// so that a quota may change its period. What is used of a quota is heard, alone
// and offered together.
type counter struct {
	mu                   sync.Mutex
	dayStart, monthStart time.Time
	// heard is what the fleet said last was used, of which told was counted here
	// alone. Without a fleet, heard is what was counted before the last start.
	heard, told pair
	// alone is what was counted without the fleet's knowledge since, and offered
	// the part that is on its way to the fleet, in one question at a time.
	alone, offered pair
}

// pair is a number for the running day and one for the running month.
type pair struct{ day, month int64 }

func (p *pair) of(period Period) *int64 {
	if period == Day {
		return &p.day
	}
	return &p.month
}

// roll begins a new period when the clock has entered one. A clock that went
// back does not bring the old period's count back, nor reset the new one's.
func (c *counter) roll(now time.Time) {
	for _, p := range [...]Period{Day, Month} {
		if start, s := c.start(p), p.start(now); s.After(*start) {
			*start = s
			*c.heard.of(p), *c.told.of(p), *c.alone.of(p), *c.offered.of(p) = 0, 0, 0, 0
		}
	}
}

func (c *counter) start(p Period) *time.Time {
	if p == Day {
		return &c.dayStart
	}
	return &c.monthStart
}

// reserve counts n items if the quota has room for all of them. Of share
// gateways that do not hear of each other, each takes its part of what was left.
func (c *counter) reserve(q Quota, now time.Time, n int64, share int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roll(now)
	used, alone := c.used(q.Period), *c.alone.of(q.Period)
	if used > q.Limit-n || share > 1 && alone+n > (q.Limit-(used-alone))/int64(share) {
		return false
	}
	c.alone.day += n
	c.alone.month += n
	return true
}

// release gives n items back that were not accepted after all. Those that the
// fleet was told of meanwhile go off what it is told next.
func (c *counter) release(now time.Time, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roll(now)
	for _, p := range [...]Period{Day, Month} {
		*c.alone.of(p) -= min(n, c.used(p))
	}
}

// offer is what one question tells the fleet of a counter.
type offer struct {
	known, fresh, told int64 // see ingest.StepQuota
}

// offer is what the fleet has to know before it can decide on n items. Each learn
// ends one offer. ok is false when there is no room, whatever the fleet says;
// about no items there is always room.
func (c *counter) offer(q Quota, now time.Time, n int64) (o offer, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roll(now)
	if n > 0 && c.used(q.Period) > q.Limit-n {
		return o, false
	}
	alone, offered := c.alone.of(q.Period), c.offered.of(q.Period)
	if *offered == 0 && *alone > 0 {
		o.fresh, *offered, *alone = *alone, *alone, 0
	}
	o.known, o.told = *c.heard.of(q.Period), *c.told.of(q.Period)
	return o, true
}

// learn writes down an answer to what was asked at a time: took items were let
// in, and all gateways together have used so many. Without an answer the offer
// is taken back; it may have reached the fleet all the same, which then knows it
// again by how much it was told before.
func (c *counter) learn(p Period, asked time.Time, fresh, took, used int64, answered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roll(asked)
	if c.start(p).Equal(p.start(asked)) {
		*c.offered.of(p) -= fresh
		if answered {
			*c.told.of(p) += fresh
			// Answers may come in another order than they were given in.
			*c.heard.of(p) = max(*c.heard.of(p), used)
		} else {
			*c.alone.of(p) += fresh
		}
	}
	if other := p.other(); answered && c.start(other).Equal(other.start(asked)) {
		*c.heard.of(other) += took
	}
}

func (c *counter) used(p Period) int64 {
	return *c.heard.of(p) + *c.alone.of(p) + *c.offered.of(p)
}

func (q *quotas) counter(project string, cat schemas.Category) *counter {
	q.mu.Lock()
	defer q.mu.Unlock()
	id := counterID{project, cat}
	c := q.counters[id]
	if c == nil {
		c = &counter{}
		q.counters[id] = c
	}
	return c
}

// touched marks the counts as changed since the last save.
func (q *quotas) touched() {
	if !q.dirty.Load() {
		q.dirty.Store(true)
	}
}

// QuotaState is a quota for people to see.
type QuotaState struct {
	Project  string           `json:"project"`
	Category schemas.Category `json:"category"`
	Period   Period           `json:"period"`
	Limit    int64            `json:"limit"`
	Used     int64            `json:"used"`
	// Resets is the end of the running period, UTC.
	Resets time.Time `json:"resets"`
}

// Quotas lists the configured quotas by project and category.
func (l *Limiter) Quotas(now time.Time) []QuotaState {
	list := []QuotaState{}
	for name, p := range l.state.Load().projects {
		for cat, q := range p.quota {
			q.counter.mu.Lock()
			q.counter.roll(now)
			used := q.counter.used(q.quota.Period)
			q.counter.mu.Unlock()
			list = append(list, QuotaState{
				Project: name, Category: cat, Period: q.quota.Period,
				Limit: q.quota.Limit, Used: used, Resets: q.quota.Period.end(now),
			})
		}
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].Project != list[j].Project {
			return list[i].Project < list[j].Project
		}
		return list[i].Category < list[j].Category
	})
	return list
}
