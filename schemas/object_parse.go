package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// ParseObject reads the top level of a JSON object. Values are checked for
// syntax but not decoded. The object keeps raw; the caller must not change it.
// Errors: ErrNotObject, ErrTrailing, ErrNesting, or a *jsontext.SyntacticError.
func ParseObject(raw []byte) (*Object, error) {
	if len(raw) > math.MaxInt32 {
		return nil, fmt.Errorf("JSON object of %d bytes is too large", len(raw))
	}
	o := &Object{raw: raw}
	o.members = o.inline[:0]
	c := checker{text: raw}
	if i := skipSpace(raw, 0); c.at(i) == '{' {
		i = c.object(i, func(start, nameEnd, value int) int {
			escaped := c.escape > start // before the value may have one
			end := c.value(value)
			if end >= 0 {
				o.add(start, nameEnd, value, end, escaped)
			}
			return end
		})
		if i >= 0 && skipSpace(raw, i) == len(raw) {
			o.nesting = c.deepest
			return o, nil
		}
	}
	if c.deepest > MaxNesting {
		return nil, ErrNesting
	}
	return nil, whyNoObject(raw)
}

// whyNoObject reads a text that is no JSON object again, with a decoder that
// can say what is wrong with it, and where.
func whyNoObject(raw []byte) error {
	dec := jsontext.NewDecoder(bytes.NewReader(raw), jsonLenient...)
	switch tok, err := dec.ReadToken(); {
	case errors.Is(err, io.EOF):
		return ErrNotObject
	case err != nil:
		return err
	case tok.Kind() != '{':
		return ErrNotObject
	}
	for dec.StackDepth() > 0 {
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
	}
	return ErrTrailing
}

// add notes a member by the offsets of its name, with the quotes, and its value.
func (o *Object) add(start, nameEnd, value, end int, escaped bool) {
	if n := len(o.members); n == cap(o.members) { // events have between ten and twenty
		o.members = slices.Grow(o.members, max(3*n, 8))
	}
	o.members = append(o.members, member{
		start: int32(start), nameEnd: int32(nameEnd), value: int32(value), end: int32(end),
		escaped: escaped,
	})
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
		o.add(m.start, m.nameEnd, m.value, m.end, bytes.IndexByte(raw[m.start:m.nameEnd], '\\') >= 0)
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
