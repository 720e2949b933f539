package beacon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Protocol decodes beacons. The zero value is ready.
type Protocol struct {
	// ToSentry tells whether a project's beacons also go to its upstreams, as
	// Sentry spans; nil means none do.
	ToSentry func(project string) bool
}

var _ ingest.Protocol = (*Protocol)(nil)

// maxRejected bounds how many unreadable entries of one beacon are counted
// one by one; a body of the largest size could hold tens of thousands.
const maxRejected = 1000

// Decode reads one beacon. Errors: ingest.RejectEmpty, RejectDepth, RejectJSON,
// RejectNothingUsable, and what reading the body fails with.
func (p *Protocol) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("reading a beacon: %w", err)
	}
	b, rejected, err := schemas.DecodeBeacon(raw, req.Header.Get("Content-Type"), url.Values(req.Query))
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
	batch := &ingest.Batch{Beacons: []*schemas.Beacon{b}}
	if p.ToSentry != nil && req.Project != nil && !req.Canary && p.ToSentry(req.Project.Name) {
		toSentry(batch, req, b)
	}
	return batch, nil
}
