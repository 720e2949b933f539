package jetstream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/goccy/go-json"
	"github.com/klauspost/compress/zstd"

	"breakwater/schemas"
)

// A message is a pack: records of one project that were stored together.
//
//	message magic · 0 and the pack, or 1 and the pack as a zstd frame
//	pack    life of the gateway that stored it · project · number · records
//	record  id · destinations to go · marks it brings from an earlier message ·
//	        received · items · objects · meta (JSON) · envelope, or 1 and nothing
//	        where the last object is the envelope
//	envelope header · items (header, and bytes or the number of an object)
//
// Lengths are varints. The last byte of magic is the version of this form.
//
// # Versions
//
// Gateways of two versions work on one stream while one replaces the other, so:
//
//   - A message that is not of a version a gateway knows is left alone: it gives
//     the lease back for 30 s, counts it and says so, does not list, end, expire
//     or remove it, and removes no payload from the object store while there is
//     one. A gateway that knows it delivers it.
//   - Whoever changes the form so that older gateways would misread it takes the
//     next version, keeps reading all before it, and says so in the CHANGELOG.
//     testdata holds a message of each version that ever was; all must decode.
//   - Further members of the meta (JSON), of marks and of a dead letter's note
//     need no new version: older gateways ignore them, and so drop them when they
//     store a record again (a retry). What must not be lost is a new version.
const magic = "BWP\x01"

var (
	errMalformed = errors.New("malformed message")
	// errVersion is a message of another version, or none of ours.
	errVersion = fmt.Errorf("%w: its version is not known", errMalformed)
)

// object names a payload in the object store.
type object struct {
	name string
	size int64
}

// stored is one record of a pack. The slices lie in the message's bytes.
type stored struct {
	id      string
	targets []string        // destinations this copy is for
	carried map[string]mark // of destinations that ended before it moved here
	recv    int64           // ReceivedAt, ms since 1970
	items   int64           // sum of the quantities
	objects []object
	meta    []byte
	env     []byte // nil when the last object is the envelope
	size    int64  // bytes in the pack and in objects
}

type pack struct {
	life    string
	project string
	records []stored
	size    int64 // bytes in memory
}

func appendBytes[T string | []byte](b []byte, v T) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// whole is the number of the object that holds an envelope whose small items
// together are too many for a message.
const whole = -1

// encodeRecord writes rec for the destinations given. objs[i] is set where an
// item's payload lies in the object store, objs[whole] where all else does.
func encodeRecord(rec *schemas.Record, targets []string, carried map[string]mark, objs map[int]object) ([]byte, error) {
	m := rec.Meta
	m.ID = ""
	meta, err := json.Marshal(&m)
	if err != nil {
		return nil, fmt.Errorf("encoding meta: %w", err)
	}
	b := appendBytes(make([]byte, 0, len(meta)+1024), rec.Meta.ID)
	b = binary.AppendUvarint(b, uint64(len(targets)))
	for _, t := range targets {
		b = appendBytes(b, t)
	}
	var marks []byte
	if len(carried) > 0 {
		if marks, err = json.Marshal(carried); err != nil {
			return nil, fmt.Errorf("encoding marks: %w", err)
		}
	}
	b = appendBytes(b, marks)
	b = binary.AppendVarint(b, m.ReceivedAt.UnixMilli())
	b = binary.AppendUvarint(b, uint64(max(m.Items(), 0)))
	b = binary.AppendUvarint(b, uint64(len(objs)))
	number := numbers(&rec.Envelope, objs)
	for i := range rec.Envelope.Items {
		if o, ok := objs[i]; ok {
			b = appendBytes(b, o.name)
			b = binary.AppendUvarint(b, uint64(o.size))
		}
	}
	if o, ok := objs[whole]; ok {
		b = appendBytes(b, o.name)
		b = binary.AppendUvarint(b, uint64(o.size))
		b = appendBytes(b, meta)
		return append(b, 1), nil
	}
	b = appendBytes(b, meta)
	return appendEnvelope(append(b, 0), &rec.Envelope, number)
}

// numbers gives each item that is an object its place among the objects.
func numbers(env *schemas.Envelope, objs map[int]object) map[int]uint64 {
	number := map[int]uint64{}
	for i := range env.Items {
		if _, ok := objs[i]; ok {
			number[i] = uint64(len(number))
		}
	}
	return number
}

func appendEnvelope(b []byte, env *schemas.Envelope, number map[int]uint64) ([]byte, error) {
	var header []byte
	if env.Header.Object != nil {
		header = env.Header.Bytes()
	}
	b = appendBytes(b, header)
	b = binary.AppendUvarint(b, uint64(len(env.Items)))
	for i := range env.Items {
		it := &env.Items[i]
		if it.Header.Object == nil { // made by hand
			it.Header = schemas.NewItemHeader(it.Header.Type)
		}
		b = appendBytes(b, it.Header.Bytes())
		if n, ok := number[i]; ok {
			b = binary.AppendUvarint(append(b, 1), n)
			continue
		}
		raw, ok := it.InMemory()
		if !ok {
			return nil, fmt.Errorf("item %d: payload is neither in memory nor an object", i)
		}
		b = appendBytes(append(b, 0), raw)
	}
	return b, nil
}

// Records of one pack resemble each other: errors of one application. Every
// byte saved is saved in the log and in the store of each replica.
var (
	packer, _   = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2), zstd.WithWindowSize(512<<10))
	unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxUnpacked)) // neither fails with these options
)

const (
	maxUnpacked  = 64 << 20
	leastToPack  = 512 // bytes of a pack below which compressing gains nothing
	plainPack    = 0
	squeezedPack = 1
)

// encodePack joins encoded records into a message.
func encodePack(life, project string, records ...[]byte) []byte {
	b, start := plain(life, project, records...)
	if len(b) < leastToPack {
		return b
	}
	squeezed := append(make([]byte, 0, start+len(b)/2), magic...)
	squeezed = packer.EncodeAll(b[start:], append(squeezed, squeezedPack))
	if len(squeezed) < len(b)*9/10 {
		return squeezed
	}
	return b
}

// plain is encodePack without compressing. The pack begins at start.
func plain(life, project string, records ...[]byte) (b []byte, start int) {
	size := len(magic) + 1 + len(life) + len(project) + 20
	for _, r := range records {
		size += len(r) + binary.MaxVarintLen32
	}
	b = append(make([]byte, 0, size), magic...)
	b = append(b, plainPack)
	start = len(b)
	b = appendBytes(b, life)
	b = appendBytes(b, project)
	b = binary.AppendUvarint(b, uint64(len(records)))
	for _, r := range records {
		b = appendBytes(b, r)
	}
	return b, start
}

type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.bad, d.b = true, nil }

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func decodePack(data []byte) (*pack, error) {
	if len(data) < len(magic) || string(data[:len(magic)]) != magic {
		return nil, errVersion
	}
	d := decoder{b: data[len(magic):]}
	switch d.byte() {
	case plainPack:
	case squeezedPack:
		raw, err := unpacker.DecodeAll(d.b, nil)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errMalformed, err)
		}
		d.b = raw
	default:
		return nil, errMalformed
	}
	p := &pack{size: int64(len(d.b)), life: string(d.bytes()), project: string(d.bytes())}
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		return nil, errMalformed
	}
	p.records = make([]stored, 0, n)
	for range n {
		r, err := decodeRecord(d.bytes())
		if err != nil {
			return nil, err
		}
		p.records = append(p.records, r)
	}
	if d.bad {
		return nil, errMalformed
	}
	return p, nil
}

func decodeRecord(raw []byte) (stored, error) {
	d := decoder{b: raw}
	r := stored{id: string(d.bytes()), size: int64(len(raw))}
	n := d.uvarint()
	for i := uint64(0); i < n && !d.bad; i++ {
		r.targets = append(r.targets, string(d.bytes()))
	}
	if marks := d.bytes(); len(marks) > 0 {
		if err := json.Unmarshal(marks, &r.carried); err != nil {
			return r, fmt.Errorf("%w: marks: %w", errMalformed, err)
		}
	}
	r.recv, r.items = d.varint(), int64(d.uvarint())
	n = d.uvarint()
	for i := uint64(0); i < n && !d.bad; i++ {
		o := object{name: string(d.bytes()), size: int64(d.uvarint())}
		r.size += o.size
		r.objects = append(r.objects, o)
	}
	r.meta = d.bytes()
	if apart := d.byte(); apart == 0 {
		r.env = d.b
	}
	if d.bad || r.env == nil && len(r.objects) == 0 {
		return r, errMalformed
	}
	return r, nil
}

func (r *stored) decodeMeta() (*schemas.Meta, error) {
	m := &schemas.Meta{}
	if err := json.Unmarshal(r.meta, m); err != nil {
		return nil, fmt.Errorf("%w: meta: %w", errMalformed, err)
	}
	m.ID = r.id
	return m, nil
}

func (r *stored) received() time.Time { return time.UnixMilli(r.recv).UTC() }

// envelope reads the record's envelope into memory of its own.
func (r *stored) envelope(body func(object) schemas.Body) (*schemas.Envelope, error) {
	raw := bytes.Clone(r.env)
	if raw == nil {
		rd, err := body(r.objects[len(r.objects)-1]).Open()
		if err != nil {
			return nil, err
		}
		defer rd.Close()
		if raw, err = io.ReadAll(rd); err != nil {
			return nil, err
		}
	}
	return decodeEnvelope(raw, r.objects, body)
}

// decodeEnvelope reads an envelope; its bytes are used, not copied.
func decodeEnvelope(raw []byte, objects []object, body func(object) schemas.Body) (*schemas.Envelope, error) {
	d := decoder{b: raw}
	env := &schemas.Envelope{Header: schemas.EmptyHeader()}
	if raw := d.bytes(); len(raw) > 0 {
		o, err := schemas.ParseObject(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: envelope header: %w", errMalformed, err)
		}
		env.Header = schemas.EnvelopeHeader{Object: o}
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
			if i >= uint64(len(objects)) {
				return nil, errMalformed
			}
			it.Payload = body(objects[i])
		}
		env.Items = append(env.Items, it)
	}
	if d.bad {
		return nil, errMalformed
	}
	return env, nil
}
