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

// decoding is what one beacon needs, to be used for the next one: its body, what
// it says, and a batch for it.
type decoding struct {
	body  bytes.Buffer
	room  schemas.BeaconRoom
	list  [1]*schemas.Beacon
	batch ingest.Batch
	done  func() // giveBack, made once
}

var decodings = sync.Pool{New: func() any { return new(decoding) }}

// maxPooled bounds the body that is kept for the next one, in bytes.
const maxPooled = 64 << 10

func (d *decoding) giveBack() {
	if d.body.Cap() <= maxPooled {
		d.body.Reset()
		d.list, d.batch = [1]*schemas.Beacon{}, ingest.Batch{}
		decodings.Put(d)
	}
}

// Decode reads one beacon. Errors: ingest.RejectEmpty, RejectDepth, RejectJSON,
// RejectNothingUsable, and what reading the body fails with.
func (p *Protocol) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	d := decodings.Get().(*decoding)
	if err := p.decode(d, req, body); err != nil {
		d.giveBack()
		return nil, err
	}
	if len(d.batch.Items) == 0 { // measurements only: nobody has them any more when the answer is written
		if d.done == nil {
			d.done = d.giveBack
		}
		d.batch.Done = d.done
	}
	return &d.batch, nil
}

func (p *Protocol) decode(d *decoding, req *ingest.Request, body io.Reader) error {
	if _, err := d.body.ReadFrom(body); err != nil {
		return fmt.Errorf("reading a beacon: %w", err)
	}
	b, rejected, err := d.room.Decode(d.body.Bytes(), req.Header.Get("Content-Type"), url.Values(req.Query))
	switch {
	case errors.Is(err, schemas.ErrBeaconEmpty):
		return ingest.RejectEmpty.With(err)
	case errors.Is(err, schemas.ErrBeaconDepth):
		return ingest.RejectDepth.With(err)
	case err != nil:
		return ingest.RejectJSON.Because("a beacon is a JSON object, an array of them, or a form").With(err)
	}
	for i, r := range rejected {
		if i == maxRejected {
			break
		}
		b.Vitals = append(b.Vitals, schemas.Vital{Name: r.Name, Rejected: r.Reason})
	}
	if len(b.Vitals) == 0 {
		return ingest.RejectNothingUsable
	}
	b.Source = "beacon"
	d.list[0] = b
	d.batch.Beacons = d.list[:]
	if p.ToSentry != nil && req.Project != nil && !req.Canary && p.ToSentry(req.Project.Name) {
		p.toSentry(&d.batch, req, b)
	}
	return nil
}
