package sentry

import (
	"bytes"
	"errors"
	"io"

	"breakwater/ingest"
	"breakwater/schemas"
)

// decoder turns the items of one envelope into a batch.
type decoder struct {
	req    *ingest.Request
	config *ingest.Config
	batch  *ingest.Batch
	tally  [kinds]tally
	buf    buffer
	bad    []verdict
}

// verdict is an item that ends here. They are carried out when all items are
// known, for an event takes its attachments along, also those behind it.
type verdict struct {
	item   *ingest.Item
	reason string
	alone  bool
}

func newDecoder(req *ingest.Request, b *ingest.Batch) *decoder {
	return &decoder{req: req, config: req.Settings(), batch: b, buf: buffer{req: req, free: freeMemory}}
}

// noLimit is more than any body can hold.
const noLimit = 1 << 60

// itemOverhead is about what a parsed item header costs in memory, in bytes.
const itemOverhead = 2 << 10

// errTooLarge is private: the item ends, the envelope goes on.
var errTooLarge = errors.New("payload over the limit of its type")

// item reads one item. The error is one of the whole envelope.
func (d *decoder) item(h schemas.ItemHeader, payload io.Reader) error {
	if len(d.batch.Items) >= maxItems {
		return ingest.RejectTooLarge.Because("envelope holds more than 1000 items")
	}
	if !d.req.Holds(h.Length) { // refused in the end: without reading megabytes, or writing them to a file
		return ingest.RejectTooLarge
	}
	if err := d.buf.charge(int64(len(h.Bytes())) + itemOverhead); err != nil {
		return err
	}
	distrust(h)
	it := ingest.NewItem(schemas.Item{Header: h, Payload: schemas.Bytes(nil)})
	d.batch.Items = append(d.batch.Items, it)
	if h.Type == "integration" || h.Type == schemas.OTLPSpans { // a word between Relays, and one of ours
		d.refuse(it, "forbidden_type", ingest.RejectEnvelope.Because("item type "+h.Type+" is internal"))
		return nil
	}
	b := boundsOf(h, d.config)
	t := &d.tally[b.kind]
	if b.count > 0 && t.count >= b.count {
		d.crowded(it, b)
		return nil
	}
	limit := int64(noLimit)
	if b.each > 0 {
		limit = b.each
	}
	if b.total > 0 {
		limit = min(limit, b.total-t.bytes)
	}
	err := d.payload(it, payload, limit)
	switch {
	case errors.Is(err, errTooLarge):
		d.refuse(it, "too_large:"+label(h.Type), ingest.RejectTooLarge.Because("envelope exceeded size limits for type '"+label(h.Type)+"'"))
		return nil
	case err != nil:
		return err
	}
	t.bytes += it.Payload.Size()
	if b.kind == kindMain && d.mainCount() > 1 {
		d.alone(it, "duplicate_item", ingest.RejectDuplicateItem)
		return nil
	}
	if laborious(it) {
		if err := d.req.Work(); err != nil {
			return err
		}
	}
	if reason, rej := check(it, d.config.JSONDepth); rej != nil {
		d.refuse(it, reason, rej)
		return nil
	}
	if b.average > 0 && it.Payload.Size()/int64(it.Quantity) > b.average {
		d.refuse(it, "too_large:"+label(h.Type), ingest.RejectTooLarge.Because("envelope exceeded size limits for type '"+label(h.Type)+"'"))
		return nil
	}
	t.count++
	return nil
}

// A payload of many values takes a processor long, whatever its size: each stage
// looks for members by name. Those of SDKs have some hundred values.
const (
	manyBytes  = 16 << 10
	manyValues = 2000
)

func laborious(it *ingest.Item) bool {
	b, ok := it.Payload.(schemas.Bytes)
	return ok && it.Type.JSON && len(b) > manyBytes && bytes.Count(b, []byte{','}) > manyValues
}

// mainCount is how many event-like items stand, the last one included.
func (d *decoder) mainCount() int {
	n := 0
	for _, it := range d.batch.Items {
		if it.Type.Main {
			n++
		}
	}
	for _, v := range d.bad {
		if v.item.Type.Main {
			n--
		}
	}
	return n
}

// crowded ends an item of a kind of which there are enough.
func (d *decoder) crowded(it *ingest.Item, b bounds) {
	if b.count == 1 {
		d.alone(it, "duplicate_item", ingest.RejectDuplicateItem)
		return
	}
	d.alone(it, "too_many:"+label(it.Header.Type), ingest.RejectTooLarge.Because("envelope exceeded count limits for type '"+label(it.Header.Type)+"'"))
}

// payload reads an item's bytes: JSON and small ones into memory, others into
// a file.
func (d *decoder) payload(it *ingest.Item, r io.Reader, limit int64) error {
	if it.Header.Length > limit {
		return errTooLarge // the reader skips it
	}
	inline := int64(inlineSize)
	if it.Type.JSON {
		inline = jsonInline(it.Header.Type)
	}
	inline = min(inline, limit)
	if it.Header.Length > inline && !it.Type.JSON {
		return d.spill(it, nil, r, limit)
	}
	head, more, err := d.buf.read(r, it.Header.Length, inline, inline == limit)
	if err != nil {
		return err
	}
	if !more {
		it.Payload = schemas.Bytes(head)
		return nil
	}
	if inline == limit {
		return errTooLarge
	}
	return d.spill(it, head, r, limit)
}

// spill writes head and the rest of a payload into a file.
func (d *decoder) spill(it *ingest.Item, head []byte, r io.Reader, limit int64) error {
	file, err := d.req.SpillRest(head, r, limit, d.buf.chunk())
	switch {
	case errors.Is(err, ingest.ErrPayloadTooLarge):
		return errTooLarge
	case err != nil:
		return err
	case file == nil:
		rest, err := d.buf.readAll(head, r, limit)
		it.Payload = schemas.Bytes(rest)
		return err
	}
	it.Payload = file
	return nil
}

// refuse notes an item that ends, with what depends on it.
func (d *decoder) refuse(it *ingest.Item, reason string, rej *ingest.Rejection) {
	d.note(verdict{it, reason, false}, rej)
}

// alone notes an item that ends without taking others along.
func (d *decoder) alone(it *ingest.Item, reason string, rej *ingest.Rejection) {
	d.note(verdict{it, reason, true}, rej)
}

func (d *decoder) note(v verdict, rej *ingest.Rejection) {
	d.bad = append(d.bad, v)
	if d.batch.Refusal == nil {
		d.batch.Refusal = rej
	}
}

// finish carries the verdicts out. An event that ends does not take along what
// another event of the same envelope can use.
func (d *decoder) finish() {
	other := d.mainCount() > 0
	for _, v := range d.bad {
		if !v.item.Alive() {
			continue
		}
		if v.alone || v.item.Type.Main && other {
			v.item.Outcome, v.item.Reason = schemas.Invalid, v.reason
			if s, ok := v.item.Payload.(ingest.Spill); ok {
				s.Discard()
			}
			continue
		}
		d.batch.Drop(v.item, schemas.Invalid, v.reason)
	}
}

// distrust removes what only a Relay may say about an item.
func distrust(h schemas.ItemHeader) {
	h.Delete("metrics_extracted")
	h.Delete("spans_extracted")
	h.Delete("fully_normalized")
}

// label is an item type as a metric's label: one of ours, or "unknown".
func label(typ string) string {
	if _, known := schemas.LookupItemType(typ); known {
		return typ
	}
	return "unknown"
}
