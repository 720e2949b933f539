package jetstream

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/goccy/go-json"

	"breakwater/schemas"
)

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

// decodePack reads a message. A record that cannot be read keeps its place
// among the others, which have nothing to do with it.
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
		if d.bad {
			return nil, errMalformed
		}
		if err != nil {
			r, p.broken = stored{broken: true}, p.broken+1
		}
		p.records = append(p.records, r)
	}
	if p.broken > 0 && p.broken == len(p.records) {
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

// metaOr is the record's meta; one that cannot be read has what the pack knows.
func (r *stored) metaOr(project string) *schemas.Meta {
	m, err := r.decodeMeta()
	if err != nil {
		m = &schemas.Meta{ID: r.id, Project: project, ReceivedAt: r.received(), Destinations: r.targets}
	}
	return m
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
