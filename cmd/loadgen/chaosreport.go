package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"breakwater/relay/relaytest"
)

// chaosReport is what a run proves.
type chaosReport struct {
	Engine   string         `json:"engine"`
	Gateways int            `json:"gateways"`
	NATS     int            `json:"nats_servers"`
	Network  string         `json:"network"`
	Seconds  float64        `json:"seconds"`
	Seed     uint64         `json:"seed"`
	Faults   int            `json:"faults"`
	Kinds    map[string]int `json:"faults_by_kind"`
	Sent     int            `json:"reports"`
	Answers  map[int]int    `json:"answers"` // 0: none
	Acked    int            `json:"acknowledged"`
	Lost     int            `json:"acknowledged_but_lost"`
	Unacked  int            `json:"delivered_without_acknowledgement"`
	Twice    duplicates     `json:"delivered_more_than_once"`
	Dead     float64        `json:"dead_letters"`
	Exits    int64          `json:"gateways_that_ended_by_themselves"`
	Drain    float64        `json:"seconds_to_drain"`
	Limit    *limitCheck    `json:"limit,omitempty"`
	Storms   []stormCheck   `json:"storms,omitempty"` // before and after the faults
}

// count drains what is left and compares.
func (c *chaosCmd) count(ctx context.Context, r *rig, h *havoc, flows []*flow, came *arrivals, storms []stormCheck, whole stretch, alone []stretch) (*chaosReport, error) {
	rep := &chaosReport{
		Engine: "disk", Gateways: c.Gateways, NATS: c.NATS, Network: "namespaces", Seed: c.Seed, Seconds: whole.seconds(),
		Faults: len(h.past), Kinds: map[string]int{}, Answers: map[int]int{}, Storms: storms,
	}
	if c.NATS > 0 {
		rep.Engine = "jetstream"
	}
	if !r.net.canCut() {
		rep.Network = "loopback"
	}
	for _, in := range h.past {
		rep.Kinds[in.Kind]++
	}
	for _, m := range r.gateways {
		rep.Exits += m.ended.Load()
	}
	begin := time.Now()
	if err := r.ready(ctx, 5*time.Minute); err != nil {
		return rep, err
	}
	drained := r.drain(ctx, 10*time.Minute, func() bool {
		for _, f := range flows {
			for v, x := range f.fates {
				if !x.acked.IsZero() && !came.has(v) {
					return true
				}
			}
		}
		return false
	})
	rep.Drain = time.Since(begin).Seconds()
	for _, addr := range r.private {
		m, err := scrape(quick, addr)
		if err != nil {
			return rep, err
		}
		rep.Dead = max(rep.Dead, m.sum("breakwater_relay_dead_letters"))
	}
	crossed, err := readCrossed(filepath.Join(r.dir, crossed))
	if err != nil {
		return rep, err
	}
	fates := map[relaytest.ID]*fate{}
	for _, f := range flows {
		for v, x := range f.fates {
			fates[v] = x
		}
		for status, n := range f.tally {
			rep.Answers[status] += n
		}
	}
	rep.Sent = len(fates)
	var first string
	for v, x := range fates {
		switch arrived := len(came.all[v]) > 0; {
		case x.acked.IsZero() && arrived:
			rep.Unacked++
		case x.acked.IsZero():
		default:
			rep.Acked++
			if !arrived {
				rep.Lost++
				first = fmt.Sprintf("%s, acknowledged at %.1f s", v, x.acked.Sub(whole.from).Seconds())
			}
		}
	}
	var odd []relaytest.ID
	rep.Twice, odd = explain(fates, came.all, crossed, h.past, c.Gateways, inFlight)
	if len(odd) > 0 {
		first += fmt.Sprintf(" %s came at", odd[0])
		for _, d := range came.all[odd[0]] {
			first += fmt.Sprintf(" %.1f s by gateway %d", d.at.Sub(whole.from).Seconds(), d.by+1)
		}
	}
	if c.Redis {
		l := checkLimit(flows[1].asked, c.Limit, max(c.Limit/2, 30), whole, h.past, alone)
		rep.Limit = &l
	}
	if drained != nil {
		return rep, drained
	}
	return rep, rep.verdict(first)
}

func (r *chaosReport) verdict(first string) error {
	switch {
	case r.Acked == 0 || r.Faults == 0:
		return errors.New("nothing was acknowledged or nothing broken: the run proved nothing")
	case r.Lost > 0:
		return fmt.Errorf("%d acknowledged reports were lost; one of them: %s", r.Lost, first)
	case r.Dead > 0:
		return fmt.Errorf("%.0f reports became dead letters", r.Dead)
	case r.Twice.Unexplained > 0:
		return fmt.Errorf("%d duplicates have no explanation; one of them: %s", r.Twice.Unexplained, first)
	case r.Twice.Confirmation > r.Twice.Bound:
		return fmt.Errorf("%d lost confirmations are more than was in flight, %d", r.Twice.Confirmation, r.Twice.Bound)
	}
	for _, s := range r.Storms {
		if err := s.verdict(); err != nil {
			return err
		}
	}
	if l := r.Limit; l != nil {
		switch {
		case l.OfLimit > 1.1 && l.Bursts < 0.1, l.Worst > 1.1: // many short stretches are mostly bursts
			return fmt.Errorf("the limited project got %.2f of its limit while Redis was there, %.2f in the worst stretch", l.OfLimit, l.Worst)
		case l.starved():
			return fmt.Errorf("the limited project got %.2f of its limit while nothing was broken; due was %.2f", l.OfCalm, l.CalmDue)
		}
	}
	return nil
}
