package sentry

import (
	"context"
	"errors"
	"io"

	"breakwater/ingest"
	"breakwater/schemas"
)

const (
	// maxItems bounds the items of one envelope. The fullest that SDKs send hold
	// some hundred sessions or client reports.
	maxItems = 1000
	// inlineSize is up to where an opaque payload stays in memory, in bytes.
	inlineSize = 256 << 10
	// freeMemory is what a request holds before it has to ask for more, in bytes.
	freeMemory = 64 << 10
)

// Envelope decodes envelopes, of the envelope endpoint and of the tunnel. The
// content type is not looked at: browsers send several, or none.
type Envelope struct {
	// Metrics count what client reports say; nil counts nothing.
	Metrics *Metrics
}

var _ ingest.Protocol = (*Envelope)(nil)

// Decode reads the envelope as it arrives. Rejections: an empty body, a broken
// header or framing, a dsn that does not authenticate, a bad event id, more
// than 1000 items, want of memory.
func (e *Envelope) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	r := schemas.NewReader(body)
	header, err := r.Header()
	if errors.Is(err, io.EOF) {
		return nil, ingest.RejectEmpty
	}
	if err != nil {
		return nil, err
	}
	if err := identify(req, header); err != nil {
		return nil, err
	}
	b := &ingest.Batch{Request: req, Header: header}
	if b.EventID, err = headerID(header); err != nil {
		return nil, err
	}
	d := newDecoder(req, b)
	for {
		h, payload, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := d.item(h, payload); err != nil {
			return nil, err
		}
	}
	d.finish()
	nameEvent(b)
	e.Metrics.countReports(b)
	return b, nil
}

// identify gives the header's dsn to the door. One that is there but no
// string is as bad as one that cannot be parsed.
func identify(req *ingest.Request, h schemas.EnvelopeHeader) error {
	if v, ok := h.Get("dsn"); ok && v.Kind() != 'n' {
		return req.ByDSN(h.DSN())
	}
	if req.Project == nil {
		return ingest.RejectNoAuth
	}
	return nil
}
