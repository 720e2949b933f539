package disk

import (
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/goccy/go-json"

	"breakwater/relay/spool"
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

var errMalformed = spool.ErrMalformed

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

// appendRouteKey writes a project and its destinations, each once.
func appendRouteKey(b []byte, m *schemas.Meta) []byte {
	b = spool.AppendBytes(b, m.Project)
	b = binary.AppendUvarint(b, m.ProjectID)
	for i, d := range m.Destinations {
		if !seenBefore(m.Destinations, i) {
			b = spool.AppendBytes(b, d)
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
	d := spool.Decoder{B: key}
	project = string(d.Bytes())
	id = d.Uvarint()
	for len(d.B) > 0 {
		dests = append(dests, string(d.Bytes()))
	}
	if d.Bad {
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
	h := spool.AppendBytes(e.scratch[:0], "") // no state yet
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
	b = spool.AppendBytes(b, h)

	id := m.ID
	m.ID = "" // lies in the frame
	meta, err := json.Marshal(m)
	m.ID = id
	if err != nil {
		return nil, fmt.Errorf("encoding meta: %w", err)
	}
	b = slices.Grow(b, envelopeSize(&rec.Envelope, blobs)+len(meta)+binary.MaxVarintLen64)
	b = spool.AppendBytes(b, meta)
	return spool.AppendEnvelope(b, &rec.Envelope, func(i int) bool { return blobs[i] != nil })
}

// envelopeSize is about how many bytes AppendEnvelope adds: a record of
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
		c = spool.AppendBytes(c, string(n.Category))
		c = binary.AppendUvarint(c, uint64(max(n.Quantity, 0)))
	}
	return spool.AppendBytes(b, c)
}

func parseCounts(b []byte) (counts []schemas.Count) {
	d := spool.Decoder{B: b}
	for len(d.B) > 0 {
		c := schemas.Category(d.Bytes())
		counts = append(counts, schemas.Count{Category: c, Quantity: int(d.Uvarint())})
	}
	return counts
}

// parseHead reads the head's bytes, which the result points into.
func parseHead(b []byte) (h head, err error) {
	d := spool.Decoder{B: b}
	h.state = d.Bytes()
	h.recv = d.Varint()
	h.route = d.Bytes()
	h.counts = d.Bytes()
	blobs := d.Uvarint()
	if blobs > uint64(len(d.B)) {
		return head{}, errMalformed
	}
	for range blobs {
		var r blobRef
		copy(r.name[:], d.Take(16))
		r.size = int64(d.Uvarint())
		if s := d.Take(4); len(s) == 4 {
			r.sum = binary.LittleEndian.Uint32(s)
		}
		h.blobs = append(h.blobs, r)
	}
	if d.Bad {
		return head{}, errMalformed
	}
	return h, nil
}

// splitPayload finds the head's bytes and what follows it.
func splitPayload(payload []byte) (headBytes, rest []byte, err error) {
	d := spool.Decoder{B: payload}
	headBytes = d.Bytes()
	if d.Bad {
		return nil, nil, errMalformed
	}
	return headBytes, d.B, nil
}

// withState is the payload with other acknowledgements in its head.
func withState(b, payload, state []byte) ([]byte, error) {
	headBytes, rest, err := splitPayload(payload)
	if err != nil {
		return nil, err
	}
	d := spool.Decoder{B: headBytes}
	d.Bytes()
	if d.Bad {
		return nil, errMalformed
	}
	h := append(spool.AppendBytes(nil, state), d.B...)
	return append(spool.AppendBytes(b, h), rest...), nil
}

// decodeMeta reads the meta of a payload, and gives the envelope's bytes.
func decodeMeta(payload []byte, id recordID) (*schemas.Meta, []byte, error) {
	_, rest, err := splitPayload(payload)
	if err != nil {
		return nil, nil, err
	}
	d := spool.Decoder{B: rest}
	raw := d.Bytes()
	if d.Bad {
		return nil, nil, errMalformed
	}
	m := &schemas.Meta{}
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, nil, fmt.Errorf("%w: meta: %w", errMalformed, err)
	}
	m.ID = id.String()
	return m, d.B, nil
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
