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
}

// roll begins a new period when the clock has entered one. A clock that went
// back does not bring the old period's count back, nor reset the new one's.
func (c *counter) roll(now time.Time) {
	if s := Day.start(now); s.After(c.dayStart) {
		c.dayStart, c.day = s, 0
	}
	if s := Month.start(now); s.After(c.monthStart) {
		c.monthStart, c.month = s, 0
	}
}

// reserve counts n items if the quota has room for all of them.
func (c *counter) reserve(q Quota, now time.Time, n int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roll(now)
	if c.used(q.Period) > q.Limit-n {
		return false
	}
	c.day += n
	c.month += n
	return true
}

// release gives n items back that were not accepted after all.
func (c *counter) release(now time.Time, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roll(now)
	c.day = max(c.day-n, 0)
	c.month = max(c.month-n, 0)
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
