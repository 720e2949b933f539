package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrNotObject says that a text is valid JSON but not a JSON object.
var ErrNotObject = errors.New("not a JSON object")

// ErrTrailing says that a JSON object is followed by something else.
var ErrTrailing = errors.New("text after the JSON object")

// jsonLenient lets through what real SDKs send: lone surrogates (a cut
// emoji), invalid UTF-8 and repeated keys. None of them is ours to repair.
var jsonLenient = []jsontext.Options{
	jsontext.AllowInvalidUTF8(true),
	jsontext.AllowDuplicateNames(true),
}

// Object is a JSON object that is read and edited in place: a member that is
// not touched keeps its exact bytes, its place and its neighbours' white
// space. That is how the gateway changes a release or a DSN inside a payload
// it otherwise passes on unread.
//
// Where a key stands twice, Get answers the last one, as Sentry does, and Set
// and Delete remove the others. The zero value is not usable; see ParseObject.
// An Object is not safe for concurrent use.
type Object struct {
	raw     []byte
	members []member
	edited  bool
}

type member struct {
	name    string
	raw     jsontext.Value // the value's bytes, inside Object.raw or set by an edit
	start   int            // offset of the name's opening quote; -1 for an added member
	end     int            // offset just after the value
	deleted bool
	changed bool
}

// ParseObject reads the top level of a JSON object. Values are checked for
// syntax but not decoded. The object keeps raw; the caller must not change it.
// Errors: ErrNotObject, ErrTrailing, or a *jsontext.SyntacticError.
func ParseObject(raw []byte) (*Object, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw), jsonLenient...)
	tok, err := dec.ReadToken()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, ErrNotObject
		}
		return nil, err
	}
	if tok.Kind() != '{' {
		return nil, ErrNotObject
	}
	o := &Object{raw: raw, members: make([]member, 0, 24)}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		start := int(dec.InputOffset()) - len(name)
		text := string(name[1 : len(name)-1])
		if bytes.IndexByte(name, '\\') >= 0 {
			plain, err := jsontext.AppendUnquote(nil, name)
			if err == nil || len(plain) > 0 {
				text = string(plain)
			}
		}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		end := int(dec.InputOffset())
		o.members = append(o.members, member{name: text, raw: raw[end-len(value) : end], start: start, end: end})
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	rest := raw[dec.InputOffset():]
	if len(bytes.TrimLeft(rest, " \t\r\n")) > 0 {
		return nil, ErrTrailing
	}
	return o, nil
}

// Get returns the raw JSON of a member's value. The bytes belong to the
// object: read them, do not change them.
func (o *Object) Get(name string) (jsontext.Value, bool) {
	for i := len(o.members) - 1; i >= 0; i-- {
		if m := &o.members[i]; m.name == name && !m.deleted {
			return m.raw, true
		}
	}
	return nil, false
}

// String returns a member that is a JSON string, decoded; ok is false when it
// is absent or of another kind.
func (o *Object) String(name string) (s string, ok bool) {
	v, found := o.Get(name)
	if !found {
		return "", false
	}
	return UnquoteString(v)
}

// Object returns a member that is itself a JSON object, parsed. Edit it, then
// give its Bytes back to Set: the child does not know its parent.
func (o *Object) Object(name string) (*Object, bool) {
	v, found := o.Get(name)
	if !found || v.Kind() != '{' {
		return nil, false
	}
	child, err := ParseObject(v)
	return child, err == nil
}

// Names lists the members in order, each key once.
func (o *Object) Names() []string {
	names := make([]string, 0, len(o.members))
	seen := make(map[string]bool, len(o.members))
	for i := range o.members {
		if m := &o.members[i]; !m.deleted && !seen[m.name] {
			seen[m.name] = true
			names = append(names, m.name)
		}
	}
	return names
}

// HasDuplicates tells whether a key stands twice. Relay refuses an envelope
// header like that; event payloads may have them.
func (o *Object) HasDuplicates() bool {
	seen := make(map[string]bool, len(o.members))
	for i := range o.members {
		if seen[o.members[i].name] {
			return true
		}
		seen[o.members[i].name] = true
	}
	return false
}

// Set replaces a member's value, or adds the member at the end. value must be
// valid JSON; it is kept, not copied.
func (o *Object) Set(name string, value jsontext.Value) {
	o.edited = true
	done := false
	for i := len(o.members) - 1; i >= 0; i-- {
		m := &o.members[i]
		if m.name != name || m.deleted {
			continue
		}
		if done {
			m.deleted = true
			continue
		}
		m.raw, m.changed, done = value, true, true
	}
	if !done {
		o.members = append(o.members, member{name: name, raw: value, start: -1})
	}
}

// SetString is Set with a Go string, quoted.
func (o *Object) SetString(name, value string) { o.Set(name, QuoteString(value)) }

// Delete removes a member; absent ones are no error.
func (o *Object) Delete(name string) {
	for i := range o.members {
		if o.members[i].name == name && !o.members[i].deleted {
			o.members[i].deleted, o.edited = true, true
		}
	}
}

// Edited tells whether Set or Delete changed anything.
func (o *Object) Edited() bool { return o.edited }

// Bytes returns the object's text: the original bytes when nothing was
// edited, otherwise the original with the edits spliced in.
func (o *Object) Bytes() []byte {
	if !o.edited {
		return o.raw
	}
	out := make([]byte, 0, len(o.raw)+64)
	open := bytes.IndexByte(o.raw, '{')
	out = append(out, o.raw[:open+1]...)
	last, kept := open+1, false
	for i := range o.members {
		m := &o.members[i]
		if m.start < 0 {
			continue
		}
		lead := o.raw[last:m.start] // white space and the comma
		last = m.end
		if m.deleted {
			continue
		}
		if !kept {
			lead = bytes.TrimLeft(lead, ", \t\r\n")
		}
		out = append(out, lead...)
		kept = true
		if m.changed {
			nameEnd := m.start + quotedLen(o.raw[m.start:m.end])
			out = append(out, o.raw[m.start:nameEnd]...)
			out = append(out, ':')
			out = append(out, m.raw...)
			continue
		}
		out = append(out, o.raw[m.start:m.end]...)
	}
	tail := o.raw[last:]
	for i := range o.members {
		m := &o.members[i]
		if m.start >= 0 || m.deleted {
			continue
		}
		if kept {
			out = append(out, ',')
		}
		kept = true
		out = append(out, QuoteString(m.name)...)
		out = append(out, ':')
		out = append(out, m.raw...)
	}
	if i := bytes.LastIndexByte(tail, '}'); i >= 0 {
		tail = tail[i:]
	}
	return append(out, tail...)
}

// quotedLen is the length of the JSON string at the start of b.
func quotedLen(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// QuoteString writes s as a JSON string; invalid UTF-8 becomes U+FFFD.
func QuoteString(s string) jsontext.Value {
	q, err := jsontext.AppendQuote(nil, s)
	if err != nil && len(q) == 0 { // invalid UTF-8 still yields a string; this cannot happen
		return jsontext.Value(fmt.Sprintf("%q", s))
	}
	return q
}

// UnquoteString reads a JSON string; lone surrogates and invalid UTF-8 become
// U+FFFD. ok is false when v is not a JSON string.
func UnquoteString(v jsontext.Value) (s string, ok bool) {
	if len(v) < 2 || v[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return string(bytes.ToValidUTF8(v[1:len(v)-1], []byte("\uFFFD"))), true
	}
	plain, _ := jsontext.AppendUnquote(nil, v) // the error only tells that something became U+FFFD
	return string(plain), true
}
