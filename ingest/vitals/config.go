package vitals

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/ingest"
)

// Config is what holds for all projects. The zero value of every field means
// its default.
type Config struct {
	// Settle is how long an id must be quiet before it is observed; default 60 s.
	Settle time.Duration
	// SettleMax is how long an id may wait in all; default 10 min.
	SettleMax time.Duration
	// SeriesPerProject bounds the label sets (environment, route, device or os)
	// of one project, those named __other__ included; default 1000, at least 2.
	SeriesPerProject int
	// ReleaseSlots is how many releases have their own label, the newest ones;
	// default 5.
	ReleaseSlots int
	// Environments is how many environments have their own label, the first
	// ones seen; default 10.
	Environments int
	// MaxPending bounds the ids that wait to settle, over all projects; default
	// 100 000, about 14 MB when full.
	MaxPending int
	// MaxSeen is how many observed ids are remembered at least; default 500 000,
	// about 20 MB when full.
	MaxSeen int
	// CountBots lets crawlers and headless browsers into the histograms, for
	// test rigs that drive a headless browser.
	CountBots bool
	// LogPerSecond bounds the log lines about poor values; default 2, negative
	// for none.
	LogPerSecond float64
	// Log takes the attribution of poor values; the zero value is silent.
	Log zerolog.Logger
	// Scrub removes from the attribution of a poor value what must not stand in
	// a log, by the project's rules; nil leaves queries and attribute values out
	// and nothing else.
	Scrub func(project, text string) string
	// Pages takes the metric families that have a series per page, for a handler
	// that writes them with Vitals.WriteMetrics; nil registers them with the rest.
	Pages prometheus.Registerer
	// Fleet knows which gateway an id belongs to; nil for none. See Plan and Take.
	Fleet ingest.Fleet
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Project is what holds for one project, by its configured name.
type Project struct {
	Name string
	// Routes are templates such as "/product/:id" or "/docs/*".
	Routes []string
	// FromSentry extracts vitals from the project's Sentry traffic too.
	FromSentry bool
}

func (c Config) withDefaults() Config {
	def := func(p *int, n int) {
		if *p <= 0 {
			*p = n
		}
	}
	if c.Settle <= 0 {
		c.Settle = 60 * time.Second
	}
	if c.SettleMax <= 0 {
		c.SettleMax = 10 * time.Minute
	}
	c.SettleMax = max(c.SettleMax, c.Settle)
	def(&c.SeriesPerProject, 1000)
	def(&c.ReleaseSlots, 5)
	def(&c.Environments, 10)
	def(&c.MaxPending, 100_000)
	def(&c.MaxSeen, 500_000)
	if c.LogPerSecond == 0 {
		c.LogPerSecond = 2
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// ValidateRoute checks one configured template: it starts with "/", has at
// most 32 segments and 160 bytes, and "*" only as its last segment.
func ValidateRoute(template string) error {
	if !strings.HasPrefix(template, "/") {
		return fmt.Errorf("route %q must start with /", template)
	}
	if len(template) > maxRoute {
		return fmt.Errorf("route %q is longer than %d bytes", template, maxRoute)
	}
	if strings.ContainsAny(template, "?#") {
		return fmt.Errorf("route %q must not have a query or fragment", template)
	}
	segments := splitPath(template)
	if strings.Count(template, "/") > maxTemplateSegments {
		return fmt.Errorf("route %q has more than %d segments", template, maxTemplateSegments)
	}
	for i, s := range segments {
		if s == "*" && i < len(segments)-1 {
			return fmt.Errorf("route %q: * may only be the last segment", template)
		}
	}
	return nil
}
