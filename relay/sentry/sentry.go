package sentry

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"time"

	"breakwater/relay"
	"breakwater/schemas"
)

// Config of one upstream. Zero fields take the default named beside them.
type Config struct {
	// DSN is where to deliver, as Sentry shows it in a project's settings.
	DSN string
	// Encoding of the body: gzip (default), identity (or none), zstd, br,
	// deflate. Only Relay is known to read zstd; Bugsink takes it for plain
	// text and answers 400.
	Encoding string
	// Timeout of one attempt with a small body, answer included. 10 s.
	Timeout time.Duration
	// MinThroughput in bytes per second extends it for large bodies. 256 KiB/s.
	MinThroughput int64
	// ConnectTimeout, TLS handshake not included. 3 s.
	ConnectTimeout time.Duration
	// Concurrency is how many idle connections are kept. 8.
	Concurrency int
	// Limits is where the upstream's rate limits are kept; destinations that
	// share one honour each other's. nil: its own.
	Limits *Limits
	// Version of the gateway, for sentry_client. "dev".
	Version string
	// RootCAs replaces the system's certificate authorities.
	RootCAs *x509.CertPool
	// Dial replaces the network, and proxies from the environment.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	Now  func() time.Time // time.Now
}

// Destination delivers to one DSN. It is safe for concurrent use.
type Destination struct {
	dsn       schemas.DSN
	auth      string
	key       []byte // the DSN's, as JSON
	agent     string
	enc       *encoding
	timeout   time.Duration
	rate      int64
	limits    *Limits
	now       func() time.Time
	request   *http.Request       // what each one begins as
	constant  map[string][]string // headers that are the same for all
	transport *http.Transport
}

var (
	_ relay.Destination = (*Destination)(nil)
	_ relay.Limiter     = (*Destination)(nil)
)

// Bounds on what an upstream may send back.
const (
	maxAnswerBody = 64 << 10
	maxAnswerTime = time.Second // for the body, once the status is known
)

// New makes a destination. It does not connect. Errors never hold the DSN.
func New(c Config) (*Destination, error) {
	dsn, err := schemas.ParseDSN(c.DSN)
	if err != nil {
		return nil, fmt.Errorf("reading the upstream's DSN: %w", err)
	}
	enc, err := findEncoding(c.Encoding)
	if err != nil {
		return nil, err
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.MinThroughput <= 0 {
		c.MinThroughput = 256 << 10
	}
	if c.Limits == nil {
		c.Limits = NewLimits()
	}
	if c.Version == "" {
		c.Version = "dev"
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &Destination{
		dsn: dsn, key: schemas.QuoteString(dsn.PublicKey), enc: enc, timeout: c.Timeout, rate: c.MinThroughput, limits: c.Limits, now: c.Now,
		agent: "breakwater/" + headerText(c.Version),
		transport: relay.NewTransport(relay.TransportConfig{
			ConnectTimeout: c.ConnectTimeout, Connections: c.Concurrency, RootCAs: c.RootCAs, Dial: c.Dial,
		}),
	}
	d.auth = "Sentry sentry_version=7, sentry_client=" + d.agent + ", sentry_key=" + dsn.PublicKey
	if d.request, err = http.NewRequest(http.MethodPost, dsn.EnvelopeURL(), nil); err != nil {
		return nil, fmt.Errorf("reading the upstream's DSN: %w", d.redact(err))
	}
	d.constant = map[string][]string{
		"Content-Type": {"application/x-sentry-envelope"}, "X-Sentry-Auth": {d.auth}, "Accept": {"application/json"}, "User-Agent": {d.agent},
	}
	if enc.name != "identity" {
		d.constant["Content-Encoding"] = []string{enc.name}
	}
	return d, nil
}

// Target shows where it delivers to, without the secret.
func (d *Destination) Target() string { return d.dsn.String() }

// Limits are the upstream's rate limits in force for this DSN.
func (d *Destination) Limits(now time.Time) []schemas.RateLimit { return d.limits.Active(d.dsn, now) }

// Close closes idle connections.
func (d *Destination) Close() error {
	d.transport.CloseIdleConnections()
	return nil
}

// Deliver posts the envelope once. When the upstream finds it too large, it
// is posted a second time without its attachments, which then end as
// dead_letter with the reason too_large and are gone: the record is settled. A rate limit in any answer is kept
// for Limits; on a 429 the error has class Held.
func (d *Destination) Deliver(ctx context.Context, meta *schemas.Meta, env *schemas.Envelope) ([]schemas.Final, error) {
	timeout := relay.AttemptTimeout(d.timeout, env, d.rate)
	if end, ok := ctx.Deadline(); !ok || time.Until(end) > timeout { // the relay sets one, usually the same
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	err := d.post(ctx, meta, env)
	if err == nil {
		return nil, nil
	}
	if err.Reason != "too_large" {
		return nil, err
	}
	slim, finals := withoutAttachments(env)
	if len(slim.Items) == 0 || len(slim.Items) == len(env.Items) {
		return nil, err
	}
	if err := d.post(ctx, meta, slim); err != nil {
		return nil, err
	}
	return finals, nil
}

// withoutAttachments is the rest of an envelope and how each of its items
// ends when that rest is delivered.
func withoutAttachments(env *schemas.Envelope) (*schemas.Envelope, []schemas.Final) {
	slim := &schemas.Envelope{Header: env.Header}
	finals := schemas.AllFinal(len(env.Items), schemas.Delivered, "")
	for i := range env.Items {
		if env.Items[i].Header.Type == "attachment" {
			finals[i] = schemas.Final{Outcome: schemas.DeadLetter, Reason: "too_large"}
			continue
		}
		slim.Items = append(slim.Items, env.Items[i])
	}
	return slim, finals
}
