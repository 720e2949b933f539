package main

import (
	"slices"
	"time"
)

// limitCheck compares what a limited project was granted with its limit.
type limitCheck struct {
	Rate    int     `json:"per_second"`
	Seconds float64 `json:"seconds_with_redis"`
	Taken   int     `json:"accepted"`
	OfLimit float64 `json:"of_the_limit"` // most: 1.1
	// Bursts is how much of it the bursts may be, one in each stretch.
	Bursts float64 `json:"of_the_limit_by_bursts_at_most"`
	// Worst is the highest of any single stretch, its one burst taken off.
	Worst float64 `json:"of_the_limit_in_the_worst_stretch"`
	// Calm are the stretches without any fault, in which the limit must also be
	// reached, as far as the refusals say: see due.
	CalmSeconds float64 `json:"calm_seconds"`
	CalmDue     float64 `json:"due_of_the_limit_when_calm"`
	OfCalm      float64 `json:"of_the_limit_when_calm"` // least: 0.9 of what is due
	// Without is the rest of the time: each gateway limits alone.
	Without float64 `json:"of_the_limit_without_redis"`
}

// settling is how long after a fault of Redis the gateways may take to use it
// again; a stretch shorter than that is not looked at.
const settling = 3 * time.Second

// stretch is a part of a run.
type stretch struct{ from, to time.Time }

func (s stretch) seconds() float64 { return s.to.Sub(s.from).Seconds() }

// holds tells whether the other one lies in it wholly, touches whether a part of it
// may.
func (s stretch) holds(o stretch) bool   { return !o.from.Before(s.from) && o.to.Before(s.to) }
func (s stretch) touches(o stretch) bool { return !o.to.Before(s.from) && o.from.Before(s.to) }

// broken is when given incidents last, and the gateways settle after them.
func broken(past []incident, matters func(incident) bool) (list []stretch) {
	for _, i := range past {
		if matters(i) {
			list = append(list, stretch{i.Begin, i.End.Add(settling)})
		}
	}
	return list
}

// apart are the parts of a run between the others, those that are long enough.
func apart(whole stretch, others ...[]stretch) (list []stretch) {
	cuts := slices.SortedFunc(slices.Values(slices.Concat(others...)), func(a, b stretch) int { return a.from.Compare(b.from) })
	from := whole.from.Add(settling)
	for _, c := range append(cuts, stretch{whole.to, whole.to}) {
		if c.from.Sub(from) > settling {
			list = append(list, stretch{from, c.from})
		}
		if c.to.After(from) {
			from = c.to
		}
	}
	return list
}

func secondsOf(list []stretch) (sum float64) {
	for _, s := range list {
		sum += s.seconds()
	}
	return sum
}

// taken counts the requests that were granted in it for certain.
func (s stretch) taken(asked []decision) (n int) {
	for _, d := range asked {
		if d.taken() && s.holds(d.stretch) {
			n++
		}
	}
	return n
}

// starved tells whether the project got less than its limit in a calm.
func (c *limitCheck) starved() bool { return c.CalmSeconds > 0 && c.OfCalm < 0.9*c.CalmDue }

// due is what a bucket must have granted in a stretch for the refusals in it to be
// right. At a refusal it is empty. From one to the next it has granted what came into
// it meanwhile, or a whole burst when it may have run over. That asks nothing of how
// evenly requests came, and of the moment of a refusal only that it lies between
// question and answer.
func (s stretch) due(asked []decision, rate, burst float64) float64 {
	var refused []decision
	for _, d := range asked {
		if d.refused() && s.holds(d.stretch) {
			refused = append(refused, d)
		}
	}
	if len(refused) == 0 {
		return 0
	}
	slices.SortFunc(refused, func(a, b decision) int { return a.to.Compare(b.to) })
	due, first, last := 0.0, refused[0], refused[0] // of refusals so close that it did not run over between them
	upTo := first.from
	granted := func(from, to time.Time, most float64) float64 {
		return max(min(to.Sub(from).Seconds()*rate, most)-1, 0) // it was less than one from being granted
	}
	for _, d := range refused[1:] {
		if d.to.Sub(last.from).Seconds()*rate > burst-1 {
			due += granted(first.to, upTo, upTo.Sub(first.to).Seconds()*rate) + granted(last.to, d.from, burst)
			first, upTo = d, d.from
		}
		if last = d; d.from.After(upTo) {
			upTo = d.from
		}
	}
	return due + granted(first.to, upTo, upTo.Sub(first.to).Seconds()*rate)
}

// checkLimit looks at a limited project's requests. alone is when gateways decided
// without Redis.
func checkLimit(asked []decision, rate, burst int, whole stretch, past []incident, alone []stretch) (c limitCheck) {
	c.Rate = rate
	of := func(n, seconds float64) float64 { return n / max(seconds*float64(rate), 1) }
	shared := apart(whole, broken(past, func(i incident) bool { return i.redis }), alone)
	c.Seconds = secondsOf(shared)
	for _, s := range shared {
		n := s.taken(asked)
		c.Taken += n
		c.Worst = max(c.Worst, of(float64(n-burst), s.seconds()))
	}
	c.OfLimit, c.Bursts = of(float64(c.Taken), c.Seconds), of(float64(burst*len(shared)), c.Seconds)
	var failed []stretch // what costs tokens and is granted nothing
	for _, d := range asked {
		if !d.taken() && !d.refused() {
			failed = append(failed, d.stretch)
		}
	}
	granted, due := 0, 0.0
	calm := apart(whole, broken(past, func(incident) bool { return true }), alone, failed)
	for _, s := range calm {
		due += s.due(asked, float64(rate), float64(burst))
		for _, d := range asked {
			if d.taken() && s.touches(d.stretch) {
				granted++
			}
		}
	}
	c.CalmSeconds = secondsOf(calm)
	c.OfCalm, c.CalmDue = of(float64(granted), c.CalmSeconds), of(due, c.CalmSeconds)
	c.Without = of(float64(whole.taken(asked)-c.Taken), whole.seconds()-c.Seconds)
	return c
}
