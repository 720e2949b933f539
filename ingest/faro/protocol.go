package faro

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Memory of Idempotency-Keys: the SDK gives a batch up after three attempts,
// seconds or a Retry-After apart.
const (
	RememberFor = time.Hour
	RememberMax = 50_000
)

// Bounds of one payload. The SDK sends 50 entries at most, and one batch every
// quarter of a second.
const (
	maxExceptions = 100
	maxEntries    = 2000
	maxOutput     = 2 << 20 // bytes of events, logs and spans made of it
)

// Reasons of what ends here.
const (
	reasonInvalid  = "invalid_entry"
	reasonTooMany  = "too_many"
	reasonTooLarge = "too_large"
)

// Refusals of whole payloads, beside those of package ingest.
var (
	RejectBusy    = &ingest.Rejection{Status: 503, Detail: "the same batch is being taken", Outcome: schemas.RateLimited, Reason: "in_progress", RetryAfter: time.Second}
	RejectEntries = &ingest.Rejection{Status: 400, Detail: "invalid Faro payload", Outcome: schemas.Invalid, Reason: reasonInvalid}
)

// Protocol decodes Faro's payloads. The zero value is ready and forgets keys.
type Protocol struct {
	// Repeats remembers batches by their Idempotency-Key; nil forgets them.
	Repeats *ingest.Repeats
}

var _ ingest.Protocol = (*Protocol)(nil)

// Decode reads one payload. Errors: ingest.RejectEmpty, RejectDepth,
// RejectJSON, RejectNothingUsable, RejectBusy, and what reading the body fails
// with.
func (p *Protocol) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	raw, err := req.ReadAll(body, req.Settings().EventSize)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	var claim ingest.Claim
	if key := req.Header.Get("Idempotency-Key"); key != "" && p.Repeats != nil {
		held, state := req.Claim(p.Repeats, []byte(key), sum[:])
		claim = held
		switch state {
		case ingest.Again:
			return &ingest.Batch{Request: req, Items: []*ingest.Item{repeat()}}, nil
		case ingest.Busy:
			return nil, RejectBusy
		}
	}
	b, err := decode(req, raw, sum[:])
	if err != nil {
		claim.GiveBack()
		return nil, err
	}
	b.Claims = []ingest.ItemClaim{{Claim: claim}}
	b.Conclude = func(_ *ingest.Batch, err error) error {
		if err == nil {
			claim.Keep()
		} else {
			claim.GiveBack()
		}
		return err
	}
	return b, nil
}

// repeat stands for a batch that was taken before: what is in it was counted then.
func repeat() *ingest.Item {
	return ingest.Refused("", 1, schemas.Filtered, ingest.ReasonRepeat)
}

// decoder turns one payload into a batch.
type decoder struct {
	req     *ingest.Request
	batch   *ingest.Batch
	id      string // of the payload: ids of events are derived from it
	meta    meta
	common  []schemas.Attribute // of every log
	crumbs  []crumb             // in the order of time when the exceptions are read
	logs    []schemas.LogEntry
	entries int
	size    int
	session string // as a trace id, for logs that belong to none
	counts  []count
	spent   bool // for logs
}

type count struct {
	kind    string
	outcome schemas.Outcome
	reason  string
	n       int
}

func decode(req *ingest.Request, raw, sum []byte) (*ingest.Batch, error) {
	payload := jsontext.Value(raw)
	for len(payload) > 0 && (payload[0] == ' ' || payload[0] == '\n' || payload[0] == '\r' || payload[0] == '\t') {
		payload = payload[1:]
	}
	switch {
	case len(payload) == 0:
		return nil, ingest.RejectEmpty
	case schemas.TooDeep(payload, req.Settings().JSONDepth):
		return nil, ingest.RejectDepth
	case payload.Kind() != '{' || !payload.IsValid(lenient):
		return nil, ingest.RejectJSON.Because("a Faro payload is a JSON object with meta and signals")
	}
	d := &decoder{req: req, id: hex.EncodeToString(sum), batch: &ingest.Batch{Request: req, Header: schemas.EmptyHeader(), Many: true, Digest: sum}}
	rawMeta, _ := schemas.Lookup(payload, "meta")
	d.meta = readMeta(rawMeta)
	d.share()
	for _, part := range []struct {
		name string
		take func(int, jsontext.Value) error
	}{
		// Logs and events first: they are the breadcrumbs of the exceptions.
		{"logs", d.log}, {"events", d.event}, {"measurements", d.measurement}, {"exceptions", d.exception},
	} {
		if part.name == "exceptions" {
			slices.SortStableFunc(d.crumbs, func(a, b crumb) int { return a.at.Compare(b.at) })
		}
		list, _ := schemas.Lookup(payload, part.name)
		i := 0
		for el := range schemas.Elements(list) {
			if err := part.take(i, el); err != nil {
				return nil, err
			}
			i++
		}
	}
	traces, _ := schemas.Lookup(payload, "traces")
	if err := d.traces(traces); err != nil {
		return nil, err
	}
	d.finish()
	if b := d.batch; len(b.Items) == 0 && len(b.Beacons) == 0 {
		return nil, ingest.RejectNothingUsable
	}
	return d.batch, nil
}

// traces keeps the spans for an OTLP upstream.
func (d *decoder) traces(raw jsontext.Value) error {
	if raw.Kind() != '{' {
		return nil
	}
	spans := ingest.Spans{CountOnly: len(d.req.Project.OTLP) == 0}
	var fault error
	spent := false
	err := schemas.WalkOTLP(raw, true, schemas.OTLPTraces, func(rec *schemas.OTLPRecord) bool {
		span := &tracepb.Span{}
		before := spans.Len()
		switch d.entries++; {
		case d.entries > maxEntries:
			d.drop(schemas.OTLPSpans, schemas.Invalid, reasonTooMany)
		case spent:
			d.drop(schemas.OTLPSpans, schemas.Invalid, reasonTooLarge)
		case rec.Decode(span) != nil || spans.Add(rec, span) != nil:
			d.drop(schemas.OTLPSpans, schemas.Invalid, reasonInvalid)
		default:
			fault = d.spend(spans.Len() - before)
			if errors.Is(fault, errSpent) {
				spent, fault = true, nil
			}
		}
		return fault == nil
	})
	if err != nil { // too deep was asked before; so it is no object of OTLP's
		d.drop(schemas.OTLPSpans, schemas.Invalid, reasonInvalid)
	}
	if it := spans.Item(d.req.Project); it != nil {
		d.batch.Items = append(d.batch.Items, it)
	}
	return fault
}

// errSpent says that a payload has made as much as it may.
var errSpent = errors.New("more than one payload may make")

// spend asks for n bytes that are about to be made. Errors: errSpent, and
// ingest.RejectOverload.
func (d *decoder) spend(n int) error {
	if d.size += n; d.size > maxOutput {
		d.size -= n
		return errSpent
	}
	return d.req.Make(n)
}

// drop counts an entry that ends here.
func (d *decoder) drop(kind string, o schemas.Outcome, reason string) {
	for i := range d.counts {
		if c := &d.counts[i]; c.kind == kind && c.outcome == o && c.reason == reason {
			c.n++
			return
		}
	}
	d.counts = append(d.counts, count{kind, o, reason, 1})
}

// finish puts together what the entries left.
func (d *decoder) finish() {
	b := d.batch
	if it := ingest.NewLogItem(d.logs); it != nil {
		b.Items = append(b.Items, it)
	}
	for _, c := range d.counts {
		b.Items = append(b.Items, ingest.Refused(c.kind, c.n, c.outcome, c.reason))
		b.Refusal = RejectEntries
	}
	if b.EventID != "" {
		b.Header.SetString("event_id", b.EventID)
	}
}
