package main

import (
	"fmt"
	"net/netip"
	"path/filepath"

	"breakwater/cmd/breakwater/config"
	"breakwater/ingest"
	"breakwater/ingest/filter"
	"breakwater/ingest/limit"
	"breakwater/ingest/sample"
	"breakwater/ingest/scrub"
	"breakwater/ingest/storm"
	"breakwater/ingest/vitals"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

// This file translates the configuration file into each package's own words.
// A key of the file is read in one place only: here.

func edgeConfig(c *config.Config) (ingest.Config, error) {
	e := ingest.DefaultConfig()
	e.RequestSize, e.DecompressedSize = c.Limits.RequestSize.Bytes(), c.Limits.DecompressedSize.Bytes()
	e.CompressionRatio = int64(c.Limits.CompressionRatio)
	e.EventSize, e.AttachmentSize = c.Limits.EventSize.Bytes(), c.Limits.AttachmentSize.Bytes()
	e.AttachmentsPerEnvelope, e.SessionsPerEnvelope = c.Limits.AttachmentsPerEnvelope, c.Limits.SessionsPerEnvelope
	e.BeaconSize, e.JSONDepth = c.Limits.BeaconSize.Bytes(), c.Limits.JSONDepth
	e.ReadTimeout, e.MaxConnections = c.Limits.ReadTimeout.Duration(), c.Server.MaxConnections
	e.SendingPerIP = c.Limits.SendingPerIP
	e.TunnelPath = c.Server.TunnelPath
	e.TLS = ingest.TLSFiles{CertFile: c.Server.TLS.CertFile, KeyFile: c.Server.TLS.KeyFile}
	for _, cidr := range c.Server.TrustedProxies {
		p, err := parsePrefix(cidr)
		if err != nil {
			return e, fmt.Errorf("server.trusted_proxies: %w", err)
		}
		e.TrustedProxies = append(e.TrustedProxies, p)
	}
	return e, nil
}

// parsePrefix reads a network, or one address as the network of itself.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

func directory(c *config.Config) *ingest.Directory {
	list := make([]*ingest.Project, 0, len(c.Projects))
	for _, p := range c.Projects {
		ip := &ingest.Project{
			ID: p.ID, Name: p.Name, Aliases: p.Aliases, Origins: ingest.Origins(p.AllowedOrigins), ForwardIP: !p.Scrub.IP,
			Release: ingest.ReleaseRule{Default: p.Release.Default, Environment: p.Release.Environment, Required: p.Release.Required},
		}
		for _, k := range p.Keys {
			ip.Keys = append(ip.Keys, ingest.Key{Public: k.Public, Name: k.Name})
		}
		for _, u := range p.Upstreams {
			if u.TakesSpans() {
				ip.OTLP = append(ip.OTLP, u.Name)
			} else {
				ip.Destinations = append(ip.Destinations, u.Name)
			}
		}
		list = append(list, ip)
	}
	return ingest.NewDirectory(list)
}

func spoolLimits(c *config.Config) spool.Limits {
	return spool.Limits{
		MaxSize: c.Spool.MaxSize.Bytes(), MinFree: noneIfZero(c.Spool.MinFree.Bytes()),
		MaxAge: c.Spool.MaxAge.Duration(), ProjectShare: c.Spool.ProjectShare.Float(),
	}
}

// noneIfZero says "no floor" in the spool's words: its zero means the default.
func noneIfZero(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}

func rate(l config.Limit) limit.Rate {
	burst := l.Burst
	if burst == 0 {
		burst = max(1, int(l.Rate.PerSecond()))
	}
	return limit.Rate{PerSecond: l.Rate.PerSecond(), Burst: burst}
}

func limitConfig(p *config.Project) limit.Config {
	// Browsers report by themselves, and one page with a wrong policy does so on
	// every visit: without a limit of the operator's they have a modest one.
	lc := limit.Config{PerKey: rate(p.Limits.PerKey), Categories: map[schemas.Category]limit.Rate{schemas.CategorySecurity: {PerSecond: 50, Burst: 500}}, Quota: map[schemas.Category]limit.Quota{}}
	for name, l := range p.Limits.Categories {
		if c, ok := schemas.ParseCategory(name); ok {
			lc.Categories[c] = rate(l)
		}
	}
	for name, q := range p.Limits.Quota {
		if c, ok := schemas.ParseCategory(name); ok {
			lc.Quota[c] = limit.Quota{Limit: q.Count, Period: limit.Period(q.Per)}
		}
	}
	return lc
}

func filterConfig(p *config.Project) filter.Config {
	return filter.Config{
		BrowserExtensions: p.Filters.BrowserExtensions, LegacyBrowsers: p.Filters.LegacyBrowsers, WebCrawlers: p.Filters.WebCrawlers,
		Localhost: p.Filters.Localhost, ErrorMessages: p.Filters.ErrorMessages, Releases: p.Filters.Releases, ClientIPs: p.Filters.ClientIPs,
		Transactions: p.Filters.Transactions, CSPDisallowed: p.Filters.CSPDisallowed,
		ReactHydrationErrors: p.Filters.ReactHydrationErrors, ChunkLoadErrors: p.Filters.ChunkLoadErrors,
		LogMessages: p.Filters.LogMessages, TraceMetrics: p.Filters.TraceMetrics,
	}
}

func stormConfig(p *config.Project) storm.Config {
	return storm.Config{Window: p.Storm.Window.Duration(), First: p.Storm.First, ThenOneIn: p.Storm.ThenOneIn, MaxFingerprints: p.Storm.MaxFingerprints}
}

func sampleConfig(p *config.Project) sample.Config {
	return sample.Config{Transaction: p.Sampling.Transaction.Float(), Replay: p.Sampling.Replay.Float(), Session: p.Sampling.Session.Float()}
}

func scrubConfig(s config.Scrub, salt []byte) scrub.Config {
	sc := scrub.Config{
		Defaults: s.Defaults, IP: s.IP, Email: s.Email, Fields: s.Fields, SafeFields: s.SafeFields,
		Opaque: scrub.Opaque(s.Opaque), Salt: salt,
	}
	for _, r := range s.Rules {
		sc.Rules = append(sc.Rules, scrub.Rule{Name: r.Name, Pattern: r.Pattern, Path: r.Path, Action: scrub.Action(r.Action)})
	}
	return sc
}

func vitalsConfig(c *config.Config) vitals.Config {
	return vitals.Config{
		Settle: c.Vitals.Settle.Duration(), SettleMax: c.Vitals.SettleMax.Duration(),
		SeriesPerProject: c.Vitals.SeriesPerProject, ReleaseSlots: c.Vitals.ReleaseSlots, CountBots: c.Vitals.CountBots,
	}
}

func vitalsProjects(c *config.Config) []vitals.Project {
	list := make([]vitals.Project, 0, len(c.Projects))
	for _, p := range c.Projects {
		list = append(list, vitals.Project{Name: p.Name, Routes: p.Vitals.Routes, FromSentry: p.Vitals.FromSentry})
	}
	return list
}

func projectNames(c *config.Config) []string {
	names := make([]string, 0, len(c.Projects))
	for _, p := range c.Projects {
		names = append(names, p.Name)
	}
	return names
}

// files beside the spool.
func dataFile(c *config.Config, name string) string { return filepath.Join(c.DataDir(), name) }
