package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"breakwater/schemas"
)

// The parts of a stored record that lie alike in every spool. Lengths are
// varints.
//
//	envelope  header · items (header, 0 and the bytes, or 1 and a number)
//
// The number is that of a payload which the spool keeps apart from the record:
// the first item whose payload is apart has 0, the next one 1.

// ErrMalformed says that stored bytes are none that a spool wrote.
var ErrMalformed = errors.New("malformed record")

// Decoder reads what a spool stored. A read beyond the end sets Bad, leaves
// nothing in B and gives zero values, so that one look at Bad after the last
// read is enough.
type Decoder struct {
	B   []byte // what is left; what is read points into it
	Bad bool
}

func (d *Decoder) fail() { d.Bad, d.B = true, nil }

// Uvarint reads an unsigned number.
func (d *Decoder) Uvarint() uint64 {
	v, n := binary.Uvarint(d.B)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.B = d.B[n:]
	return v
}

// Varint reads a signed number.
func (d *Decoder) Varint() int64 {
	v, n := binary.Varint(d.B)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.B = d.B[n:]
	return v
}

// Take reads n bytes.
func (d *Decoder) Take(n uint64) []byte {
	if n > uint64(len(d.B)) {
		d.fail()
		return nil
	}
	v := d.B[:n:n]
	d.B = d.B[n:]
	return v
}

// Bytes reads a length and as many bytes.
func (d *Decoder) Bytes() []byte { return d.Take(d.Uvarint()) }

// Byte reads one byte.
func (d *Decoder) Byte() byte {
	if len(d.B) == 0 {
		d.fail()
		return 0
	}
	v := d.B[0]
	d.B = d.B[1:]
	return v
}

// AppendBytes writes v's length and v behind b.
func AppendBytes[T string | []byte](b []byte, v T) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// AppendEnvelope writes env behind b. apart says of which items the spool keeps
// the payload elsewhere; all others must be in memory. An item made by hand gets
// its header.
func AppendEnvelope(b []byte, env *schemas.Envelope, apart func(item int) bool) ([]byte, error) {
	var header []byte
	if env.Header.Object != nil {
		header = env.Header.Bytes()
	}
	b = AppendBytes(b, header)
	b = binary.AppendUvarint(b, uint64(len(env.Items)))
	next := uint64(0)
	for i := range env.Items {
		it := &env.Items[i]
		if it.Header.Object == nil {
			it.Header = schemas.NewItemHeader(it.Header.Type)
		}
		b = AppendBytes(b, it.Header.Bytes())
		if apart(i) {
			b = binary.AppendUvarint(append(b, 1), next)
			next++
			continue
		}
		raw, ok := it.InMemory()
		if !ok {
			return nil, fmt.Errorf("item %d: payload is neither in memory nor stored apart", i)
		}
		b = AppendBytes(append(b, 0), raw)
	}
	return b, nil
}

// DecodeEnvelope reads what AppendEnvelope wrote. Its bytes are used, not
// copied. apart are the payloads that lie elsewhere, in the order of the items;
// body opens one.
func DecodeEnvelope[T any](raw []byte, apart []T, body func(T) schemas.Body) (*schemas.Envelope, error) {
	d := Decoder{B: raw}
	env := &schemas.Envelope{Header: schemas.EmptyHeader()}
	if raw := d.Bytes(); len(raw) > 0 {
		o, err := schemas.ParseObject(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: envelope header: %w", ErrMalformed, err)
		}
		env.Header = schemas.EnvelopeHeader{Object: o}
	}
	n := d.Uvarint()
	if n > uint64(len(d.B)) {
		return nil, ErrMalformed
	}
	env.Items = make([]schemas.Item, 0, min(n, 1024))
	for range n {
		o, err := schemas.ParseObject(d.Bytes())
		if err != nil {
			return nil, fmt.Errorf("%w: item header: %w", ErrMalformed, err)
		}
		it := schemas.Item{Header: schemas.ItemHeader{Object: o, Length: -1}}
		it.Header.Type, _ = o.String("type")
		if v, ok := o.Get("length"); ok {
			if l, err := strconv.ParseInt(string(v), 10, 64); err == nil && l >= 0 {
				it.Header.Length = l
			}
		}
		if d.Byte() == 0 {
			it.Payload = schemas.Bytes(d.Bytes())
		} else {
			i := d.Uvarint()
			if i >= uint64(len(apart)) {
				return nil, ErrMalformed
			}
			it.Payload = body(apart[i])
		}
		env.Items = append(env.Items, it)
	}
	if d.Bad {
		return nil, ErrMalformed
	}
	return env, nil
}
