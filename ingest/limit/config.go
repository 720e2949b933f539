package limit

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"

	"breakwater/schemas"
)

// MaxRate is the highest rate that can be configured, in tokens per second.
// Above it the nanosecond clock of a bucket would be too coarse.
const MaxRate = 1e6

// Rate is a token bucket's configuration. The zero value limits nothing.
type Rate struct {
	// PerSecond is how many tokens come back each second.
	PerSecond float64
	// Burst is how many tokens a full bucket holds. 0 means one second's worth,
	// at least 1.
	Burst int
}

// Limits tells whether the rate limits anything.
func (r Rate) Limits() bool { return r.PerSecond > 0 }

// Validate reports a rate that cannot be kept.
func (r Rate) Validate() error {
	switch {
	case math.IsNaN(r.PerSecond) || r.PerSecond < 0:
		return errors.New("rate must not be negative")
	case r.PerSecond > MaxRate:
		return fmt.Errorf("rate must be at most %.0f/s", MaxRate)
	case r.Burst < 0:
		return errors.New("burst must not be negative")
	case r.Burst > 0 && !r.Limits():
		return errors.New("burst needs a rate above 0")
	}
	return nil
}

// ParseRate reads "50/s", "0.5/s", "300/m" or "1000/h" into tokens per second.
func ParseRate(s string) (perSecond float64, err error) {
	count, unit, ok := strings.Cut(strings.TrimSpace(s), "/")
	if !ok {
		return 0, fmt.Errorf("rate %q: want a number and a unit, like 50/s", s)
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(count), 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || n < 0 {
		return 0, fmt.Errorf("rate %q: want a number before the slash, like 50/s", s)
	}
	switch strings.ToLower(strings.TrimSpace(unit)) {
	case "s", "sec", "second":
	case "m", "min", "minute":
		n /= 60
	case "h", "hour":
		n /= 3600
	default:
		return 0, fmt.Errorf("rate %q: unit must be s, m or h", s)
	}
	if n > MaxRate {
		return 0, fmt.Errorf("rate %q: at most %.0f/s", s, MaxRate)
	}
	return n, nil
}

// Period is the calendar unit, in UTC, over which a quota counts.
type Period string

// The periods of a quota.
const (
	Day   Period = "day"
	Month Period = "month"
)

func (p Period) other() Period {
	if p == Day {
		return Month
	}
	return Day
}

// Quota is how many items of a category a project may have accepted in a
// calendar period. Limit 0 refuses the category altogether.
type Quota struct {
	Limit  int64
	Period Period
}

// ParseQuota reads "1000000/month" or "50000/day".
func ParseQuota(s string) (Quota, error) {
	count, unit, ok := strings.Cut(strings.TrimSpace(s), "/")
	if !ok {
		return Quota{}, fmt.Errorf("quota %q: want a number and a period, like 1000000/month", s)
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(strings.TrimSpace(count), "_", ""), 10, 64)
	if err != nil || n < 0 {
		return Quota{}, fmt.Errorf("quota %q: want a whole number before the slash", s)
	}
	switch p := Period(strings.ToLower(strings.TrimSpace(unit))); p {
	case Day, Month:
		return Quota{Limit: n, Period: p}, nil
	}
	return Quota{}, fmt.Errorf("quota %q: period must be day or month", s)
}

// start is the number of the period a time falls into: later periods have
// higher numbers.
func (p Period) start(now time.Time) time.Time {
	now = now.UTC()
	if p == Day {
		return time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	}
	return time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// end is when the period a time falls into is over.
func (p Period) end(now time.Time) time.Time {
	s := p.start(now)
	if p == Day {
		return s.AddDate(0, 0, 1)
	}
	return s.AddDate(0, 1, 0)
}

// Config are one project's limits. The zero value limits nothing.
type Config struct {
	// PerKey counts requests of each public key.
	PerKey Rate
	// Categories count items, containers by their members.
	Categories map[schemas.Category]Rate
	// Quota counts items per calendar period.
	Quota map[schemas.Category]Quota
}

// Validate reports the first limit that cannot be kept, in the order of the
// category names.
func (c Config) Validate() error {
	if err := c.PerKey.Validate(); err != nil {
		return fmt.Errorf("per_key: %w", err)
	}
	for _, cat := range sortedKeys(c.Categories) {
		if err := checkCategory(cat); err != nil {
			return fmt.Errorf("categories: %w", err)
		}
		if err := c.Categories[cat].Validate(); err != nil {
			return fmt.Errorf("categories.%s: %w", cat, err)
		}
	}
	for _, cat := range sortedKeys(c.Quota) {
		q := c.Quota[cat]
		if err := checkCategory(cat); err != nil {
			return fmt.Errorf("quota: %w", err)
		}
		if q.Limit < 0 {
			return fmt.Errorf("quota.%s: must not be negative", cat)
		}
		if q.Period != Day && q.Period != Month {
			return fmt.Errorf("quota.%s: period must be day or month", cat)
		}
	}
	return nil
}

func checkCategory(c schemas.Category) error {
	if !schemas.KnownCategory(c) {
		return fmt.Errorf("unknown category %q", c)
	}
	if c == schemas.CategoryInternal {
		return fmt.Errorf("category %q cannot be limited: client reports always pass", c)
	}
	return nil
}

func sortedKeys[V any](m map[schemas.Category]V) []schemas.Category {
	keys := make([]schemas.Category, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return keys[i] < keys[j] })
	return keys
}
