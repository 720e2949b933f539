package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-json"

	"breakwater/schemas"
)

// A payload is the head (what the index needs), the meta as JSON, and the
// envelope. Lengths are varints.
//
//	head      state · received · route (project, id, destinations) · counts · blobs
//	meta      JSON
//	envelope  header · items (header, kind, bytes or the number of a blob)
//
// The head stands alone in the index file of a sealed segment, so a start
// reads heads and not records.

var errMalformed = errors.New("malformed record")

// blobRef names a payload that lies in its own file.
type blobRef struct {
	name [16]byte
	size int64
	sum  uint32
}

func (b blobRef) file() string { return fmt.Sprintf("%x.blob", b.name) }

// head is the part of a record the index is made of.
type head struct {
	state  []byte // acknowledgements so far, in a moved record
	recv   int64  // ReceivedAt, ms since 1970
	route  []byte // key of the route table
	counts []byte
	blobs  []blobRef
}

type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }

func (d *decoder) byte() byte {
	v := d.take(1)
	if len(v) == 0 {
		return 0
	}
	return v[0]
}

func appendBytes(b, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

func appendString(b []byte, v string) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// appendRouteKey writes a project and its destinations, each once.
func appendRouteKey(b []byte, m *schemas.Meta) []byte {
	b = appendString(b, m.Project)
	b = binary.AppendUvarint(b, m.ProjectID)
	for i, d := range m.Destinations {
		if !seenBefore(m.Destinations, i) {
			b = appendString(b, d)
		}
	}
	return b
}

func seenBefore(list []string, i int) bool {
	for _, s := range list[:i] {
		if s == list[i] {
			return true
		}
	}
	return false
}

func parseRouteKey(key []byte) (project string, id uint64, dests []string, err error) {
	d := decoder{b: key}
	project = string(d.bytes())
	id = d.uvarint()
	for len(d.b) > 0 {
		dests = append(dests, string(d.bytes()))
	}
	if d.bad {
		return "", 0, nil, errMalformed
	}
	return project, id, dests, nil
}

// encoder's scratch space is reused between records.
type encoder struct{ scratch []byte }

// appendPayload writes a record behind b. blobs[i] is set for the items whose
// payload lies in a file.
func (e *encoder) appendPayload(b []byte, rec *schemas.Record, blobs []*blobRef) ([]byte, error) {
	m := &rec.Meta
	h := appendBytes(e.scratch[:0], nil) // no state yet
	h = binary.AppendVarint(h, m.ReceivedAt.UnixMilli())
	mark := len(h)
	h = appendRouteKey(h, m)
	key := len(h) - mark
	var lenBuf [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(lenBuf[:], uint64(key))
	h = append(h, lenBuf[:n]...)
	copy(h[mark+n:], h[mark:mark+key])
	copy(h[mark:], lenBuf[:n])

	h = appendCounts(h, m.Counts)
	filed := 0
	for _, r := range blobs {
		if r != nil {
			filed++
		}
	}
	h = binary.AppendUvarint(h, uint64(filed))
	for _, r := range blobs {
		if r == nil {
			continue
		}
		h = append(h, r.name[:]...)
		h = binary.AppendUvarint(h, uint64(r.size))
		h = binary.LittleEndian.AppendUint32(h, r.sum)
	}
	e.scratch = h
	b = appendBytes(b, h)

	id := m.ID
	m.ID = "" // lies in the frame
	meta, err := json.Marshal(m)
	m.ID = id
	if err != nil {
		return nil, fmt.Errorf("encoding meta: %w", err)
	}
	b = slices.Grow(b, envelopeSize(&rec.Envelope, blobs)+len(meta)+binary.MaxVarintLen64)
	b = appendBytes(b, meta)
	return appendEnvelope(b, &rec.Envelope, blobs)
}

// envelopeSize is about how many bytes appendEnvelope adds: a record of
// megabytes, written into a buffer that grows with it, would leave several times
// as much behind.
func envelopeSize(env *schemas.Envelope, blobs []*blobRef) int {
	size := 256
	for i := range env.Items {
		size += 128
		if raw, ok := env.Items[i].InMemory(); ok && blobs[i] == nil {
			size += len(raw)
		}
	}
	return size
}

func appendCounts(b []byte, counts []schemas.Count) []byte {
	var buf [128]byte
	c := buf[:0]
	for _, n := range counts {
		c = appendString(c, string(n.Category))
		c = binary.AppendUvarint(c, uint64(max(n.Quantity, 0)))
	}
	return appendBytes(b, c)
}

func parseCounts(b []byte) (counts []schemas.Count) {
	d := decoder{b: b}
	for len(d.b) > 0 {
		c := schemas.Category(d.bytes())
		counts = append(counts, schemas.Count{Category: c, Quantity: int(d.uvarint())})
	}
	return counts
}

func appendEnvelope(b []byte, env *schemas.Envelope, blobs []*blobRef) ([]byte, error) {
	if env.Header.Object == nil {
		b = appendBytes(b, nil)
	} else {
		b = appendBytes(b, env.Header.Bytes())
	}
	b = binary.AppendUvarint(b, uint64(len(env.Items)))
	next := uint64(0)
	for i := range env.Items {
		it := &env.Items[i]
		if it.Header.Object == nil { // made by hand
			it.Header = schemas.NewItemHeader(it.Header.Type)
		}
		b = appendBytes(b, it.Header.Bytes())
		if blobs[i] != nil {
			b = append(b, 1)
			b = binary.AppendUvarint(b, next)
			next++
			continue
		}
		raw, ok := it.InMemory()
		if !ok {
			return nil, fmt.Errorf("item %d: payload is neither in memory nor in a file", i)
		}
		b = append(b, 0)
		b = appendBytes(b, raw)
	}
	return b, nil
}

// parseHead reads the head's bytes, which the result points into.
func parseHead(b []byte) (h head, err error) {
	d := decoder{b: b}
	h.state = d.bytes()
	recv, n := binary.Varint(d.b)
	if n <= 0 {
		return head{}, errMalformed
	}
	h.recv = recv
	d.b = d.b[n:]
	h.route = d.bytes()
	h.counts = d.bytes()
	blobs := d.uvarint()
	if blobs > uint64(len(d.b)) {
		return head{}, errMalformed
	}
	for range blobs {
		var r blobRef
		copy(r.name[:], d.take(16))
		r.size = int64(d.uvarint())
		if s := d.take(4); len(s) == 4 {
			r.sum = binary.LittleEndian.Uint32(s)
		}
		h.blobs = append(h.blobs, r)
	}
	if d.bad {
		return head{}, errMalformed
	}
	return h, nil
}

// splitPayload finds the head's bytes and what follows it.
func splitPayload(payload []byte) (headBytes, rest []byte, err error) {
	d := decoder{b: payload}
	headBytes = d.bytes()
	if d.bad {
		return nil, nil, errMalformed
	}
	return headBytes, d.b, nil
}

// withState is the payload with other acknowledgements in its head.
func withState(b, payload, state []byte) ([]byte, error) {
	headBytes, rest, err := splitPayload(payload)
	if err != nil {
		return nil, err
	}
	d := decoder{b: headBytes}
	d.bytes()
	if d.bad {
		return nil, errMalformed
	}
	h := append(appendBytes(nil, state), d.b...)
	return append(appendBytes(b, h), rest...), nil
}

// decodeMeta reads the meta of a payload, and gives the envelope's bytes.
func decodeMeta(payload []byte, id recordID) (*schemas.Meta, []byte, error) {
	_, rest, err := splitPayload(payload)
	if err != nil {
		return nil, nil, err
	}
	d := decoder{b: rest}
	raw := d.bytes()
	if d.bad {
		return nil, nil, errMalformed
	}
	m := &schemas.Meta{}
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, nil, fmt.Errorf("%w: meta: %w", errMalformed, err)
	}
	m.ID = id.String()
	return m, d.b, nil
}

// decodeEnvelope reads the envelope. Its bytes are used, not copied.
func decodeEnvelope(b []byte, blobs []blobRef, body func(blobRef) schemas.Body) (*schemas.Envelope, error) {
	d := decoder{b: b}
	env := &schemas.Envelope{}
	if raw := d.bytes(); len(raw) > 0 {
		o, err := schemas.ParseObject(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: envelope header: %w", errMalformed, err)
		}
		env.Header = schemas.EnvelopeHeader{Object: o}
	} else {
		env.Header = schemas.EmptyHeader()
	}
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		return nil, errMalformed
	}
	env.Items = make([]schemas.Item, 0, min(n, 1024))
	for range n {
		o, err := schemas.ParseObject(d.bytes())
		if err != nil {
			return nil, fmt.Errorf("%w: item header: %w", errMalformed, err)
		}
		it := schemas.Item{Header: schemas.ItemHeader{Object: o, Length: -1}}
		it.Header.Type, _ = o.String("type")
		if v, ok := o.Get("length"); ok {
			if l, err := strconv.ParseInt(string(v), 10, 64); err == nil && l >= 0 {
				it.Header.Length = l
			}
		}
		if d.byte() == 0 {
			it.Payload = schemas.Bytes(d.bytes())
		} else {
			i := d.uvarint()
			if i >= uint64(len(blobs)) {
				return nil, errMalformed
			}
			it.Payload = body(blobs[i])
		}
		env.Items = append(env.Items, it)
	}
	if d.bad {
		return nil, errMalformed
	}
	return env, nil
}

// fileBody is a payload in a file of the spool.
type fileBody struct {
	fs   fileSystem
	path string
	size int64
}

// Size is the payload's length in bytes.
func (b *fileBody) Size() int64 { return b.size }

// Open reads the payload from its start.
func (b *fileBody) Open() (io.ReadCloser, error) {
	f, err := b.fs.Open(b.path)
	if err != nil {
		return nil, fmt.Errorf("opening payload %s: %w", filepath.Base(b.path), err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(f, 0, b.size), f}, nil
}

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
