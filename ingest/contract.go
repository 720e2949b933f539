package ingest

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/oklog/ulid/v2"

	"breakwater/schemas"
)

// Sink keeps accepted records: the spool. Append returns nil only when the
// record is durable; that nil is what a 200 means. An error may tell more by
// the methods Reason() string (for metrics) and RetryAfter() time.Duration.
type Sink interface {
	Append(ctx context.Context, rec *schemas.Record) error
}

// Spiller opens a file beside the spool for a payload too large for memory. What
// is written to it counts against the project's share of the spool.
type Spiller interface {
	Spill(project string) (Spill, error)
}

// Spill is a payload on its way to disk: write, Finish, use as a Payload.
// Discard removes it; once the sink has taken its record it does nothing.
type Spill interface {
	io.Writer
	schemas.Body
	Finish() error
	Discard()
}

// Ledger counts every item that comes in and the one outcome it gets at the
// door. project is the configured name, UnknownProject when there is none.
type Ledger interface {
	Received(project string, c schemas.Category, n int)
	Outcome(project string, c schemas.Category, o schemas.Outcome, reason string, n int)
	// Measured counts n measurements that came in and are in the histograms, which is
	// where they go: received, accepted and delivered.
	Measured(project string, n int)
}

// UnknownProject is the project label of requests that named no project of ours.
const UnknownProject = "__unknown__"

// Recorder takes measurements: Web Vitals, mobile vitals. It returns how many
// entries were usable.
type Recorder interface {
	Record(req *Request, beacon *schemas.Beacon) (used int)
}

// Watcher looks on, for a live view. It is called on the request's way, so it
// must be quick and must not block; it may read the batch, not change or keep
// it. While Watching is false nothing else is called.
type Watcher interface {
	Watching() bool
	// Decided is told of a batch whose every item has its outcome at the door.
	Decided(b *Batch)
	// Refused is told of a request that was refused before its items were known.
	Refused(req *Request, rej *Rejection)
}

// Authenticator finds out who a request is from. Errors are rejections.
type Authenticator interface {
	// Authenticate looks for credentials where the endpoint's mode allows. It
	// returns nil, nil, nil when there are none and the envelope's dsn may still
	// bring them.
	Authenticate(dir *Directory, h Head) (*Project, *Key, error)
	// ByDSN looks up the dsn of an envelope header; p and k are what
	// Authenticate returned.
	ByDSN(dir *Directory, h Head, p *Project, k *Key, dsn string) (*Project, *Key, error)
}

// Head is what an Authenticator sees of a request.
type Head struct {
	Mode   AuthMode
	Header http.Header
	Query  map[string][]string
	// Project is the path's project, "" when the route has none (then HasProject is false).
	Project    string
	HasProject bool
	// Key is the public key in the path, "" when the route has none.
	Key string
}

// Gatekeeper is asked once the project and the key are known and before a byte
// of the body is read; nil lets the request in.
type Gatekeeper interface {
	AllowRequest(req *Request) *Rejection
}

// Stage is one decision between a parsed request and the spool: limits,
// filters, sampling, storm control, scrubbing. It looks at a batch and drops
// items (Batch.Drop) or edits their payloads. Stages run in the order of the
// list they are given in; none may keep the batch.
type Stage interface {
	// Name is the word for logs and traces.
	Name() string
	// Apply decides. A *Rejection refuses the request as a whole; any other error
	// is a fault of ours (answered 500), not of the client.
	Apply(b *Batch) error
}

// Request is who sent what, known before the body is read. When it is answered
// it becomes another one: nobody may keep it.
type Request struct {
	// ID identifies the request in logs.
	ID ulid.ULID
	// Endpoint is the row of the endpoint table: envelope, store, tunnel, vitals, …
	Endpoint string
	// Budget is the endpoint's, see Endpoint.Budget.
	Budget string
	// Project and Key are nil only before authentication.
	Project *Project
	Key     *Key
	// ReceivedAt is the gateway's clock.
	ReceivedAt time.Time
	// ClientIP is the peer, or what a trusted proxy says.
	ClientIP  netip.Addr
	UserAgent string
	// Origin is the Origin header, else the origin of Referer, "" when neither
	// names an http(s) page.
	Origin string
	// Header are the request's headers, for client hints and the like. Cookie
	// and Authorization have been removed.
	Header http.Header
	// Query are the request's query parameters. Requests share it: it must not be
	// changed.
	Query map[string][]string
	// Method is GET or POST.
	Method string
	// Params are the parameters of the route's path.
	Params []Param
	// Canary says that the request is an operator's probe (see Canaries): it
	// takes the path of all requests, and counts as nobody's error, session or
	// page view.
	Canary bool

	ctx      context.Context // ends when the client goes; nil in tests of protocols
	body     body
	ballot   *Ballot
	params   [2]Param // room for Params
	config   *Config
	byDSN    func(dsn string) error
	spiller  Spiller
	spills   []Spill
	memory   *memory
	conn     *sender // that it came by; nil under another server, and in tests of protocols
	made     int64   // bytes that Make was asked for
	turn     bool    // it has a turn to make more
	heavy    bool    // it may take a processor long
	working  bool    // it has one
	claims   []Claim
	reserved int64
}

// Protocol turns the body of one endpoint into a batch; ingest/sentry,
// ingest/beacon and the others implement it. Decode reads from body, which is
// already decompressed and limited. Errors made by Reject say how to answer;
// any other error is answered 400.
type Protocol interface {
	Decode(ctx context.Context, req *Request, body io.Reader) (*Batch, error)
}
