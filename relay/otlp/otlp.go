package otlp

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"breakwater/relay"
	"breakwater/schemas"
)

// Config of one upstream. Zero fields take the default named beside them.
type Config struct {
	// URL is the server's address; /v1/traces is added unless it ends so.
	URL string
	// Headers go with every request: API keys.
	Headers map[string]string
	// Username and Password are for HTTP basic authentication.
	Username, Password string
	// Encoding of the body: gzip (default) or none.
	Encoding string
	// Timeout of one attempt with a small body, answer included. 10 s.
	Timeout time.Duration
	// MinThroughput in bytes per second extends it for large bodies. 256 KiB/s.
	MinThroughput int64
	// Concurrency is how many idle connections are kept. 8.
	Concurrency int
	// Version of the gateway, for User-Agent. "dev".
	Version string
	// RootCAs replaces the system's certificate authorities.
	RootCAs *x509.CertPool
	Now     func() time.Time // time.Now
}

// Destination delivers to one server. It is safe for concurrent use.
type Destination struct {
	client  *relay.Client
	timeout time.Duration
	rate    int64
	now     func() time.Time
}

var _ relay.Destination = (*Destination)(nil)

// answerTime is how long an answer's body is waited for, once the status is known.
const answerTime = time.Second

const tracesPath = "/v1/traces"

// New makes a destination. It does not connect. Errors never hold a secret.
func New(c Config) (*Destination, error) {
	header, secrets := http.Header{}, []string(nil)
	for name, value := range c.Headers {
		header.Set(name, value)
		secrets = append(secrets, value)
	}
	client, err := relay.NewClient(relay.ClientConfig{
		URL: tracesURL(c.URL), Encoding: c.Encoding, Header: header, Secrets: secrets, Username: c.Username, Password: c.Password,
		Connections: c.Concurrency, Version: c.Version, RootCAs: c.RootCAs,
	})
	if err != nil {
		return nil, fmt.Errorf("making an OTLP upstream: %w", err)
	}
	d := &Destination{client: client, timeout: c.Timeout, rate: c.MinThroughput, now: c.Now}
	if d.timeout <= 0 {
		d.timeout = 10 * time.Second
	}
	if d.rate <= 0 {
		d.rate = 256 << 10
	}
	if d.now == nil {
		d.now = time.Now
	}
	return d, nil
}

// tracesURL adds the path of the signal to a server's address; what is no
// address is left for the client to refuse.
func tracesURL(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	if u.Path = strings.TrimRight(u.Path, "/"); !strings.HasSuffix(u.Path, tracesPath) {
		u.Path += tracesPath
	}
	u.RawPath = ""
	return u.String()
}

// Target shows where it delivers to, without secrets.
func (d *Destination) Target() string { return d.client.Target() }

// Close closes idle connections.
func (d *Destination) Close() error { return d.client.Close() }

// Deliver posts the record's spans once. See the package for what is no
// delivery.
func (d *Destination) Deliver(ctx context.Context, _ *schemas.Meta, env *schemas.Envelope) ([]schemas.Final, error) {
	ctx, cancel := context.WithTimeout(ctx, relay.AttemptTimeout(d.timeout, env, d.rate))
	defer cancel()
	finals := make([]schemas.Final, len(env.Items))
	body, spans, err := requestBody(env, finals)
	if err != nil {
		return nil, &relay.DeliverError{Class: relay.Bounded, Reason: "unreadable", Err: err}
	}
	if spans == 0 {
		return finals, nil
	}
	rejected, de := d.post(ctx, body)
	if de != nil {
		return nil, de
	}
	all := true
	for i := range finals {
		if finals[i].Outcome == "" {
			finals[i] = schemas.Final{Outcome: schemas.Delivered}
			if rejected >= spans {
				finals[i] = schemas.Final{Outcome: schemas.DeadLetter, Reason: "rejected"}
			}
		}
		all = all && finals[i].Outcome == schemas.Delivered
	}
	if all {
		return nil, nil
	}
	return finals, nil
}

// post is one request: how many spans the answer refuses, and what it means.
func (d *Destination) post(ctx context.Context, body []byte) (rejected int64, _ *relay.DeliverError) {
	a, de := d.client.Post(ctx, "application/x-protobuf", body, answerTime)
	switch {
	case a == nil:
		return 0, de
	case a.Good(): // whatever became of the answer's body: the upstream has the spans
		return rejectedSpans(a.Body, a.Header.Get("Content-Type")), nil
	}
	return 0, d.client.Fault(a, statusMessage(a.Body, a.Header.Get("Content-Type")), d.now())
}
