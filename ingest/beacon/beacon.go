package beacon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"sync"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Protocol decodes beacons. The zero value is ready.
type Protocol struct {
	// ToSentry tells whether a project's beacons also go to its upstreams, as
	// Sentry spans; nil means none do.
	ToSentry func(project string) bool
	// Route names the page an entry was measured on, for Sentry, "" when it is not
	// known; nil takes the client's word.
	Route func(project string, b *schemas.Beacon, v *schemas.Vital) string
}

var _ ingest.Protocol = (*Protocol)(nil)

// maxRejected bounds how many unreadable entries of one beacon are counted
// one by one; a body of the largest size could hold tens of thousands.
const maxRejected = 1000

// buffers hold a body while it is decoded, up to maxPooled bytes each.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const maxPooled = 64 << 10

// batchOfOne is a batch with room for its one beacon.
type batchOfOne struct {
	ingest.Batch
	list [1]*schemas.Beacon
}

// Decode reads one beacon. Errors: ingest.RejectEmpty, RejectDepth, RejectJSON,
// RejectNothingUsable, and what reading the body fails with.
func (p *Protocol) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	buf := buffers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= maxPooled {
			buf.Reset()
			buffers.Put(buf)
		}
	}()
	if _, err := buf.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("reading a beacon: %w", err)
	}
	b, rejected, err := schemas.DecodeBeacon(buf.Bytes(), req.Header.Get("Content-Type"), url.Values(req.Query))
	switch {
	case errors.Is(err, schemas.ErrBeaconEmpty):
		return nil, ingest.RejectEmpty.With(err)
	case errors.Is(err, schemas.ErrBeaconDepth):
		return nil, ingest.RejectDepth.With(err)
	case err != nil:
		return nil, ingest.RejectJSON.Because("a beacon is a JSON object, an array of them, or a form").With(err)
	}
	for i, r := range rejected {
		if i == maxRejected {
			break
		}
		b.Vitals = append(b.Vitals, schemas.Vital{Name: r.Name, Rejected: r.Reason})
	}
	if len(b.Vitals) == 0 {
		return nil, ingest.RejectNothingUsable
	}
	b.Source = "beacon"
	made := &batchOfOne{list: [1]*schemas.Beacon{b}}
	made.Beacons = made.list[:]
	batch := &made.Batch
	if p.ToSentry != nil && req.Project != nil && !req.Canary && p.ToSentry(req.Project.Name) {
		p.toSentry(batch, req, b)
	}
	return batch, nil
}
