package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gobwas/glob"
)

// The names of the filters, which are the reasons in the ledger.
const (
	ReactHydration    = "react-hydration-errors"
	ChunkLoad         = "chunk-load-error"
	LogMessage        = "log-message"
	TraceMetricName   = "trace-metric-name"
	InvalidCSP        = "invalid-csp"
	IPAddress         = "ip-address"
	ReleaseVersion    = "release-version"
	ErrorMessage      = "error-message"
	Localhost         = "localhost"
	BrowserExtensions = "browser-extensions"
	LegacyBrowsers    = "legacy-browsers"
	WebCrawlers       = "web-crawlers"
	Transaction       = "filtered-transaction"
)

// Names are all filters in the order they run.
var Names = []string{
	ReactHydration, ChunkLoad, LogMessage, TraceMetricName, InvalidCSP, IPAddress, ReleaseVersion, ErrorMessage,
	Localhost, BrowserExtensions, LegacyBrowsers, WebCrawlers, Transaction,
}

// HealthChecks are globs for the transactions of health checks, for
// Config.Transactions; Sentry drops the same when asked to.
var HealthChecks = []string{
	"*healthcheck*", "*heartbeat*", "*/health{/,}", "*/healthy{/,}", "*/healthz{/,}", "*/health_check{/,}",
	"*/live{/,}", "*/livez{/,}", "*/ready{/,}", "*/readyz{/,}", "*/ping{/,}", "*/up{/,}",
}

// ReportNoise are sources of CSP reports that say nothing about the site:
// browsers' own pages, extensions, wrappers of in-app browsers, injected
// advertisements and filtering proxies. Config.BrowserExtensions filters them.
var ReportNoise = []string{
	"about", "ms-browser-extension", "chrome://*", "chrome-extension://*", "chromeinvokeimmediate://*", "chromenull://*",
	"moz-extension://*", "safari-extension://*", "safari-web-extension://*", "webkit-masked-url://*", "ms-browser-extension://*", "mxaddon-pkg://*",
	"resource://*", "symres://*", "jar://*", "webviewprogressproxy://*", "tmtbff://*", "mbinit://*",
	"*.superfish.com", "*.metrext.com", "*.tlscdn.com", "injections.adguard.com", "gateway.zscalertwo.net", "*.kaspersky-labs.com",
}

// DisallowedSources are ReportNoise and the developer's own machine, for
// Config.CSPDisallowed: what Sentry's filter of the name disallows.
var DisallowedSources = append(ReportNoise[:len(ReportNoise):len(ReportNoise)], "localhost", "127.0.0.1")

// Config are one project's filters. The zero value filters nothing.
type Config struct {
	// BrowserExtensions drops errors that extensions cause, and CSP reports
	// and deprecations about ReportNoise.
	BrowserExtensions bool
	// LegacyBrowsers are names of LegacyBrowserNames.
	LegacyBrowsers []string
	WebCrawlers    bool
	Localhost      bool
	// ErrorMessages are globs for messages and, per exception, for
	// "Type: value", the value and the type.
	ErrorMessages []string
	// Releases are globs for releases.
	Releases []string
	// ClientIPs are addresses and networks (CIDR).
	ClientIPs []string
	// Transactions are globs for the names of transactions; see HealthChecks.
	Transactions []string
	// CSPDisallowed are sources of CSP reports as [scheme://]host[:port], each
	// part may be *, the host may begin with *.; see DisallowedSources.
	CSPDisallowed []string
	// ReactHydrationErrors drops React's errors about markup that differs
	// between server and client, ChunkLoadErrors failed loads of a bundle's part.
	ReactHydrationErrors bool
	ChunkLoadErrors      bool
	// LogMessages are globs for the bodies of logs, TraceMetrics for the names of
	// trace metrics. What matches goes, what else is in the container stays.
	LogMessages  []string
	TraceMetrics []string
}

var (
	hydrationGlobs = mustGlobs(
		"*https://reactjs.org/docs/error-decoder.html?invariant={418,419,421,422,423,425}*",
		"*https://react.dev/errors/{418,419,421,422,423,425}*",
	)
	chunkGlobs = mustGlobs("ChunkLoadError: Loading chunk *", "*Uncaught *: ChunkLoadError: Loading chunk *")
)

// rules are a Config made ready.
type rules struct {
	Config
	messages, releases, transactions globs
	logs, metrics                    globs
	networks                         []netip.Prefix
	sources, noise                   []source
	legacy                           map[string]bool
}

func compile(c Config) (*rules, error) {
	r := &rules{Config: c, legacy: map[string]bool{}}
	for _, list := range []struct {
		key  string
		from []string
		to   *globs
	}{
		{"error_messages", c.ErrorMessages, &r.messages},
		{"releases", c.Releases, &r.releases},
		{"transactions", c.Transactions, &r.transactions},
		{"log_messages", c.LogMessages, &r.logs},
		{"trace_metrics", c.TraceMetrics, &r.metrics},
	} {
		g, err := newGlobs(list.from...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", list.key, err)
		}
		*list.to = g
	}
	for _, s := range c.ClientIPs {
		p, err := parseNetwork(s)
		if err != nil {
			return nil, fmt.Errorf("client_ips: %w", err)
		}
		r.networks = append(r.networks, p)
	}
	for _, s := range c.LegacyBrowsers {
		if !slices.Contains(LegacyBrowserNames, s) {
			return nil, fmt.Errorf("legacy_browsers: unknown browser %q", s)
		}
		r.legacy[s] = true
	}
	if c.BrowserExtensions {
		for _, s := range ReportNoise {
			r.noise = append(r.noise, parseSource(s))
		}
	}
	for _, s := range c.CSPDisallowed {
		r.sources = append(r.sources, parseSource(s))
	}
	return r, nil
}

// parseNetwork reads an address or a network.
func parseNetwork(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a network", s)
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// maxText is how much of a text is held against globs.
const maxText = 8192

// globs are patterns of which one must match the whole text, whatever the
// case: * any text, ? one character, [a-z] [!a] classes, {a,b} alternatives.
type globs []*glob.Pattern

func newGlobs(patterns ...string) (globs, error) {
	var list globs
	for _, p := range patterns {
		g, err := compileGlob(strings.ToLower(p))
		if err != nil {
			return nil, fmt.Errorf("glob %q: %w", p, err)
		}
		list = append(list, g)
	}
	return list, nil
}

// compileGlob turns a panic of the compiler on an odd pattern into an error.
func compileGlob(p string) (g *glob.Pattern, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot be read: %v", r)
		}
	}()
	return glob.Compile(p)
}

func mustGlobs(patterns ...string) globs {
	list, err := newGlobs(patterns...)
	if err != nil {
		panic(err) // constants
	}
	return list
}

// match compares a text, which is empty when it is not there.
func (g globs) match(text string) bool {
	if len(g) == 0 || text == "" {
		return false
	}
	if len(text) > maxText {
		text = text[:maxText]
	}
	text = strings.ToLower(text)
	for _, p := range g {
		if p.Match(text) {
			return true
		}
	}
	return false
}
