package schemas

import (
	"bytes"
	"io"
)

// Body is the payload of an item: in memory (Bytes) or in a file beside the
// spool. Open may be called more than once, also at the same time.
type Body interface {
	// Size is the payload's length in bytes.
	Size() int64
	// Open reads the payload from its start.
	Open() (io.ReadCloser, error)
}

// Bytes is a payload in memory.
type Bytes []byte

// Size is the number of bytes.
func (b Bytes) Size() int64 { return int64(len(b)) }

// Open reads the bytes.
func (b Bytes) Open() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }

// Envelope is one Sentry envelope (protocol: "Envelopes"): a header line and
// items, each a header line and a payload.
type Envelope struct {
	Header EnvelopeHeader
	Items  []Item
}

// Item is one item of an envelope. Payload is never nil.
type Item struct {
	Header  ItemHeader
	Payload Body
}

// InMemory returns the payload's bytes when they are in memory, else nil and
// false: code that must look inside a payload looks only at those.
func (i *Item) InMemory() ([]byte, bool) {
	b, ok := i.Payload.(Bytes)
	return b, ok
}

// EnvelopeHeader is the first line of an envelope. Known fields are read out;
// everything else stays in the object.
type EnvelopeHeader struct {
	*Object
}

// EmptyHeader is the header of an envelope the gateway makes itself.
func EmptyHeader() EnvelopeHeader { return EnvelopeHeader{emptyObject()} }

// EventID is the header's event_id as it was sent, "" when absent or not a string.
func (h EnvelopeHeader) EventID() string { s, _ := h.String("event_id"); return s }

// DSN is the header's dsn, "" when absent. It authenticates a tunnelled
// request; it never says where to connect.
func (h EnvelopeHeader) DSN() string { s, _ := h.String("dsn"); return s }

// SentAt is the client's clock when it sent, RFC 3339 as it was written, "" when absent.
func (h EnvelopeHeader) SentAt() string { s, _ := h.String("sent_at"); return s }

// Trace is the dynamic sampling context, if the header has one.
func (h EnvelopeHeader) Trace() (*Object, bool) { return h.Object.Object("trace") }

// ItemHeader is the header line of an item.
type ItemHeader struct {
	*Object
	// Type is the required "type".
	Type string
	// Length is the declared payload length, -1 when absent: then the payload
	// ends at the next newline.
	Length int64
}

// NewItemHeader makes the header of an item the gateway adds. attrs are
// further string fields as name, value pairs.
func NewItemHeader(typ string, attrs ...string) ItemHeader {
	o := emptyObject()
	o.SetString("type", typ)
	for i := 0; i+1 < len(attrs); i += 2 {
		o.SetString(attrs[i], attrs[i+1])
	}
	return ItemHeader{Object: o, Type: typ, Length: -1}
}

// ContentType is the item's content_type, "" when absent.
func (h ItemHeader) ContentType() string { s, _ := h.String("content_type"); return s }

// Filename is the item's filename, "" when absent.
func (h ItemHeader) Filename() string { s, _ := h.String("filename"); return s }

// AttachmentType is the item's attachment_type; absent means event.attachment.
func (h ItemHeader) AttachmentType() string {
	if s, ok := h.String("attachment_type"); ok {
		return s
	}
	return "event.attachment"
}
