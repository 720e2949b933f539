package main

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"time"

	"breakwater/relay/relaytest"
)

// duplicates counts what came more than once, by what explains it.
type duplicates struct {
	All int `json:"all"`
	// Client: its client had no good answer and sent it again.
	Client int `json:"sent_again_by_the_client"`
	// Balancer: it asked a second gateway after the first had given no answer.
	Balancer int `json:"sent_twice_by_the_balancer"`
	// Confirmation: it was sent once, and delivered at a time when the gateway
	// or the stream suffered a fault, so that the upstream's answer was not
	// noted, or the record was leased to another gateway.
	Confirmation int `json:"confirmation_lost"`
	// Bound is the most that Confirmation may be: see inFlight.
	Bound       int `json:"confirmation_lost_at_most"`
	Unexplained int `json:"unexplained"`
}

const (
	// lease is the longest time for which a record that a gateway was given stays
	// away from the others, and in which a fault can cost its confirmation.
	lease = 35 * time.Second
	// confirming is how long after its delivery a record may still be unconfirmed.
	confirming = 2 * time.Second
)

// explain sorts duplicates by their cause.
func explain(fates map[relaytest.ID]*fate, came map[relaytest.ID][]delivery, crossed map[relaytest.ID]bool, past []incident, gateways, inFlight int) (d duplicates, unexplained []relaytest.ID) {
	for v, times := range came {
		if len(times) < 2 {
			continue
		}
		d.All++
		x := fates[v]
		switch {
		case x != nil && x.sends > 1:
			d.Client++
		case crossed[v]:
			d.Balancer++
		case confirmationLost(times, past):
			d.Confirmation++
		default:
			d.Unexplained++
			unexplained = append(unexplained, v)
		}
	}
	for _, in := range past {
		switch {
		case in.stream:
			d.Bound += gateways * inFlight
		case len(in.gateways) > 0:
			d.Bound += inFlight
		}
	}
	return d, unexplained
}

// confirmationLost tells whether a fault came between the first delivery and
// its confirmation.
func confirmationLost(times []delivery, past []incident) bool {
	first := slices.MinFunc(times, func(a, b delivery) int { return a.at.Compare(b.at) })
	for _, in := range past {
		if !in.stream && !slices.Contains(in.gateways, first.by) {
			continue
		}
		if first.at.After(in.Begin.Add(-confirming)) && first.at.Before(in.End.Add(lease)) {
			return true
		}
	}
	return false
}

// readCrossed reads the balancer's log of requests that several gateways were asked.
func readCrossed(path string) (map[relaytest.ID]bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	ids := map[relaytest.ID]bool{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		word, _, _ := strings.Cut(lines.Text(), " ")
		if v, ok := relaytest.ParseID(word); ok {
			ids[v] = true
		}
	}
	return ids, lines.Err()
}

// limitCheck compares what a limited project was granted with its limit.
type limitCheck struct {
	Rate    int     `json:"per_second"`
	Seconds float64 `json:"seconds_with_redis"`
	Taken   int     `json:"accepted"`
	OfLimit float64 `json:"of_the_limit"` // most: 1.1
	// Worst is the highest of any single stretch, its one burst taken off.
	Worst float64 `json:"of_the_limit_in_the_worst_stretch"`
	// Calm are the stretches without any fault, in which the limit must also be
	// reached. On a busy machine requests come in heaps that no burst covers: what a
	// bucket would have granted of them is due.
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

// apart are the stretches of a run that no given incident touches.
func apart(whole stretch, past []incident, matters func(incident) bool) (list []stretch) {
	in := slices.Clone(past)
	slices.SortFunc(in, func(a, b incident) int { return a.Begin.Compare(b.Begin) })
	from := whole.from.Add(settling)
	for _, i := range in {
		if !matters(i) {
			continue
		}
		if i.Begin.Sub(from) > settling {
			list = append(list, stretch{from, i.Begin})
		}
		if until := i.End.Add(settling); until.After(from) {
			from = until
		}
	}
	if whole.to.Sub(from) > settling {
		list = append(list, stretch{from, whole.to})
	}
	return list
}

func within(times []time.Time, list []stretch) (n int, seconds float64) {
	for _, s := range list {
		seconds += s.seconds()
		n += s.count(times)
	}
	return n, seconds
}

func (s stretch) count(times []time.Time) (n int) {
	for _, t := range times {
		if !t.Before(s.from) && t.Before(s.to) {
			n++
		}
	}
	return n
}

// starved tells whether the project got less than its limit in a calm.
func (c *limitCheck) starved() bool { return c.CalmSeconds > 0 && c.OfCalm < 0.9*c.CalmDue }

// due is what a bucket grants of requests at these times in a stretch, empty at
// its begin.
func (s stretch) due(asked []time.Time, rate, burst float64) (n int) {
	tokens, last := 0.0, s.from
	for _, t := range asked {
		if t.Before(s.from) || !t.Before(s.to) {
			continue
		}
		tokens = min(tokens+t.Sub(last).Seconds()*rate, max(burst, 1))
		if last = t; tokens >= 1 {
			tokens--
			n++
		}
	}
	return n
}

// checkLimit looks at the times at which a limited project's requests were
// answered, and those at which they were taken.
func checkLimit(taken, asked []time.Time, rate, burst int, whole stretch, past []incident) (c limitCheck) {
	c.Rate = rate
	of := func(n int, seconds float64) float64 { return float64(n) / max(seconds*float64(rate), 1) }
	shared := apart(whole, past, func(i incident) bool { return i.redis })
	c.Taken, c.Seconds = within(taken, shared)
	c.OfLimit = of(c.Taken, c.Seconds)
	for _, s := range shared {
		c.Worst = max(c.Worst, of(s.count(taken)-burst, s.seconds()))
	}
	calm := apart(whole, past, func(incident) bool { return true })
	granted, seconds := within(taken, calm)
	due := 0
	for _, s := range calm {
		due += s.due(asked, float64(rate), float64(burst))
	}
	c.CalmSeconds, c.OfCalm, c.CalmDue = seconds, of(granted, seconds), of(due, seconds)
	c.Without = of(whole.count(taken)-c.Taken, whole.seconds()-c.Seconds)
	return c
}
