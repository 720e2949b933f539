package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// ParseObject reads the top level of a JSON object. Values are checked for
// syntax but not decoded. The object keeps raw; the caller must not change it.
// Errors: ErrNotObject, ErrTrailing, or a *jsontext.SyntacticError.
func ParseObject(raw []byte) (*Object, error) {
	if len(raw) > math.MaxInt32 {
		return nil, fmt.Errorf("JSON object of %d bytes is too large", len(raw))
	}
	p := parsers.Get().(*parser)
	defer p.release()
	p.reset(raw)
	switch tok, err := p.dec.ReadToken(); {
	case errors.Is(err, io.EOF):
		return nil, ErrNotObject
	case err != nil:
		return nil, err
	case tok.Kind() != '{':
		return nil, ErrNotObject
	}
	o := &Object{raw: raw}
	o.members = o.inline[:0]
	for p.dec.PeekKind() != '}' {
		name, err := p.dec.ReadValue()
		if err != nil {
			return nil, err
		}
		nameEnd, nameLen := int(p.dec.InputOffset()), len(name)
		escaped := bytes.IndexByte(name, '\\') >= 0
		value, err := p.dec.ReadValue() // makes name invalid
		if err != nil {
			return nil, err
		}
		end := int(p.dec.InputOffset())
		o.members = append(o.members, member{
			start: int32(nameEnd - nameLen), nameEnd: int32(nameEnd), value: int32(end - len(value)), end: int32(end), escaped: escaped,
		})
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return nil, err
	}
	if skipSpace(raw, int(p.dec.InputOffset())) < len(raw) {
		return nil, ErrTrailing
	}
	return o, nil
}

// ViewObject is ParseObject for a text that was checked before, whole: it only
// looks for the members, which costs a third. ok is false when the text is not
// one object. Of text that is not valid JSON it may make anything.
func ViewObject(raw []byte) (o *Object, ok bool) {
	i := skipSpace(raw, 0)
	if i >= len(raw) || raw[i] != '{' || len(raw) > math.MaxInt32 {
		return nil, false
	}
	o = &Object{raw: raw}
	o.members = o.inline[:0]
	i++
	for m, next := scanMember(raw, i); next > 0; m, next = scanMember(raw, i) {
		o.members = append(o.members, member{
			start: int32(m.start), nameEnd: int32(m.nameEnd), value: int32(m.value), end: int32(m.end),
			escaped: bytes.IndexByte(raw[m.start:m.nameEnd], '\\') >= 0,
		})
		i = next
	}
	i = skipSpace(raw, i)
	return o, i < len(raw) && raw[i] == '}' && skipSpace(raw, i+1) == len(raw)
}

var braces = []byte("{}")[:2:2] // shared: an append must copy

// emptyObject is {} to be filled.
func emptyObject() *Object {
	o := &Object{raw: braces}
	o.members = o.inline[:0]
	return o
}

// parser is a pooled jsontext decoder; given a *bytes.Buffer the decoder reads
// the text in place. Making one per object costs half as much again as reading
// an event of 4 KB.
type parser struct {
	buf bytes.Buffer
	dec jsontext.Decoder
}

var parsers = sync.Pool{New: func() any { return new(parser) }}

func (p *parser) reset(raw []byte) {
	p.buf = *bytes.NewBuffer(raw)
	p.dec.Reset(&p.buf, jsonLenient...)
}

// release lets go of the text, so that the pool keeps no payload alive.
func (p *parser) release() {
	p.reset(nil)
	parsers.Put(p)
}
