package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"breakwater/schemas"
)

// ReasonNoOTLP is the reason of outcome filtered of spans that came by OTLP or
// Faro and that no upstream of the project takes.
const ReasonNoOTLP = "no_otlp_upstream"

// Spans collects spans for an OTLP upstream, under the resources and scopes
// they came with, as TracesData in OTLP's JSON form: that is what scrubbing can
// read. The zero value is ready.
type Spans struct {
	// CountOnly keeps nothing: nobody takes the spans.
	CountOnly bool

	json     bytes.Buffer
	resource *resourcepb.Resource
	scope    *commonpb.InstrumentationScope
	n        int
}

// Add takes a span and the record it was decoded from. An error is one of
// writing it, and has changed nothing.
func (s *Spans) Add(rec *schemas.OTLPRecord, span *tracepb.Span) error {
	if s.CountOnly {
		s.n++
		return nil
	}
	var head []byte
	var err error
	switch sameResource := s.n > 0 && s.resource == rec.Resource; {
	case sameResource && s.scope == rec.Scope:
		head = append(head, ',')
	case sameResource:
		head, err = under(append(head, "]},{"...), "scope", rec.Scope, rec.Scope != nil)
		head = append(head, `"spans":[`...)
	default:
		if s.n == 0 {
			head = append(head, `{"resourceSpans":[{`...)
		} else {
			head = append(head, "]}]},{"...)
		}
		if head, err = under(head, "resource", rec.Resource, rec.Resource != nil); err == nil {
			head, err = under(append(head, `"scopeSpans":[{`...), "scope", rec.Scope, rec.Scope != nil)
		}
		head = append(head, `"spans":[`...)
	}
	if err != nil {
		return err
	}
	body, err := schemas.MarshalOTLP(span)
	if err != nil {
		return err
	}
	s.json.Write(head)
	s.json.Write(body)
	s.resource, s.scope = rec.Resource, rec.Scope
	s.n++
	return nil
}

// under writes the member that spans stand under.
func under(b []byte, name string, m proto.Message, there bool) ([]byte, error) {
	if !there {
		return b, nil
	}
	raw, err := schemas.MarshalOTLP(m)
	b = append(b, `"`+name+`":`...)
	return append(append(b, raw...), ','), err
}

// Item is the item of all spans together, nil when there are none. For a
// project without an OTLP upstream it has ended already, as filtered.
func (s *Spans) Item(p *Project) *Item {
	if s.n == 0 {
		return nil
	}
	it := NewItem(schemas.Item{Header: schemas.NewItemHeader(schemas.OTLPSpans, "content_type", "application/json"), Payload: schemas.Bytes(nil)})
	it.Quantity = s.n
	if len(p.OTLP) == 0 {
		it.Outcome, it.Reason = schemas.Filtered, ReasonNoOTLP
		return it
	}
	s.json.WriteString("]}]}]}")
	it.SetPayload(s.json.Bytes())
	return it
}

// Len is how many bytes the spans are so far.
func (s *Spans) Len() int { return s.json.Len() }

// NewLogItem is a container of logs; nil for none.
func NewLogItem(entries []schemas.LogEntry) *Item {
	if len(entries) == 0 {
		return nil
	}
	it := NewItem(schemas.LogItem(entries))
	it.Quantity = len(entries)
	return it
}

// Refused is an item of a type that ended at the door: what could not be read,
// n of it, still counts.
func Refused(typ string, n int, o schemas.Outcome, reason string) *Item {
	it := NewItem(schemas.Item{Header: schemas.NewItemHeader(typ), Payload: schemas.Bytes(nil)})
	it.Quantity, it.Outcome, it.Reason = n, o, reason
	return it
}

// DerivedID makes an id of what it stands for, in the form of schemas.NewEventID: the
// same parts give the same id, so that a request sent again brings the same
// events, and an upstream that has them knows.
func DerivedID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0xff})
	}
	var b [16]byte
	copy(b[:], h.Sum(nil))
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return hex.EncodeToString(b[:])
}
