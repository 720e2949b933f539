package main

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"time"

	"breakwater/cmd/breakwater/config"
	"breakwater/relay"
	"breakwater/relay/elastic"
	"breakwater/relay/file"
	"breakwater/relay/loki"
	"breakwater/relay/otlp"
	"breakwater/relay/sentry"
	"breakwater/relay/spool"
	"breakwater/relay/syslog"
)

// gathering is how many records of a destination that sends batches may be
// under way: so many can share a request, a write or a wait.
const gathering = 64

// syslogWindow is the same for syslog, where each record waits half a second
// after it was read: 256 a second at most.
const syslogWindow = 128

// upstream is a destination that can say where it goes.
type upstream interface {
	relay.Destination
	Target() string
}

// destinations are the queues and where they go, and per project who knows its
// upstreams' limits. limits are shared by all, so that what one destination
// learns of an organisation holds for its siblings. After an error the list
// holds those made so far.
func destinations(c *config.Config, limits *sentry.Limits, now func() time.Time) ([]relay.DestinationConfig, map[string][]relay.Limiter, error) {
	var list []relay.DestinationConfig
	limiters := map[string][]relay.Limiter{}
	for i := range c.Projects {
		p := &c.Projects[i]
		for _, u := range p.Upstreams {
			d := relay.DestinationConfig{
				Destination: spool.Destination{Project: p.Name, Name: u.Name},
				Concurrency: u.Concurrency, Timeout: u.Timeout.Duration(), MaxAttempts: u.MaxAttempts, Key: keyOf(u),
			}
			switch u.Type {
			case "elasticsearch", "loki", "file":
				// One delivery may wait for the one before it, and be sent in parts.
				d.Concurrency, d.Timeout = gathering, 3*u.Timeout.Duration()
			case "syslog":
				d.Concurrency, d.Timeout = syslogWindow, 3*u.Timeout.Duration()+2*time.Second
			}
			var limiter relay.Limiter
			if !u.Held() {
				up, err := destination(p, u, limits, now)
				if err != nil {
					return list, nil, fmt.Errorf("project %s, upstream %s: %w", p.Name, u.Name, err)
				}
				d.Upstream, d.Target = up, up.Target()
				limiter, _ = up.(relay.Limiter)
			}
			list = append(list, d)
			if !u.TakesSpans() { // which says nothing about the items of the others
				limiters[p.Name] = append(limiters[p.Name], limiter)
			}
		}
	}
	return list, limiters, nil
}

// destination is one upstream. It connects to nobody yet.
func destination(p *config.Project, u config.Upstream, limits *sentry.Limits, now func() time.Time) (upstream, error) {
	var authorities *x509.CertPool
	if u.CAFile != "" {
		var err error
		if authorities, err = config.CertPool(u.CAFile); err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
	}
	u.Encoding = encodingOf(u)
	switch u.Type {
	case "sentry":
		return sentry.New(sentry.Config{
			DSN: u.DSN.Reveal(), Encoding: u.Encoding, Timeout: u.Timeout.Duration(), Concurrency: u.Concurrency,
			Version: versionText(), Limits: limits, Now: now,
		})
	case "elasticsearch":
		return elastic.New(elastic.Config{
			URL: u.URL, Index: u.Index, Project: p.Name, APIKey: u.APIKey.Reveal(), Username: u.Username, Password: u.Password.Reveal(),
			Encoding: u.Encoding, FullEvent: u.FullEvent, Timeout: u.Timeout.Duration(), Concurrency: u.Concurrency,
			Version: versionText(), RootCAs: authorities, Now: now,
		})
	case "loki":
		return loki.New(loki.Config{
			URL: u.URL, Tenant: u.Tenant, Username: u.Username, Password: u.Password.Reveal(), Labels: u.Labels,
			Encoding: u.Encoding, FullEvent: u.FullEvent, Timeout: u.Timeout.Duration(), Concurrency: u.Concurrency,
			Version: versionText(), RootCAs: authorities, Now: now,
		})
	case "syslog":
		return syslog.New(syslog.Config{
			Server: syslog.Server{Network: u.Network, Address: u.Address, RootCAs: authorities}, Facility: u.Facility,
			FullEvent: u.FullEvent, Timeout: u.Timeout.Duration(),
		})
	case "otlp":
		oc := otlp.Config{
			URL: u.URL, Headers: map[string]string{}, Username: u.Username, Password: u.Password.Reveal(), Encoding: u.Encoding,
			Timeout: u.Timeout.Duration(), Concurrency: u.Concurrency, Version: versionText(), RootCAs: authorities, Now: now,
		}
		for name, value := range u.Headers {
			oc.Headers[name] = value.Reveal()
		}
		return otlp.New(oc)
	case "file":
		return file.New(file.Config{Path: u.Path, MaxSize: u.MaxSize.Bytes(), Keep: u.Keep, FullEvent: u.FullEvent})
	}
	return nil, fmt.Errorf("type %s is unknown", u.Type)
}

// encodingOf settles what auto is: gzip, but none to an address of this
// machine. Compressing an error of 4 KB costs more than sending it over
// loopback, twice over (the receiver has to undo it).
func encodingOf(u config.Upstream) string {
	if u.Encoding != "auto" {
		return u.Encoding
	}
	address := u.URL
	if u.Type == "sentry" {
		address = u.DSN.Reveal()
	}
	at, err := url.Parse(address)
	if err != nil {
		return "gzip"
	}
	if ip, err := netip.ParseAddr(at.Hostname()); at.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback() {
		return "none"
	}
	return "gzip"
}

// keyOf names an upstream's configuration: another key, another destination. A
// file of certificates counts with what is in it, so that a reload after its
// renewal is enough.
func keyOf(u config.Upstream) string {
	var ca []byte
	if u.CAFile != "" {
		ca, _ = os.ReadFile(u.CAFile) // checked; a fault shows when it is used
	}
	headers := map[string]string{}
	for name, value := range u.Headers {
		headers[name] = value.Reveal()
	}
	return fmt.Sprintf("%+v|%s|%s|%s|%q|%x", u, u.DSN.Reveal(), u.APIKey.Reveal(), u.Password.Reveal(), headers, sha256.Sum256(ca))
}
