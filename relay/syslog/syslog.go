package syslog

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"time"

	"breakwater/relay"
	"breakwater/schemas"
)

// Config of one server. Zero fields take the default named beside them.
type Config struct {
	Server
	// Facility by its short name. user.
	Facility string
	// FullEvent adds the whole payload to each document, as one text.
	FullEvent bool
	// Timeout of one batch, from connecting to the server's close. 10 s.
	Timeout time.Duration
	// Hold is how long a record waits after the server has read it. 500 ms.
	Hold time.Duration
	// Hostname is the gateway's name. The system's.
	Hostname string
}

const (
	// maxMessage is where servers cut a message by default, in bytes.
	maxMessage = 8 << 10
	// maxFullMessage is the bound with the whole payload, over TCP and TLS.
	maxFullMessage = 256 << 10
	// headerRoom is the most that stands before the text.
	headerRoom = 512
	// maxRecords and maxBatch bound one batch.
	maxRecords, maxBatch = 512, 1 << 20
	// refusal is how long a datagram's refusal is waited for.
	refusal = 20 * time.Millisecond
)

// Destination delivers to one server. It is safe for concurrent use.
type Destination struct {
	cfg      Config
	facility int
	limit    int
	sessions tls.ClientSessionCache
	batches  relay.Batcher[*letter]
	watch    *watch
}

var _ relay.Destination = (*Destination)(nil)

// letter is a record's share of a batch.
type letter struct {
	messages [][]byte
	broken   <-chan struct{} // closed when the server that got it went away
}

// New makes a destination. It does not connect.
func New(c Config) (*Destination, error) {
	if c.Facility == "" {
		c.Facility = "user"
	}
	facility, err := Facility(c.Facility)
	if err != nil {
		return nil, err
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Hold <= 0 {
		c.Hold = 500 * time.Millisecond
	}
	if c.Hostname == "" {
		c.Hostname, _ = os.Hostname() // "-" without one
	}
	d := &Destination{cfg: c, facility: facility, limit: maxMessage - headerRoom, sessions: tls.NewLRUClientSessionCache(4)}
	if c.FullEvent && c.Network != "udp" {
		d.limit = maxFullMessage - headerRoom
	}
	d.watch = &watch{server: c.Server, sessions: d.sessions}
	d.batches = relay.Batcher[*letter]{Send: d.send, Senders: 1, MaxJobs: maxRecords, MaxBytes: maxBatch}
	return d, nil
}

// Target shows where it delivers to.
func (d *Destination) Target() string { return d.cfg.Server.String() }

// Close ends the watch.
func (d *Destination) Close() error {
	d.watch.close()
	return nil
}

// Deliver sends the documents of a record and waits until the server has read
// them, and for the hold after that; see the package on what that is worth.
func (d *Destination) Deliver(ctx context.Context, m *schemas.Meta, env *schemas.Envelope) ([]schemas.Final, error) {
	docs, finals, err := relay.Documents(m, env, d.cfg.FullEvent)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return finals, nil
	}
	l, size := &letter{}, 0
	for i := range docs {
		msg := Message(Header{
			Facility: d.facility, Severity: severity(docs[i].Level), Time: docs[i].Time(),
			Hostname: d.cfg.Hostname, App: "breakwater", ID: docs[i].Kind,
		}, docs[i].LineWithin(d.limit))
		l.messages = append(l.messages, msg)
		size += len(msg) + 8
	}
	if _, err := d.batches.Do(ctx, l, size); err != nil {
		return nil, err
	}
	if d.cfg.Network == "udp" {
		return finals, nil
	}
	hold := time.NewTimer(d.cfg.Hold)
	defer hold.Stop()
	select {
	case <-hold.C:
	case <-l.broken:
		return nil, relay.NetworkError(errors.New("the server closed its connections just after it read the record"))
	case <-ctx.Done():
		return nil, relay.NetworkError(ctx.Err())
	}
	select {
	case <-l.broken: // both at once: the careful reading counts
		return nil, relay.NetworkError(errors.New("the server closed its connections just after it read the record"))
	default:
		return finals, nil
	}
}

func severity(level string) int {
	switch level {
	case "fatal":
		return Critical
	case "error":
		return Error
	case "warning":
		return Warning
	case "debug":
		return Debug
	}
	return Informational
}
