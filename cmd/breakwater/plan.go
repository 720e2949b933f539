package main

import (
	"errors"
	"fmt"
	"io"

	"breakwater/cmd/breakwater/config"
	"breakwater/ingest"
	"breakwater/ingest/filter"
	"breakwater/ingest/limit"
	"breakwater/ingest/sample"
	"breakwater/ingest/scrub"
	"breakwater/ingest/storm"
	"breakwater/relay"
)

// plan is a configuration in the words of every part that takes one, each
// already found good: putting it in force cannot stop half-way.
type plan struct {
	edge     ingest.Settings
	dests    []relay.DestinationConfig
	limiters map[string][]relay.Limiter
	perIP    limit.Rate
	limits   map[string]limit.Config
	filters  map[string]filter.Config
	storms   map[string]storm.Config
	samples  map[string]sample.Config
	scrubs   map[string]scrub.Config
}

// plan translates a configuration and asks every part whether it can. It
// changes nothing.
func (a *app) plan(cfg *config.Config) (p plan, err error) {
	if a.stopping.Load() {
		return p, errors.New("the gateway is shutting down")
	}
	p = plan{
		perIP: rate(cfg.Limits.PerIP), limits: map[string]limit.Config{}, filters: map[string]filter.Config{},
		storms: map[string]storm.Config{}, samples: map[string]sample.Config{}, scrubs: map[string]scrub.Config{},
	}
	for i := range cfg.Projects {
		cp := &cfg.Projects[i]
		p.limits[cp.Name], p.filters[cp.Name], p.storms[cp.Name] = limitConfig(cp), filterConfig(cp), stormConfig(cp)
		p.samples[cp.Name], p.scrubs[cp.Name] = sampleConfig(cp), scrubConfig(cp.Scrub, a.salt)
		if err := p.checkProject(cp.Name); err != nil {
			return p, err
		}
	}
	if err := p.perIP.Validate(); err != nil {
		return p, fmt.Errorf("limits.per_ip: %w", err)
	}
	if p.edge, err = a.edgeSettings(cfg); err != nil {
		return p, err
	}
	if err = a.edge.Check(p.edge); err != nil {
		return p, err
	}
	p.dests, p.limiters, err = destinations(cfg, a.limits, a.now)
	if err == nil {
		err = distinct(p.dests)
	}
	if err != nil {
		for _, d := range p.dests {
			if c, ok := d.Upstream.(io.Closer); ok {
				_ = c.Close() // it has connected to nobody yet
			}
		}
	}
	return p, err
}

// checkProject asks the stages about one project.
func (p *plan) checkProject(name string) error {
	limits, storms, samples := p.limits[name], p.storms[name], p.samples[name]
	if _, err := scrub.Compile(p.scrubs[name]); err != nil {
		return fmt.Errorf("project %s: scrub: %w", name, err)
	}
	if err := filter.New().Configure(map[string]filter.Config{name: p.filters[name]}); err != nil {
		return err
	}
	if err := limits.Validate(); err != nil {
		return fmt.Errorf("project %s: limits.%w", name, err)
	}
	if err := storms.Validate(); err != nil {
		return fmt.Errorf("project %s: storm.%w", name, err)
	}
	if err := samples.Validate(); err != nil {
		return fmt.Errorf("project %s: sampling.%w", name, err)
	}
	return nil
}

// distinct finds a destination that is configured twice.
func distinct(dests []relay.DestinationConfig) error {
	seen := map[string]bool{}
	for _, d := range dests {
		if seen[d.String()] {
			return fmt.Errorf("destination %s is configured twice", d.Destination)
		}
		seen[d.String()] = true
	}
	return nil
}
