package main

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"breakwater/cmd/breakwater/config"
	"breakwater/cmd/breakwater/console"
	"breakwater/ingest/storm"
	"breakwater/schemas"
)

// consoleState tells the console what the parts know, in the console's words:
// it may not import them.
type consoleState struct{ *app }

var _ console.State = consoleState{}

// Projects are the configured names.
func (s consoleState) Projects() []string { return projectNames(s.reloader.Current()) }

// Groups are the error groups of a project.
func (s consoleState) Groups(project, order string, n int) []console.Group {
	groups := s.storm.GroupsBy(project, storm.Order(order), n, s.now())
	list := make([]console.Group, 0, len(groups))
	for _, g := range groups {
		list = append(list, consoleGroup(project, g))
	}
	return list
}

func consoleGroup(project string, g storm.Group) console.Group {
	return console.Group{
		Project: project, Fingerprint: g.Fingerprint, Title: g.Title, Count: g.Count, Recent: g.Recent, Forwarded: g.Forwarded,
		Suppressed: g.Suppressed, Storming: g.Storming, FirstSeen: g.FirstSeen, LastSeen: g.LastSeen, FirstRelease: g.FirstRelease, Releases: g.Releases,
	}
}

// Group is one of them.
func (s consoleState) Group(project, fingerprint string) (console.Group, bool) {
	g, ok := s.storm.Group(project, fingerprint, s.now())
	return consoleGroup(project, g), ok
}

// Sample is a stored occurrence of a group.
func (s consoleState) Sample(project, fingerprint string) *console.Sample {
	if x, ok := s.storm.Sample(project, fingerprint); ok {
		sample := console.Sample(x)
		return &sample
	}
	return nil
}

// Releases are the releases' health.
func (s consoleState) Releases() []console.Release {
	releases := s.health.Releases()
	list := make([]console.Release, 0, len(releases))
	for _, r := range releases {
		list = append(list, console.Release{
			Project: r.Project, Environment: r.Environment, Release: r.Release, Sessions: r.Sessions, Crashed: r.Crashed, Adoption: r.Adoption,
			Users: r.Users, CrashedUsers: r.CrashedUsers, Errors: r.Errors, FirstSeen: r.FirstSeen, LastSeen: r.LastSeen,
		})
	}
	return list
}

// Vitals are the web vitals of the last day.
func (s consoleState) Vitals() []console.Vital {
	tiles := s.vitals.Tiles()
	list := make([]console.Vital, 0, len(tiles))
	for _, t := range tiles {
		v := console.Vital{
			Project: t.Project, Vital: t.Vital, Device: t.Device, GoodUpTo: t.GoodUpTo, PoorOver: t.PoorOver,
			Samples: t.Samples, Good: t.Good, Poor: t.Poor, P75: t.P75, Points: make([]console.VitalPoint, 0, len(t.Points)),
		}
		for _, p := range t.Points {
			v.Points = append(v.Points, console.VitalPoint(p))
		}
		list = append(list, v)
	}
	return list
}

// Limited is who was refused lately.
func (s consoleState) Limited() []console.Limited {
	limited := s.limiter.Limited(s.now())
	list := make([]console.Limited, 0, len(limited))
	for _, l := range limited {
		list = append(list, console.Limited(l))
	}
	return list
}

// Quotas are the configured quotas.
func (s consoleState) Quotas() []console.Quota {
	quotas := s.limiter.Quotas(s.now())
	list := make([]console.Quota, 0, len(quotas))
	for _, q := range quotas {
		list = append(list, console.Quota{
			Project: q.Project, Category: q.Category, Period: string(q.Period), Limit: q.Limit, Used: q.Used, Resets: q.Resets,
		})
	}
	return list
}

// Config is the configuration in force.
func (s consoleState) Config() console.Config {
	cfg := s.reloader.Current()
	c := console.Config{Hash: cfg.Hash(), YAML: cfg.Redacted(), Warnings: []console.Warning{}}
	for _, w := range cfg.Warnings() {
		c.Warnings = append(c.Warnings, consoleWarning(w))
	}
	return c
}

func consoleWarning(p config.Problem) console.Warning {
	return console.Warning{Key: p.Key, Reason: p.Reason, Fix: p.Fix}
}

// Outcomes are the ledger's counters by project.
func (s consoleState) Outcomes() []console.Ledger {
	at, list := map[string]int{}, []console.Ledger{}
	of := func(project string) *console.Ledger {
		i, ok := at[project]
		if !ok {
			i = len(list)
			at[project] = i
			list = append(list, console.Ledger{Project: project, Outcomes: []console.OutcomeCount{}})
		}
		return &list[i]
	}
	for _, name := range s.Projects() {
		of(name)
	}
	// What came in is read last: an item in between is not missing then.
	read(s.ledger.outcome, func(l map[string]string, v float64) {
		if v != 0 {
			p := of(l["project"])
			p.Outcomes = append(p.Outcomes, console.OutcomeCount{
				Category: schemas.Category(l["category"]), Outcome: schemas.Outcome(l["outcome"]), Reason: l["reason"], Items: v,
			})
		}
	})
	for c, add := range map[prometheus.Collector]func(*console.Ledger, float64){
		s.ledger.inSpool:   func(p *console.Ledger, v float64) { p.InSpool += v },
		s.ledger.received:  func(p *console.Ledger, v float64) { p.Received += v },
		s.ledger.recovered: func(p *console.Ledger, v float64) { p.Recovered += v },
		s.ledger.requeued:  func(p *console.Ledger, v float64) { p.Requeued += v },
		s.discards:         func(p *console.Ledger, v float64) { p.ClientDiscarded += v },
	} {
		read(c, func(l map[string]string, v float64) {
			if v != 0 {
				add(of(l["project"]), v)
			}
		})
	}
	sortLedgers(list)
	return list
}

// read calls fn for each series of a family of counters or gauges.
func read(c prometheus.Collector, fn func(labels map[string]string, value float64)) {
	ch := make(chan prometheus.Metric, 64)
	go func() { c.Collect(ch); close(ch) }()
	for m := range ch {
		var d dto.Metric
		if m.Write(&d) != nil {
			continue // a family of ours is always written
		}
		labels := make(map[string]string, len(d.GetLabel()))
		for _, l := range d.GetLabel() {
			labels[l.GetName()] = strings.Clone(l.GetValue())
		}
		fn(labels, d.GetCounter().GetValue()+d.GetGauge().GetValue())
	}
}
