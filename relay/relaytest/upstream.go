package relaytest

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"breakwater/schemas"
)

// Options of an Upstream. The zero value records everything and takes all
// that is well formed.
type Options struct {
	// IDsOnly keeps event ids and counters but no requests, so that millions
	// can be counted: about 40 bytes each.
	IDsOnly bool
	// MaxRequests is how many requests are kept; older ones go first. 10000.
	MaxRequests int
	// MaxBody bounds a decompressed request; more is answered 413. 256 MiB.
	MaxBody int64
	// Raw takes any body as it is, for protocols other than Sentry's.
	Raw bool
	// Key is the public key requests must carry; "": any.
	Key string
	// Decide chooses the step of a request by what it holds, when no script
	// does. It may be called at the same time from several requests.
	Decide func(*Request) Step
	// Expect finds fault with a request that was parsed; an error is kept in
	// Problems and answered 400. It may be called at the same time from several
	// requests; their Step is how they will be treated.
	Expect func(*Request) error
	// Answer is the body of a good answer. Sentry's by default.
	Answer func(*Request) string
	// Now is the clock by which requests are received. time.Now.
	Now func() time.Time
}

// Upstream is a server that records what it is sent. It is an http.Handler;
// Start, Listen and Serve put it on the network. Safe for concurrent use.
type Upstream struct {
	opts    Options
	closing chan struct{}
	ids     IDs

	Plan // how the next requests are treated

	mu       sync.Mutex
	requests []*Request
	totals   Totals
	problems []string
	servers  []*http.Server
	url      string
	closed   bool
}

// Totals count what came.
type Totals struct {
	Requests int64 // all
	Taken    int64 // stored: answered 2xx, or the answer was lost after storing
	Wire     int64 // bytes of bodies as they came
	ByStatus map[int]int64
	// Items of taken requests by type, containers as one.
	Items map[string]int64
	// Problems is how many faults were found, see Upstream.Problems.
	Problems int64
	// Dropped is how many requests were recorded and then given up for
	// MaxRequests.
	Dropped int64
}

// NewUpstream makes an upstream that listens nowhere yet.
func NewUpstream(o Options) *Upstream {
	if o.MaxRequests <= 0 {
		o.MaxRequests = 10000
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 256 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	u := &Upstream{opts: o, closing: make(chan struct{})}
	u.totals.ByStatus, u.totals.Items = map[int]int64{}, map[string]int64{}
	return u
}

// Start listens on a free port of the loopback interface.
func (u *Upstream) Start() error { return u.Listen("127.0.0.1:0") }

// Listen listens on addr and serves in the background until Close.
func (u *Upstream) Listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return u.Serve(l)
}

// Serve serves l in the background until Close.
func (u *Upstream) Serve(l net.Listener) error {
	srv := &http.Server{Handler: u, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)} // it is made to misbehave
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		_ = l.Close()
		return errors.New("upstream is closed")
	}
	u.servers = append(u.servers, srv)
	u.url = "http://" + l.Addr().String()
	go func() { _ = srv.Serve(l) }() // ends with Close
	return nil
}

// URL is the address of the last listener, without a slash at the end.
func (u *Upstream) URL() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.url
}

// TestKey is the public key of Upstream.DSN.
const TestKey = "00000000000000000000000000000abc"

// DSN of a project at this upstream, with Options.Key or TestKey.
func (u *Upstream) DSN(project string) string {
	key := u.opts.Key
	if key == "" {
		key = TestKey
	}
	return strings.Replace(u.URL(), "://", "://"+key+"@", 1) + "/" + project
}

// Close ends all servers and cuts all connections.
func (u *Upstream) Close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return
	}
	u.closed = true
	close(u.closing)
	for _, srv := range u.servers {
		_ = srv.Close()
	}
}

// ServeHTTP takes one request through the next step.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s, decided := u.Next()
	decided = decided || u.opts.Decide == nil // else it depends on what the request holds
	req := &Request{At: u.opts.Now(), Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone()}
	if decided && (s.Fault == ResetBefore || s.Fault == Refuse) {
		u.record(req, s, 0)
		reset(w)
		return
	}
	u.read(req, r, s.ReadRate)
	if req.Err == nil && !decided {
		s = u.opts.Decide(req)
	}
	if req.Err == nil && u.opts.Expect != nil {
		req.Step = s
		if err := u.opts.Expect(req); err != nil {
			var no *refusal
			if !errors.As(err, &no) {
				no = &refusal{http.StatusBadRequest, err.Error()}
			}
			req.Err = no
		}
	}
	status := s.status()
	var no *refusal
	if errors.As(req.Err, &no) && s.Fault == "" && status < 300 {
		s = Step{Status: no.status, Body: fmt.Sprintf(`{"detail":%s}`, schemas.QuoteString(no.why))}
	}
	u.record(req, s, s.status())
	s.Play(w, r, func() string { return u.good(req) }, u.closing)
}

// good is the body of a good answer.
func (u *Upstream) good(req *Request) string {
	switch {
	case u.opts.Answer != nil:
		return u.opts.Answer(req)
	case req.EventID != "":
		return fmt.Sprintf(`{"id":%q}`, req.EventID)
	}
	return "{}"
}

// record counts a request, and keeps it.
func (u *Upstream) record(req *Request, s Step, status int) {
	req.Status, req.Step, req.Taken = status, s, s.Taken() && req.Err == nil
	if id, ok := ParseID(req.EventID); ok && req.Taken {
		u.ids.Add(id)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.totals.Requests++
	u.totals.Wire += req.Wire
	u.totals.ByStatus[status]++
	if req.Taken {
		u.totals.Taken++
		for _, it := range req.Items {
			u.totals.Items[it.Header.Type]++
		}
	}
	if req.Err != nil && s.Fault == "" {
		u.totals.Problems++
		if len(u.problems) < 100 {
			u.problems = append(u.problems, fmt.Sprintf("%s %s: %v", req.Method, req.Path, req.Err))
		}
	}
	if u.opts.IDsOnly {
		return
	}
	if len(u.requests) >= u.opts.MaxRequests {
		u.requests[0] = nil
		u.requests = u.requests[1:]
		u.totals.Dropped++
	}
	u.requests = append(u.requests, req)
}

// Requests are those kept, in the order they were answered. They are shared:
// read them only.
func (u *Upstream) Requests() []*Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*Request(nil), u.requests...)
}

// Taken are the kept requests that the upstream stored.
func (u *Upstream) Taken() []*Request {
	var taken []*Request
	for _, r := range u.Requests() {
		if r.Taken {
			taken = append(taken, r)
		}
	}
	return taken
}

// Totals are the counters now.
func (u *Upstream) Totals() Totals {
	u.mu.Lock()
	defer u.mu.Unlock()
	t := u.totals
	t.ByStatus, t.Items = map[int]int64{}, map[string]int64{}
	for k, v := range u.totals.ByStatus {
		t.ByStatus[k] = v
	}
	for k, v := range u.totals.Items {
		t.Items[k] = v
	}
	return t
}

// Problems are requests that were not as they should be, the first 100.
func (u *Upstream) Problems() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.problems...)
}

// IDs are the event ids of taken requests.
func (u *Upstream) IDs() *IDs { return &u.ids }

// Reset forgets what was recorded, and the script.
func (u *Upstream) Reset() {
	u.ids.Reset()
	u.Relent()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests, u.problems = nil, nil
	u.totals = Totals{ByStatus: map[int]int64{}, Items: map[string]int64{}}
}
