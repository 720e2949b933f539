package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"breakwater/cmd/breakwater/config"
	"breakwater/cmd/breakwater/fleet"
	"breakwater/ingest"
	"breakwater/relay/sentry"
	"breakwater/relay/spool"
)

// This file joins the parts that several gateways decide on together to the
// Redis they share. Without limits.redis.url nothing of it is there.

// newFleet reaches for Redis. That it is away does not stop a start.
func (a *app) newFleet(cfg *config.Config, env config.Lookup) error {
	r := cfg.Limits.Redis
	if r.URL == "" {
		return nil
	}
	salt := "" // one that Redis keeps
	if given, _ := env(saltVariable); given != "" {
		salt = string(a.salt) // the same on all gateways, and Redis does not know it
	}
	name, err := gatewayName(dataFile(cfg, "gateway"))
	if err != nil {
		return err
	}
	a.fleet, err = fleet.New(fleet.Options{
		URL: r.URL.Reveal(), Timeout: r.Timeout.Duration(), Stricter: r.WhenAway == "stricter", Gateways: r.Gateways,
		Prefix: r.Prefix, Salt: salt, Name: name, OwnFor: cfg.Vitals.SettleMax.Duration() + 10*time.Minute,
		Learned: a.learned, Found: func() { a.limiter.Settle(a.now()) }, Message: func(m []byte) { a.vitals.Take(m) }, Registerer: a.registry, Log: a.log.With().Str("part", "fleet").Logger(), Now: a.now,
	})
	if err == nil {
		a.limits.Tell(a.tellFleet)
	}
	return err
}

// shared is the fleet for parts that do without, too: nil, and not an interface
// that holds nil.
func (a *app) shared() ingest.Fleet {
	if a.fleet == nil {
		return nil
	}
	return a.fleet
}

// together is the stage that asks the fleet. The request's own limits first, then
// what was taken before, then storms, and what they leave is charged.
func (a *app) together() ingest.Stage {
	return &ingest.Together{
		Fleet: a.shared(), Sampled: a.sampler.Drops,
		Planners: []ingest.Planner{a.limiter.Requests(), ingest.Claims{}, a.storm, a.limiter.Items(), a.vitals},
	}
}

// destinationScope begins the names of limits that hold for one destination.
const destinationScope = "destination "

// tellFleet tells the fleet what upstreams tell this gateway.
func (a *app) tellFleet(list []sentry.Learned) {
	out := make([]fleet.Limit, len(list))
	for i, l := range list {
		out[i] = fleet.Limit(l)
	}
	a.fleet.Announce(out)
}

// quieted tells the fleet, if there is one, of an upstream that asked for quiet.
func (a *app) quieted(dst spool.Destination, until time.Time) {
	if a.fleet != nil {
		a.fleet.Announce([]fleet.Limit{{Scope: destinationScope + dst.String(), Until: until}})
	}
}

// learned takes over what upstreams told other gateways.
func (a *app) learned(list []fleet.Limit) {
	var limits []sentry.Learned
	for _, l := range list {
		name, ok := strings.CutPrefix(l.Scope, destinationScope)
		if !ok {
			limits = append(limits, sentry.Learned(l))
			continue
		}
		if project, upstream, ok := strings.Cut(name, "/"); ok {
			a.relay.Quiet(spool.Destination{Project: project, Name: upstream}, l.Until)
		}
	}
	a.limits.Adopt(limits, a.now())
}

// gatewayName is this gateway's among those of a fleet: made at the first start
// and kept in its data directory, of which each gateway has one of its own.
func gatewayName(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if name := strings.TrimSpace(string(raw)); err == nil && len(name) == 32 {
		return name, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the gateway's name: %w", err)
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	name := hex.EncodeToString(b[:])
	err = os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, []byte(name+"\n"), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("writing the gateway's name: %w", err)
	}
	return name, nil
}
