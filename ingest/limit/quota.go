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
	path string
	log  zerolog.Logger

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
// so that a quota may change its period.
type counter struct {
	mu         sync.Mutex
	dayStart   time.Time
	day        int64
	monthStart time.Time
	month      int64
	// alone is what was counted of a period without the fleet's knowledge, and
	// offered the part of it that is on its way to the fleet.
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
	if s := Day.start(now); s.After(c.dayStart) {
		c.dayStart, c.day, c.alone.day, c.offered.day = s, 0, 0, 0
	}
	if s := Month.start(now); s.After(c.monthStart) {
		c.monthStart, c.month, c.alone.month, c.offered.month = s, 0, 0, 0
	}
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
	c.day += n
	c.month += n
	return true
}

// release gives n items back that were not accepted after all.
func (c *counter) release(now time.Time, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roll(now)
	c.day, c.alone.day = max(c.day-n, 0), max(c.alone.day-n, 0)
	c.month, c.alone.month = max(c.month-n, 0), max(c.alone.month-n, 0)
}

// offer is what the fleet has to know before it can decide on n items: what it
// said last was used, and what was counted here alone since. Each learn ends one
// offer. ok is false when there is no room, whatever the fleet says.
func (c *counter) offer(q Quota, now time.Time, n int64) (known, fresh int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roll(now)
	used := c.used(q.Period)
	if used > q.Limit-n {
		return 0, 0, false
	}
	alone, offered := c.alone.of(q.Period), c.offered.of(q.Period)
	fresh = *alone
	known = used - *alone - *offered
	*alone, *offered = 0, *offered+fresh
	return known, fresh, true
}

// learn writes down an answer: took items were let in, and all gateways
// together have used so many. Without an answer the offer is taken back.
func (c *counter) learn(p Period, now time.Time, fresh, took, used int64, answered bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roll(now)
	*c.offered.of(p) = max(*c.offered.of(p)-fresh, 0)
	if !answered {
		*c.alone.of(p) += fresh
		return
	}
	// used has what was taken now; answers may come in another order than they
	// were given in.
	if p == Day {
		c.day = max(c.day, used+c.alone.day+c.offered.day)
		c.month += took
	} else {
		c.month = max(c.month, used+c.alone.month+c.offered.month)
		c.day += took
	}
}

func (c *counter) used(p Period) int64 {
	if p == Day {
		return c.day
	}
	return c.month
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
