package schemas

import (
	"slices"
	"time"
)

// Beacon is what a page or app measured, by whichever route it came: the
// gateway's own beacon, Sentry traffic, Faro, OpenTelemetry.
type Beacon struct {
	Route       string `json:"route,omitempty" validate:"omitempty,max=2048"`
	URL         string `json:"url,omitempty" validate:"omitempty,max=8192"`
	Release     string `json:"release,omitempty" validate:"omitempty,max=200"`
	Environment string `json:"environment,omitempty" validate:"omitempty,max=64"`
	Device      string `json:"device,omitempty" validate:"omitempty,oneof=mobile tablet desktop other"`
	OS          string `json:"os,omitempty" validate:"omitempty,max=64"`
	// SampleRate is the share of page views that measure, 0 when not said.
	SampleRate float64 `json:"sample_rate,omitempty" validate:"gte=0,lte=1"`
	TraceID    string  `json:"trace_id,omitempty" validate:"omitempty,len=32,hexadecimal"`
	Vitals     []Vital `json:"vitals" validate:"max=200"`

	// Source says where it came from: beacon, sentry, faro, otlp. Not on the wire.
	Source string `json:"-"`
	// Ignored names the fields above that were sent but not kept, because they
	// break the published schema: an unknown device, a release Sentry refuses.
	Ignored []string `json:"-"`
	// SentAt orders reports of one id where the client says when it sent; zero otherwise.
	SentAt time.Time `json:"-"`
}

// Vital is one metric object as the web-vitals library makes it (v3 to v6), or
// one mobile measurement. Times are in milliseconds as they come; CLS and the
// counts have no unit.
type Vital struct {
	Name           string  `json:"name" validate:"required"`
	Value          float64 `json:"value"`
	Delta          float64 `json:"delta,omitempty"`
	ID             string  `json:"id,omitempty" validate:"omitempty,max=128"`
	Rating         string  `json:"rating,omitempty"` // never trusted: the gateway rates
	NavigationType string  `json:"navigationType,omitempty"`
	// NavigationID, NavigationURL and NavigationStartTime tell soft navigations
	// of one page apart (web-vitals 6); the id is a number there, kept as text.
	NavigationID        string  `json:"navigationId,omitempty" validate:"omitempty,max=128"`
	NavigationURL       string  `json:"navigationURL,omitempty" validate:"omitempty,max=8192"`
	NavigationStartTime float64 `json:"navigationStartTime,omitempty"`
	// HasValue is false when "value" was absent or not a number.
	HasValue bool `json:"-"`
	// Rejected is why an entry could not be read, one of the reasons of
	// Rejected; such an entry has nothing but, at best, a name. It is there so
	// that everything that was sent is counted.
	Rejected string `json:"-"`
	// Attribution is kept raw for the log stream: a JSON object, "" when absent.
	Attribution string `json:"-"`
}

// VitalNames is the closed list of what a beacon may measure (design §7).
var VitalNames = []string{
	"LCP", "INP", "CLS", "FCP", "TTFB",
	"app_start_cold", "app_start_warm", "app_start_hot", "ttid", "ttfd",
	"frames_slow", "frames_frozen", "frames_total", "stall_count", "stall_longest",
}

// KnownVital tells whether a name is one of VitalNames.
func KnownVital(name string) bool { return slices.Contains(VitalNames, name) }
