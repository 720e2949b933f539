package ingest

import (
	"breakwater/schemas"
)

// Batch is one request's items on their way through the stages. Protocols
// fill it, stages drop from it, what is left goes to the spool in one record.
type Batch struct {
	Request *Request
	Header  schemas.EnvelopeHeader
	Items   []*Item
	// Beacons are measurements for the histograms; they never enter the spool.
	Beacons []*schemas.Beacon
	// EventID is what the answer's {"id"} says: 32 lower-case hex digits, or "".
	EventID string
	// Many says that the request may bring several events, each with an id of its
	// own in its payload; EventID is then that of the first.
	Many bool
	// Digest stands for the request's bytes, where they may become several records.
	// By it the door knows what it has of a batch whose rest it could not store, when the client
	// sends all of it again. Decoding the same bytes must give the same items in the
	// same order.
	Digest []byte
	// Limits are what the client is told in X-Sentry-Rate-Limits, whatever the status.
	Limits []schemas.RateLimit
	// Fingerprint and Release describe the batch's error for the console; storm
	// control knows them.
	Fingerprint, Release string
	// Refusal is the answer when no item survived decoding; nil answers success.
	Refusal *Rejection
	// Reply is the answer to success, nil for the endpoint's own.
	Reply *Reply
	// Conclude, when there is one, is called once when the fate of every item is
	// known, the sink's answer included: items alive are durable. err is what the
	// door is about to answer with, nil for success; what Conclude returns is
	// answered instead. It may set Reply.
	Conclude func(b *Batch, err error) error
	// Done, when there is one, is called when the answer is written and nobody reads
	// the batch and its beacons any more: a protocol may use their memory again.
	Done func()
	// Claims are the ids that the request was given before it was decided on.
	Claims []ItemClaim

	refused    *Rejection    // by a stage, as a whole
	skipped    []int         // items that an attempt before has made durable
	unmeasured schemas.Final // why the measurements are not recorded
}

// ItemClaim is a claim and the item it is for; nil for everything in the batch.
type ItemClaim struct {
	Claim
	Item *Item
}

// Item is one item of a batch, alive until Outcome is set.
type Item struct {
	schemas.Item
	Category schemas.Category
	Quantity int
	Type     schemas.ItemType
	// Outcome and Reason are set when the item was dropped.
	Outcome schemas.Outcome
	Reason  string

	event *schemas.Event
	saved int // the event's changes that Payload has
}

// Alive tells whether the item is still on its way to the spool.
func (it *Item) Alive() bool { return it.Outcome == "" }

// Event is the payload's lenient view, parsed once and kept; nil when the
// payload is not a JSON object in memory. Its edits reach the payload when
// that is next looked at, so that several stages' edits cost one copy.
func (it *Item) Event() *schemas.Event {
	if it.event == nil {
		raw, ok := it.Item.InMemory()
		if !ok {
			return nil
		}
		ev, err := schemas.ParseEvent(raw)
		if err != nil {
			return nil
		}
		it.event, it.saved = ev, 0
	}
	return it.event
}

// Checked tells whether the payload is known to be a JSON object: it has a
// view, and says what that says.
func (it *Item) Checked() bool { return it.event != nil && it.event.Changes() == it.saved }

// InMemory is the payload, the view's edits included, when it is in memory.
func (it *Item) InMemory() ([]byte, bool) {
	it.SaveEvent()
	return it.Item.InMemory()
}

// SaveEvent writes the view's edits back into the payload; only who takes
// Payload itself need call it. The view stays good.
func (it *Item) SaveEvent() {
	if it.event != nil && it.event.Changes() != it.saved {
		it.Payload, it.saved = schemas.Bytes(it.event.Bytes()), it.event.Changes()
	}
}

// SetPayload replaces the payload; the length in the header follows when the
// item is written.
func (it *Item) SetPayload(b []byte) {
	it.Payload = schemas.Bytes(b)
	it.event = nil
}

// NewItem classifies an item by its header (protocol §2.4).
func NewItem(si schemas.Item) *Item {
	t, _ := schemas.LookupItemType(si.Header.Type)
	it := &Item{Item: si, Type: t, Category: t.Category, Quantity: 1}
	if si.Header.Type == "attachment" && schemas.CreatesEvent(si.Header.AttachmentType()) {
		it.Category = schemas.CategoryError
	}
	return it
}

// Drop ends an item with an outcome, and with it what cannot live without it
// (protocol §2.4, drop-together): the main item takes every dependent item
// with it, a transaction its profile, a replay event its recording. Items that
// already ended keep their outcome.
func (b *Batch) Drop(it *Item, o schemas.Outcome, reason string) {
	if !it.Alive() {
		return
	}
	it.Outcome, it.Reason = o, reason
	if it.Payload != nil {
		if s, ok := it.Payload.(Spill); ok {
			s.Discard()
		}
	}
	for _, other := range b.Items {
		if other.Alive() && falls(it, other) {
			b.Drop(other, o, reason)
		}
	}
}

// DropMeasurements ends what a client measured, before it is recorded, and with
// it what was made of that for the upstreams.
func (b *Batch) DropMeasurements(o schemas.Outcome, reason string) {
	b.unmeasured = schemas.Final{Outcome: o, Reason: reason}
	if b.measured() {
		b.dropAll(o, reason)
	}
}

// falls tells whether other must go when it went.
func falls(it, other *Item) bool {
	typ := it.Header.Type
	switch {
	case it.Type.Main:
		if other.Header.Type == "span" && !other.Header.IsContainer() {
			return true
		}
		return other.Type.Dependent && !other.Type.Main
	case typ == "replay_event":
		return other.Header.Type == "replay_recording"
	case typ == "replay_recording":
		return other.Header.Type == "replay_event"
	}
	return false
}

// Main is the envelope's event-like item, nil without one.
func (b *Batch) Main() *Item {
	for _, it := range b.Items {
		if it.Type.Main {
			return it
		}
	}
	return nil
}

// Alive are the items still on their way.
func (b *Batch) Alive() []*Item {
	alive := make([]*Item, 0, len(b.Items))
	for _, it := range b.Items {
		if it.Alive() {
			alive = append(alive, it)
		}
	}
	return alive
}

// records are what goes to the spool, each for the upstreams that take it: OTLP
// spans first, if there are some (spans), then the rest, one for each event.
func (b *Batch) records() (list []*schemas.Record, spans bool) {
	p := b.Request.Project
	rec := b.Record(p.Destinations)
	if own := rec.Extract(schemas.OTLPSpans); own != nil {
		own.Meta.Destinations = p.OTLP
		list, spans = append(list, own), true
	}
	if len(rec.Envelope.Items) > 0 {
		list = append(list, rec.Split()...)
	}
	return list, spans
}

// Record is what goes to the spool: the items alive, in their order.
func (b *Batch) Record(destinations []string) *schemas.Record {
	rec := &schemas.Record{
		Meta: schemas.Meta{
			ProjectID: b.Request.Project.ID, Project: b.Request.Project.Name,
			ReceivedAt: b.Request.ReceivedAt, UserAgent: b.Request.UserAgent,
			EventID: b.EventID, Release: b.Release, Fingerprint: b.Fingerprint, Destinations: destinations,
		},
		Envelope: schemas.Envelope{Header: b.Header},
	}
	if b.Request.Key != nil {
		rec.Meta.Key = b.Request.Key.Public
	}
	if b.Request.ClientIP.IsValid() && b.Request.Project.ForwardIP {
		rec.Meta.ClientIP = b.Request.ClientIP.String()
	}
	for _, it := range b.Items {
		if it.Alive() {
			it.SaveEvent()
			rec.Envelope.Items = append(rec.Envelope.Items, it.Item)
			rec.Meta.Counts = append(rec.Meta.Counts, schemas.Count{Category: it.Category, Quantity: it.Quantity})
		}
	}
	if b.Many {
		rec.NameByEvent() // the first event may have been dropped
	}
	return rec
}
