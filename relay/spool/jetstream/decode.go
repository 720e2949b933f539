package jetstream

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/goccy/go-json"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// decodePack reads a message. A record that cannot be read keeps its place
// among the others, which have nothing to do with it.
func decodePack(data []byte) (*pack, error) {
	if len(data) < len(magic) || string(data[:len(magic)]) != magic {
		if len(data) >= len(magic) && string(data[:len(magic)-1]) == magic[:len(magic)-1] {
			return nil, errNewer
		}
		return nil, errVersion
	}
	d := spool.Decoder{B: data[len(magic):]}
	switch d.Byte() {
	case plainPack:
	case squeezedPack:
		raw, err := unpacker.DecodeAll(d.B, nil)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errMalformed, err)
		}
		d.B = raw
	default:
		return nil, errMalformed
	}
	p := &pack{size: int64(len(d.B)), life: string(d.Bytes()), project: string(d.Bytes())}
	n := d.Uvarint()
	if n > uint64(len(d.B)) {
		return nil, errMalformed
	}
	p.records = make([]stored, 0, n)
	for range n {
		r, err := decodeRecord(d.Bytes())
		if d.Bad {
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
	d := spool.Decoder{B: raw}
	r := stored{id: string(d.Bytes()), size: int64(len(raw))}
	n := d.Uvarint()
	for i := uint64(0); i < n && !d.Bad; i++ {
		r.targets = append(r.targets, string(d.Bytes()))
	}
	if marks := d.Bytes(); len(marks) > 0 {
		if err := json.Unmarshal(marks, &r.carried); err != nil {
			return r, fmt.Errorf("%w: marks: %w", errMalformed, err)
		}
	}
	r.recv, r.items = d.Varint(), int64(d.Uvarint())
	n = d.Uvarint()
	for i := uint64(0); i < n && !d.Bad; i++ {
		o := object{name: string(d.Bytes()), size: int64(d.Uvarint())}
		r.size += o.size
		r.objects = append(r.objects, o)
	}
	r.meta = d.Bytes()
	if apart := d.Byte(); apart == 0 {
		r.env = d.B
	}
	if d.Bad || r.env == nil && len(r.objects) == 0 {
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
	return spool.DecodeEnvelope(raw, r.objects, body)
}
