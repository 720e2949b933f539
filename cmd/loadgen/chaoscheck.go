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
	confirming = 5 * time.Second
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
