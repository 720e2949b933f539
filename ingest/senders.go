package ingest

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
)

// senders bounds how many connections of one address may be in the middle of
// sending a request at a time, header or body. Each holds a stack and buffers
// from its first byte on, so that a stranger with thousands of slow ones would hold
// tens of megabytes until their time is over. Beyond the bound the one that has
// been at it longest is cut off: it is the slowest, so that clients who share
// an address with a stranger go on. Addresses of IPv6 count by /64. Trusted proxies and unix sockets,
// which stand for many clients, have no bound.
type senders struct {
	mu sync.Mutex
	by map[netip.Addr]*crowd
}

// crowd is the connections of an address that are sending, the longest first.
type crowd struct {
	mu          sync.Mutex
	first, last *sender
	length      int
	conns       int // open ones, sending or not; under senders.mu
}

// sender is one connection.
type sender struct {
	*patient
	server *Server
	peer   netip.Addr // the other end; invalid for a unix socket
	crowd  *crowd     // nil until it is served, and without a bound
	phase  atomic.Int32
	sealed bool // under TLS, whose reads are not those of net/http; known before the first byte
	multi  bool // HTTP/2, which sends several requests at a time; known before the first

	// Under crowd.mu.
	before, behind *sender
	gone           bool
	sending        atomic.Bool // may be read without
}

// phases of a connection between two requests. One whose first bytes have come is
// counted when more are asked for: most requests come in one piece.
const (
	counted   int32 = iota // or not between two requests
	resting                // no byte of the next request has come
	beginning              // its first bytes have
)

// senderListener makes its connections ones that can be cut off.
type senderListener struct {
	net.Listener
	server *Server
}

func (l senderListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &sender{patient: newPatient(c), server: l.server, peer: peerAddr(c.RemoteAddr().String())}, nil
}

// networkOf is the address, or the /64 of IPv6, which is what one customer has.
func networkOf(a netip.Addr) netip.Addr {
	if a.Is4() || !a.IsValid() {
		return a
	}
	return netip.PrefixFrom(a, 64).Masked().Addr()
}

// senderOf finds the connection under TLS too; nil for one of another listener.
func senderOf(c net.Conn) *sender {
	if s, ok := c.(*sender); ok {
		return s
	}
	if t, ok := c.(interface{ NetConn() net.Conn }); ok {
		s, _ := t.NetConn().(*sender)
		return s
	}
	return nil
}

type senderKey struct{}

// withSender lets requests find their connection.
func withSender(ctx context.Context, c net.Conn) context.Context {
	if s := senderOf(c); s != nil {
		return context.WithValue(ctx, senderKey{}, s)
	}
	return ctx
}

// senderUnder is the connection that a request came by; nil under another server.
func senderUnder(ctx context.Context) *sender {
	s, _ := ctx.Value(senderKey{}).(*sender)
	return s
}

// Read notices when a connection that rested between two requests begins to
// send the next one: net/http says so only when it has read the header. What
// HTTP/2 sends need be no request: there net/http's word counts.
func (c *sender) Read(p []byte) (int, error) {
	// Of one byte is net/http's look-out for clients who hang up: the request is here.
	// Nothing else asks for one, because what leaves room for one counts at once.
	if len(p) > 1 && c.phase.Load() == beginning && c.phase.CompareAndSwap(beginning, counted) {
		c.begin()
	}
	n, err := c.patient.Read(p)
	switch {
	case n <= 0 || c.phase.Load() != resting:
	case c.sealed || n >= len(p)-1:
		c.phase.Store(counted)
		c.begin()
	default:
		c.phase.Store(beginning)
	}
	return n, err
}

// cutOff ends reading, whatever deadlines net/http sets between a request's
// header and its body: who sends a body is answered 408, who sends a header, or
// HTTP/2, is not answered.
func (c *sender) cutOff() { c.reading.end() }

// open is told of a new connection, which begins to send.
func (s *senders) open(c *sender) {
	s.mu.Lock()
	if s.by == nil {
		s.by = map[netip.Addr]*crowd{}
	}
	network := networkOf(c.peer)
	if c.crowd = s.by[network]; c.crowd == nil {
		c.crowd = &crowd{}
		s.by[network] = c.crowd
	}
	c.crowd.conns++
	s.mu.Unlock()
}

// closed is told of the end of a connection.
func (s *senders) closed(c *sender) {
	if c.crowd == nil {
		return
	}
	c.crowd.mu.Lock()
	c.gone = true // also for who reads the rest of a body now
	if c.sending.Load() {
		c.crowd.leave(c)
	}
	c.crowd.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.crowd.conns--; c.crowd.conns == 0 {
		delete(s.by, networkOf(c.peer))
	}
}

// begin says that the connection sends a request; another one may be cut off
// for it.
func (c *sender) begin() {
	if c.crowd == nil {
		return
	}
	if slowest := c.crowd.enter(c, c.server.door.Load().settings.Config.SendingPerIP); slowest != nil {
		c.server.metrics.cut.Inc()
		slowest.cutOff()
	}
}

// enter adds a connection, and takes out the one that is too many, nil for none.
func (w *crowd) enter(c *sender, most int) *sender {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.sending.Load() || c.gone {
		return nil
	}
	c.sending.Store(true)
	c.before = w.last
	if w.last == nil {
		w.first = c
	} else {
		w.last.behind = c
	}
	w.last = c
	if w.length++; w.length <= most {
		return nil
	}
	slowest := w.first
	w.leave(slowest)
	slowest.gone = true
	return slowest
}

// arrived says that a request is here.
func (c *sender) arrived() {
	if c == nil || c.phase.Load() == beginning && c.phase.CompareAndSwap(beginning, counted) {
		return
	}
	c.rest()
	if c.multi { // others may be on their way, and it is not slow
		c.begin()
	}
}

// rest says that no request is on its way.
func (c *sender) rest() {
	if c.crowd == nil || !c.sending.Load() { // of a request with a body it is said twice
		return
	}
	c.crowd.mu.Lock()
	defer c.crowd.mu.Unlock()
	if c.sending.Load() {
		c.crowd.leave(c)
	}
}

func (w *crowd) leave(c *sender) {
	if c.before == nil {
		w.first = c.behind
	} else {
		c.before.behind = c.behind
	}
	if c.behind == nil {
		w.last = c.before
	} else {
		c.behind.before = c.before
	}
	c.before, c.behind = nil, nil
	c.sending.Store(false)
	w.length--
}

// connState follows what the connections are doing.
func (s *Server) connState(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.metrics.connections.Inc()
	case http.StateClosed, http.StateHijacked:
		s.metrics.connections.Dec()
	}
	c := senderOf(conn)
	if c == nil {
		return
	}
	switch state {
	case http.StateNew:
		_, c.sealed = conn.(*tls.Conn)
		proxies := s.door.Load().settings.Config.TrustedProxies
		if c.peer.IsValid() && !contains(proxies, c.peer) {
			s.senders.open(c)
			c.begin()
		}
	case http.StateActive:
		if t, ok := conn.(*tls.Conn); ok && !c.multi {
			c.multi = t.ConnectionState().NegotiatedProtocol == "h2"
		}
		if c.multi {
			c.begin()
		}
	case http.StateIdle:
		c.rest()
		if !c.multi {
			c.phase.Store(resting)
		}
	case http.StateClosed, http.StateHijacked:
		s.senders.closed(c)
	}
}
