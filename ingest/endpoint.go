package ingest

import (
	"net/http"
	"strings"
	"time"

	"breakwater/schemas"
)

// Endpoint is one row of the table of routes: what is served where, who may
// post, how success is said. Limits, CORS, error answers, accounting and
// durability come with the row.
type Endpoint struct {
	// Name is the word for metrics and logs: envelope, store, vitals, …
	Name string
	// Methods; empty means POST. OPTIONS is always answered.
	Methods []string
	// Paths are router patterns without a trailing slash, such as
	// /api/:project/envelope. Parameters: project is the project's id, key a
	// public key; all are handed to the Protocol as Request.Params.
	Paths []string
	// Auth says where credentials are looked for.
	Auth AuthMode
	// Protocol decodes the body.
	Protocol Protocol
	// Credentials answers browsers that send cookies (navigator.sendBeacon does,
	// and preflights a JSON Blob with them): the origin is echoed instead of *.
	// The gateway itself never reads them.
	Credentials bool
	// Reply is the answer to success; the zero value is 200 with {"id": …}.
	// Batch.Reply goes before it.
	Reply Reply
	// Refuse writes a refusal in the protocol's own form, for a request with
	// these headers; nil, or nothing from it, is {"detail", "causes"}.
	Refuse func(h http.Header, rej *Rejection) *Reply
	// MaxBody bounds the body, on the wire and decompressed; nil means
	// Config.RequestSize and Config.DecompressedSize.
	MaxBody func(*Config) int64
	// Upload says that the body is a file: on the wire it may be as large as an
	// attachment and an event together, where that is more than Config.RequestSize.
	Upload bool
	// Budget names what the rates per address and per key are counted in; ""
	// is the common one. A budget of its own keeps what nobody waits for (the
	// reports a browser makes by itself) from using up the rates of errors.
	Budget string
	// Limited is the answer to what a rate limit refused, for clients that
	// would take a 429 for a reason to send again and again; nil answers 429.
	// Batch.Reply goes before it. What was refused is counted all the same.
	Limited func() Reply
}

// BudgetReports is the Endpoint.Budget of reports that browsers make by themselves.
const BudgetReports = "reports"

// TunnelPath stands in Endpoint.Paths for Config.TunnelPath.
const TunnelPath = "{tunnel_path}"

// AuthMode says which sources of credentials an endpoint knows.
type AuthMode int

const (
	// AuthSentry reads the headers, the query and the path, as Sentry's protocol has it.
	AuthSentry AuthMode = iota
	// AuthEnvelope is AuthSentry, or the envelope header's dsn when there is nothing else.
	AuthEnvelope
	// AuthTunnel reads the envelope header's dsn only: what a browser adds to a
	// same-origin request is not for us.
	AuthTunnel
	// AuthKey reads ?key=, ?sentry_key=, X-Breakwater-Key and X-Api-Key.
	AuthKey
	// AuthAny is AuthSentry and AuthKey: exporters can be told either.
	AuthAny
)

// takesDSN tells whether an envelope header's dsn means something here.
func (m AuthMode) takesDSN() bool { return m == AuthEnvelope || m == AuthTunnel }

// Reply is the answer to a request that was taken.
type Reply struct {
	// Status; 0 means 200.
	Status int
	// ContentType and Body; with an empty ContentType the answer is the event
	// id as JSON when Status is 200, else empty.
	ContentType string
	Body        []byte
	// Empty answers 200 without a body.
	Empty bool
	// RetryAfter, when there is one, is told in the header of that name: a part of
	// the request may come again then.
	RetryAfter time.Duration
}

// BeaconBody is the MaxBody of endpoints that take one small measurement.
func BeaconBody(c *Config) int64 { return c.BeaconSize }

// EventBody is the MaxBody of endpoints that take one event, or a batch of
// small things.
func EventBody(c *Config) int64 { return c.EventSize }

func (ep *Endpoint) methods() []string {
	if len(ep.Methods) == 0 {
		return []string{http.MethodPost}
	}
	return ep.Methods
}

// paths are the row's patterns with the tunnel's path filled in; a row for a
// tunnel that is switched off has none.
func (ep *Endpoint) paths(cfg *Config) []string {
	var paths []string
	for _, p := range ep.Paths {
		if p == TunnelPath {
			if cfg.TunnelPath == "" {
				continue
			}
			p = cleanSlashes(cfg.TunnelPath)
		}
		paths = append(paths, p)
	}
	return paths
}

// Param is one parameter of a route's path.
type Param struct{ Name, Value string }

// Param returns a path parameter by name, "" when the route has none.
func (r *Request) Param(name string) string {
	for _, p := range r.Params {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// ByDSN takes the dsn of an envelope header: it authenticates a request that
// has no credentials yet, and checks that it agrees with those of one that
// has. The host is not compared: it is never connected to. Errors are
// rejections.
func (r *Request) ByDSN(dsn string) error {
	if r.byDSN == nil {
		return nil
	}
	return r.byDSN(dsn)
}

// Settings are the limits this request is held to; never nil.
func (r *Request) Settings() *Config {
	if r.config != nil {
		return r.config
	}
	c := DefaultConfig()
	r.config = &c
	return r.config
}

// Spill opens a file for a payload too large for memory, or nil when the
// gateway has no place for one. A file that did not reach the sink is removed
// when the request ends.
func (r *Request) Spill() (Spill, error) {
	if r.spiller == nil {
		return nil, nil
	}
	s, err := r.spiller.Spill(projectLabel(r))
	if err != nil {
		return nil, err
	}
	r.spills = append(r.spills, s)
	return s, nil
}

// Reserve asks for n bytes of the memory that all requests share; they are
// given back when the request ends. The error is RejectOverload.
func (r *Request) Reserve(n int64) error {
	if r.memory == nil || n <= 0 {
		return nil
	}
	if !r.memory.take(n, r.Settings().MemoryBudget) {
		return RejectOverload
	}
	r.reserved += n
	return nil
}

// Make asks for n bytes that a protocol is about to make of what it has read.
// They count in the memory that all requests share, twice, because they are
// copied into a record. A request that makes more than 256 KiB waits for its
// turn. The error is RejectOverload, when the memory is used up, or no turn came
// in time.
func (r *Request) Make(n int) error {
	if r.memory == nil || n <= 0 {
		return nil
	}
	if r.made += int64(n); r.made > freeMaking {
		if err := r.takeTurn(); err != nil {
			return err
		}
	}
	return r.Reserve(madeCopies * int64(n))
}

// takeTurn waits until the request may make much; that ends with the request.
// Nobody who has a turn may wait for the network.
func (r *Request) takeTurn() error {
	if r.turn || r.memory == nil {
		return nil
	}
	r.Rest()
	if !r.memory.turn(r.ctx) {
		return RejectOverload
	}
	r.turn = true
	return r.Work()
}

// release ends what the request holds.
func (r *Request) release() {
	if r.reserved > 0 {
		r.memory.give(r.reserved)
		r.reserved = 0
	}
	r.Rest()
	if r.turn {
		r.memory.endTurn()
		r.turn = false
	}
	for _, c := range r.claims {
		c.GiveBack() // nothing, if it was ended: only a panic gets by that
	}
	for _, s := range r.spills {
		s.Discard() // nothing, if the sink took it
	}
	r.spills = nil
}

// Measurements is how many measurements of the batch a client sent as such.
// Those read out of Sentry items are not counted: the items are.
func (b *Batch) Measurements() int {
	n := 0
	for _, bc := range b.Beacons {
		if bc.Source != SourceSentry {
			n += len(bc.Vitals)
		}
	}
	return n
}

// SourceSentry is the Beacon.Source of measurements read out of Sentry items.
const SourceSentry = "sentry"

// cleanSlashes collapses repeated slashes and drops the trailing one.
func cleanSlashes(p string) string {
	if p == "" || p[0] != '/' {
		return p
	}
	if !strings.Contains(p, "//") {
		if len(p) > 1 && p[len(p)-1] == '/' {
			return p[:len(p)-1]
		}
		return p
	}
	out := make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		if p[i] == '/' && len(out) > 0 && out[len(out)-1] == '/' {
			continue
		}
		out = append(out, p[i])
	}
	if len(out) > 1 && out[len(out)-1] == '/' {
		out = out[:len(out)-1]
	}
	return string(out)
}

// categoryOfRefusal is what a request counts as that was refused before its
// items were known.
const categoryOfRefusal = schemas.CategoryUnknown
