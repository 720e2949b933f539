package console

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/relay"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

// Spool is what the console reads and does in the spool.
type Spool interface {
	Stats() spool.Stats
	List(q spool.Query, fn func(spool.Entry) bool) error
	Open(id string) (*schemas.Record, error)
	Retry(q spool.Query) (int, error)
	Drop(q spool.Query) (int, error)
}

// Relay is what the console reads and does in the delivery loop.
type Relay interface {
	Status() []relay.Status
	Pause(spool.Destination) bool
	Resume(spool.Destination) bool
}

// State reads what the other parts know. The console calls these only while
// it answers somebody, and remembers the answers for a moment: many viewers
// cost no more than one.
type State interface {
	// Projects are the configured names.
	Projects() []string
	// Groups are up to n error groups of a project in one of Orders.
	Groups(project, order string, n int) []Group
	// Group is one of them.
	Group(project, fingerprint string) (Group, bool)
	// Sample is a stored occurrence of a group, nil when none is kept.
	Sample(project, fingerprint string) *Sample
	Releases() []Release
	Vitals() []Vital
	Outcomes() []Ledger
	Limited() []Limited
	Quotas() []Quota
	Config() Config
}

// Orders are the ways to sort error groups.
var Orders = []string{"recent", "count", "new"}

// Options is what the private listener needs from the rest.
type Options struct {
	// Gatherer is what /metrics shows.
	Gatherer prometheus.Gatherer
	// Exposer writes further families for /metrics, and Pages gathers the same
	// ones for the formats it does not know; nil for none.
	Exposer Exposer
	Pages   prometheus.Gatherer
	// Registerer takes the console's own metrics; nil for none.
	Registerer prometheus.Registerer
	// Token guards every route but /metrics, /-/healthy, /-/ready, /signin and
	// the style sheet; "" leaves them open, which the configuration allows on
	// loopback only.
	Token func() string
	// Ready tells why the gateway cannot take requests, nil when it can.
	Ready func() error
	// Reload reads the configuration again; its error lists what is wrong.
	Reload func() error
	// Problems takes the list of mistakes out of Reload's error, nil without one.
	Problems func(error) any
	// Status is what /api/v1/status shows, as JSON.
	Status func() any
	// Canaries are the probes of doctor; nil offers none.
	Canaries Canaries
	Spool    Spool
	// Shared says that other gateways work on the same spool.
	Shared bool
	Relay  Relay
	State  State
	// API are further paths of the JSON API and who answers there; they are
	// guarded like the others, and in openapi.json, but bound bodies themselves.
	API map[string]http.Handler
	// Help are the runbooks shown under /help/alerts/.
	Help []HelpPage
	// Tail is where the door tells what became of each item; nil for none.
	Tail *Tail
	// Demo is the demonstration page; nil for none.
	Demo *Demo
	// AuditFile keeps the history of actions; "" keeps it in memory.
	AuditFile string
	// Version is what the pages' foot says.
	Version string
	// Now is the clock; nil means time.Now.
	Now    func() time.Time
	Logger zerolog.Logger

	// every is the pace of live pages, patience how long one write to a viewer
	// may take; tests make them quick.
	every, patience time.Duration
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.every <= 0 {
		o.every = 2 * time.Second
	}
	if o.patience <= 0 {
		o.patience = streamWrite
	}
	if o.Tail == nil {
		o.Tail = NewTail()
	}
	if o.Problems == nil {
		o.Problems = func(error) any { return nil }
	}
	return o
}
