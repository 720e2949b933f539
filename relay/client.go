package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
)

// ClientConfig is the way to an upstream that takes whole bodies by HTTP. Zero
// fields take the default named beside them.
type ClientConfig struct {
	// URL is where to post.
	URL string
	// Encoding of the body: gzip (default) or none.
	Encoding string
	// Header goes with every request; it may hold secrets.
	Header http.Header
	// Username and Password are sent as basic authentication, unless empty.
	Username, Password string
	// Secrets are further texts that must not stand in an error.
	Secrets []string
	// ConnectTimeout, TLS handshake not included. 3 s.
	ConnectTimeout time.Duration
	// Connections is how many idle ones are kept. 8.
	Connections int
	// MaxAnswer bounds the answer's body, in bytes. 64 KiB.
	MaxAnswer int64
	// Version of the gateway, for the User-Agent. "dev".
	Version string
	// RootCAs replaces the system's certificate authorities.
	RootCAs *x509.CertPool
}

// Client posts bodies to one address. Redirects are not followed; cookies are
// not kept. It is safe for concurrent use.
type Client struct {
	cfg       ClientConfig
	client    *http.Client
	transport *http.Transport
	secrets   []string
}

// Answer is what an upstream said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	// Cut says that the body was longer than ClientConfig.MaxAnswer.
	Cut bool
}

// NewClient makes a client. It does not connect. Errors hold no secrets.
func NewClient(c ClientConfig) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("upstream's address is not http://host or https://host")
	}
	switch c.Encoding {
	case "", "gzip":
		c.Encoding = "gzip"
	case "none":
	default:
		return nil, fmt.Errorf("encoding %q is not one of gzip, none", c.Encoding)
	}
	if c.MaxAnswer <= 0 {
		c.MaxAnswer = 64 << 10
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	t := NewTransport(TransportConfig{ConnectTimeout: c.ConnectTimeout, Connections: c.Connections, RootCAs: c.RootCAs})
	cl := &Client{cfg: c, transport: t}
	cl.client = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, s := range append([]string{c.Password, c.Header.Get("Authorization")}, c.Secrets...) {
		if s != "" {
			cl.secrets = append(cl.secrets, s)
		}
	}
	return cl, nil
}

// TransportConfig is what transports of destinations differ in.
type TransportConfig struct {
	ConnectTimeout time.Duration // 3 s
	Connections    int           // idle ones kept; 8
	RootCAs        *x509.CertPool
	// Dial replaces the network, and proxies from the environment.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// sendBuffer is how much of a request a connection gathers before it writes, in
// bytes: an error's envelope with its headers, which Go's 4 KiB would cut in two
// writes.
const sendBuffer = 16 << 10

// NewTransport is how destinations reach the network by HTTP: short times to
// connect, dead HTTP/2 connections found by pings, bounded answers' headers.
func NewTransport(c TransportConfig) *http.Transport {
	orDuration(&c.ConnectTimeout, 3*time.Second)
	if c.Connections <= 0 {
		c.Connections = 8
	}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: c.ConnectTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs},
		TLSHandshakeTimeout:    5 * time.Second,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		MaxIdleConns:           c.Connections,
		MaxIdleConnsPerHost:    c.Connections,
		IdleConnTimeout:        60 * time.Second,
		ExpectContinueTimeout:  time.Second,
		WriteBufferSize:        sendBuffer,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // answers are small, and a bomb in one would be ours to defuse
	}
	if c.Dial != nil {
		t.DialContext, t.Proxy = c.Dial, nil
	}
	return t
}

// Close closes idle connections.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// Target shows the address, for people.
func (c *Client) Target() string { return c.cfg.URL }

var bodies = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the error is for unknown levels
	return w
}}

// Post sends body once. bodyTime bounds how long the answer's body is read
// once its status is known. The error is a DeliverError: there was no answer,
// or none that could be read.
func (c *Client) Post(ctx context.Context, contentType string, body []byte, bodyTime time.Duration) (*Answer, *DeliverError) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if c.cfg.Encoding == "gzip" {
		var b bytes.Buffer
		w := bodies.Get().(*gzip.Writer)
		w.Reset(&b)
		_, _ = w.Write(body) // to memory
		_ = w.Close()
		bodies.Put(w)
		body = b.Bytes()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return nil, &DeliverError{Class: Permanent, Reason: "error", Err: c.Redact(err)}
	}
	for name, values := range c.cfg.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "breakwater/"+c.cfg.Version)
	req.Header["Idempotency-Key"] = []string{} // may be sent again when a kept connection broke; not sent itself
	if c.cfg.Encoding == "gzip" {
		req.Header.Set("Content-Encoding", "gzip")
	}
	if c.cfg.Username != "" {
		req.SetBasicAuth(c.cfg.Username, c.cfg.Password)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // the address is known
		}
		return nil, NetworkError(c.Redact(err))
	}
	stop := time.AfterFunc(bodyTime, cancel)
	defer stop.Stop()
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, c.cfg.MaxAnswer+1))
	a := &Answer{Status: resp.StatusCode, Header: resp.Header, Body: text}
	if int64(len(text)) > c.cfg.MaxAnswer {
		a.Body, a.Cut = text[:c.cfg.MaxAnswer], true
	}
	if err != nil && a.Good() {
		return a, NetworkError(c.Redact(err))
	}
	return a, nil
}

// Good tells whether the status is a success.
func (a *Answer) Good() bool { return a.Status >= 200 && a.Status < 300 }

// Fault says what a status that is no success means, by StatusError, with the
// upstream's words made safe to show.
func (c *Client) Fault(a *Answer, said string, now time.Time) *DeliverError {
	if a.Status >= 300 && a.Status < 400 {
		said = "redirect to " + a.Header.Get("Location") + " not followed; correct the address"
	}
	msg := fmt.Sprintf("upstream answered %d %s", a.Status, http.StatusText(a.Status))
	if said = Printable(said, 500); said != "" {
		msg += ": " + said
	}
	return StatusError(a.Status, a.Header, now, c.Redact(errors.New(strings.TrimSpace(msg))))
}

// Printable makes any text safe for a log line: one line, no control
// characters, at most n bytes.
func Printable(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0xfffd || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, s)
	return clipDoc(strings.TrimSpace(s), n)
}

var addressUser = regexp.MustCompile(`://[^/@\s"]*@`)

// hidden shows an error without secrets and keeps it for errors.Is and As.
type hidden struct {
	text string
	err  error
}

func (h *hidden) Error() string { return h.text }
func (h *hidden) Unwrap() error { return h.err }

// Redact hides the password, the key and what an address carries before an @.
func (c *Client) Redact(err error) error {
	text := addressUser.ReplaceAllString(err.Error(), "://***@")
	for _, s := range c.secrets {
		text = strings.ReplaceAll(text, s, "***")
		if _, token, ok := strings.Cut(s, " "); ok {
			text = strings.ReplaceAll(text, token, "***")
		}
	}
	return &hidden{text, err}
}
