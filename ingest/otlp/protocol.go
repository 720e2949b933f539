package otlp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"strings"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Bounds of one request. Exporters send 512 records at a time by default,
// collectors up to 8192,
// of which a body of limits.event_size holds some 5000.
const (
	maxRecords = 5000
	maxEvents  = 512
	maxOutput  = 2 << 20 // bytes of events and logs made of one request
	maxSpans   = 4 << 20 // bytes of spans, as JSON
)

// Reasons of what ends here.
const (
	reasonInvalid     = "invalid_record"
	reasonTooMany     = "too_many"
	reasonTooLarge    = "too_large"
	reasonUnsupported = "unsupported_metric"
	reasonAggregated  = "aggregated"
	reasonEmpty       = "no_measurement"
)

// Refusals of whole requests, beside those of package ingest.
var (
	RejectProtobuf = &ingest.Rejection{Status: 400, Detail: "invalid protobuf data", Outcome: schemas.Invalid, Reason: "invalid_protobuf"}
	RejectRecords  = &ingest.Rejection{Status: 400, Detail: "no record of the request can be read", Outcome: schemas.Invalid, Reason: reasonInvalid}
)

// Protocol decodes one signal. Use Logs, Traces or Metrics.
type Protocol struct {
	signal schemas.OTLPSignal
	record func(*decoder, *schemas.OTLPRecord) error
	// kind is the item type by which records that cannot be read are counted.
	kind string
}

var _ ingest.Protocol = (*Protocol)(nil)

// Logs decodes /v1/logs.
func Logs() *Protocol {
	return &Protocol{signal: schemas.OTLPLogs, record: (*decoder).log, kind: "log"}
}

// Traces decodes /v1/traces.
func Traces() *Protocol {
	return &Protocol{signal: schemas.OTLPTraces, record: (*decoder).span, kind: schemas.OTLPSpans}
}

// Metrics decodes /v1/metrics.
func Metrics() *Protocol {
	return &Protocol{signal: schemas.OTLPMetrics, record: (*decoder).metric, kind: "trace_metric"}
}

// encodingOf says whether a request is JSON or protobuf; ok is false for
// anything else, which is answered 415.
func encodingOf(contentType string) (json, ok bool) {
	typ, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		typ, _, _ = strings.Cut(contentType, ";")
	}
	switch strings.ToLower(strings.TrimSpace(typ)) {
	case "application/json":
		return true, true
	case "application/x-protobuf":
		return false, true
	}
	return false, false
}

// decoder turns the records of one request into a batch.
type decoder struct {
	req   *ingest.Request
	batch *ingest.Batch
	id    string // of the request's bytes: ids of events are derived from it

	signal  schemas.OTLPSignal
	logs    []schemas.LogEntry
	spans   ingest.Spans
	beacons map[string]*schemas.Beacon
	events  int
	records int
	size    int // bytes of what was made so far
	// measurements are the bytes of vitals.
	measurements int
	spent        bool
	refused      int // records, or data points, that the client is told of
	counts       []count
	about        resources
}

// count is how many of what ended here, and how.
type count struct {
	kind    string
	outcome schemas.Outcome
	reason  string
	n       int
}

// Decode reads one request. Errors: ingest.RejectContentType, RejectEmpty,
// RejectDepth, RejectJSON, RejectProtobuf, and what reading the body fails with.
func (p *Protocol) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	json, ok := encodingOf(req.Header.Get("Content-Type"))
	if !ok {
		return nil, ingest.RejectContentType.Because("OTLP is application/json or application/x-protobuf")
	}
	raw, err := req.ReadAll(body, req.Settings().EventSize)
	if err != nil {
		return nil, err
	}
	if json && len(strings.TrimSpace(string(raw[:min(len(raw), 64)]))) == 0 {
		return nil, ingest.RejectEmpty // protobuf of no bytes is a request without records
	}
	sum := sha256.Sum256(raw)
	d := &decoder{
		req: req, batch: &ingest.Batch{Request: req, Header: schemas.EmptyHeader(), Many: true, Digest: sum[:]},
		id: hex.EncodeToString(sum[:]), signal: p.signal, beacons: map[string]*schemas.Beacon{},
	}
	d.spans.CountOnly = len(req.Project.OTLP) == 0
	var fault error
	err = schemas.WalkOTLP(raw, json, p.signal, func(rec *schemas.OTLPRecord) bool {
		switch d.records++; {
		case d.records > maxRecords:
			d.refuse(p.kind, reasonTooMany)
			return true
		case d.spent:
			d.refuse(p.kind, reasonTooLarge)
			return true
		}
		var ours *ingest.Rejection
		switch err := p.record(d, rec); {
		case errors.As(err, &ours):
			fault = err
			return false
		case errors.Is(err, errSpent):
			d.spent = true
			d.refuse(p.kind, reasonTooLarge)
		case err != nil:
			d.refuse(p.kind, reasonInvalid)
		}
		return true
	})
	switch {
	case fault != nil:
		return nil, fault
	case errors.Is(err, schemas.ErrOTLPDepth):
		return nil, ingest.RejectDepth.With(err)
	case errors.Is(err, schemas.ErrOTLPWire):
		return nil, RejectProtobuf.With(err)
	case err != nil:
		return nil, ingest.RejectJSON.With(err)
	}
	d.finish()
	if d.refused > 0 {
		d.batch.Refusal = RejectRecords
	}
	d.batch.Conclude = func(b *ingest.Batch, err error) error {
		refused := d.refused
		for _, it := range b.Items {
			if it.Outcome == schemas.RateLimited && (p.signal == schemas.OTLPLogs || it.Header.Type == p.kind) {
				refused += it.Quantity // all of them would be a 429
			}
		}
		b.Reply = answer(p.signal, json, refused, err)
		return err
	}
	return d.batch, nil
}

// errSpent says that a request has made as much as it may.
var errSpent = errors.New("more than one request may make")

// spend asks for n bytes that are about to be made. Errors: errSpent and RejectOverload.
func (d *decoder) spend(n int) error {
	if d.size += n; d.size > maxOutput+d.spans.Len() {
		d.size -= n
		return errSpent
	}
	return d.req.Make(n)
}

// refuse counts a record that the client is told of in a partial success.
func (d *decoder) refuse(kind, reason string) {
	d.refused++
	d.drop(kind, schemas.Invalid, reason, 1)
}

// drop counts what ends here.
func (d *decoder) drop(kind string, o schemas.Outcome, reason string, n int) {
	for i := range d.counts {
		if c := &d.counts[i]; c.kind == kind && c.outcome == o && c.reason == reason {
			c.n += n
			return
		}
	}
	d.counts = append(d.counts, count{kind, o, reason, n})
}

// finish puts together what the records left.
func (d *decoder) finish() {
	b := d.batch
	for _, it := range []*ingest.Item{ingest.NewLogItem(d.logs), d.spans.Item(d.req.Project)} {
		if it != nil {
			b.Items = append(b.Items, it)
		}
	}
	for _, c := range d.counts {
		b.Items = append(b.Items, ingest.Refused(c.kind, c.n, c.outcome, c.reason))
	}
	if b.EventID != "" {
		b.Header.SetString("event_id", b.EventID)
	}
}
