package schemas

import (
	"bytes"
	"errors"
	"unicode/utf8"

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
	edits   []edit
	changes int       // how often Set or Delete changed something
	nesting int       // of the text; see Nesting
	inline  [8]member // headers need no further allocation
}

// member is one member of the original text, or one that Set added.
type member struct {
	start, nameEnd, value, end int32 // see span; start is -1 for an added member
	// edit is 0 for a member as it came, gone for a deleted one, else 1 + the index of its edit.
	edit    int32
	escaped bool
}

const gone = -1

type edit struct {
	name  string // of an added member
	value jsontext.Value
}

// nameIs compares without allocating.
func (o *Object) nameIs(m *member, name string) bool {
	switch {
	case m.start < 0:
		return m.edit > 0 && o.edits[m.edit-1].name == name
	case m.escaped:
		return string(o.nameOf(m)) == name
	}
	return string(o.raw[m.start+1:m.nameEnd-1]) == name
}

func (o *Object) nameOf(m *member) []byte {
	if m.start < 0 {
		if m.edit <= 0 {
			return nil
		}
		return []byte(o.edits[m.edit-1].name)
	}
	return span{start: int(m.start), nameEnd: int(m.nameEnd)}.name(o.raw)
}

func (o *Object) valueOf(m *member) jsontext.Value {
	if m.edit > 0 {
		return o.edits[m.edit-1].value
	}
	return jsontext.Value(o.raw[m.value:m.end])
}

// Get returns the raw JSON of a member's value. The bytes belong to the
// object: read them, do not change them.
func (o *Object) Get(name string) (jsontext.Value, bool) {
	for i := len(o.members) - 1; i >= 0; i-- {
		if m := &o.members[i]; m.edit != gone && o.nameIs(m, name) {
			return o.valueOf(m), true
		}
	}
	return nil, false
}

// Path returns the raw value found by walking down objects by name, edits of
// this object included.
func (o *Object) Path(name string, rest ...string) (jsontext.Value, bool) {
	v, ok := o.Get(name)
	if !ok || len(rest) == 0 {
		return v, ok
	}
	return Lookup(v, rest...)
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
	return ViewObject(v)
}

// Names lists the members in order, each key once.
func (o *Object) Names() []string {
	names := make([]string, 0, len(o.members))
	seen := make(map[string]bool, len(o.members))
	for i := range o.members {
		m := &o.members[i]
		if m.edit == gone {
			continue
		}
		if name := string(o.nameOf(m)); !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// HasDuplicates tells whether a key stands twice. Relay refuses an envelope
// header like that; event payloads may have them.
func (o *Object) HasDuplicates() bool {
	if len(o.members) <= 20 { // comparing each with each is cheaper than a map
		for i := range o.members {
			for j := range i {
				if bytes.Equal(o.nameOf(&o.members[i]), o.nameOf(&o.members[j])) && o.members[i].edit != gone && o.members[j].edit != gone {
					return true
				}
			}
		}
		return false
	}
	n := 0
	for i := range o.members {
		if o.members[i].edit != gone {
			n++
		}
	}
	return len(o.Names()) != n
}

// Set replaces a member's value, or adds the member at the end. value must be
// valid JSON; it is kept, not copied.
func (o *Object) Set(name string, value jsontext.Value) {
	o.changes++
	done := false
	for i := len(o.members) - 1; i >= 0; i-- {
		m := &o.members[i]
		if m.edit == gone || !o.nameIs(m, name) {
			continue
		}
		switch {
		case done:
			m.edit = gone
		case m.edit > 0:
			o.edits[m.edit-1].value = value
		default:
			o.addEdit(edit{value: value})
			m.edit = int32(len(o.edits))
		}
		done = true
	}
	if !done {
		o.addEdit(edit{name: name, value: value})
		o.members = append(o.members, member{start: -1, edit: int32(len(o.edits))})
	}
}

// addEdit makes room for a few at once: an event that is edited has several.
func (o *Object) addEdit(e edit) {
	if o.edits == nil {
		o.edits = make([]edit, 0, 4)
	}
	o.edits = append(o.edits, e)
}

// SetString is Set with a Go string, quoted.
func (o *Object) SetString(name, value string) { o.Set(name, QuoteString(value)) }

// Delete removes a member; absent ones are no error.
func (o *Object) Delete(name string) {
	for i := range o.members {
		if m := &o.members[i]; m.edit != gone && o.nameIs(m, name) {
			m.edit = gone
			o.changes++
		}
	}
}

// Clone is a copy with edits of its own; the text is shared.
func (o *Object) Clone() *Object {
	c := &Object{raw: o.raw, changes: o.changes}
	c.members = append(c.inline[:0], o.members...)
	c.edits = append(c.edits, o.edits...)
	return c
}

// Nesting is how deep objects and arrays are nested in the text that
// ParseObject read, itself included; 0 for an object that was made otherwise.
func (o *Object) Nesting() int { return o.nesting }

// Edited tells whether Set or Delete changed anything.
func (o *Object) Edited() bool { return o.changes > 0 }

// Changes counts them: an equal count means that Bytes is what it was.
func (o *Object) Changes() int { return o.changes }

// Bytes returns the object's text: the original bytes when nothing was
// edited, otherwise the original with the edits spliced in.
func (o *Object) Bytes() []byte {
	if o.changes == 0 {
		return o.raw
	}
	size := len(o.raw)
	for i := range o.edits {
		size += len(o.edits[i].value) + len(o.edits[i].name) + 4
	}
	out := make([]byte, 0, size)
	last, kept := bytes.IndexByte(o.raw, '{')+1, false
	out = append(out, o.raw[:last]...)
	for i := range o.members {
		m := &o.members[i]
		if m.start < 0 {
			continue
		}
		lead := o.raw[last:m.start] // white space and the comma
		last = int(m.end)
		if m.edit == gone {
			continue
		}
		if !kept && bytes.IndexByte(lead, ',') >= 0 { // those before it are deleted
			lead = lead[bytes.IndexByte(lead, ',')+1:]
		}
		kept = true
		out = append(out, lead...)
		out = append(out, o.raw[m.start:m.value]...)
		out = append(out, o.valueOf(m)...)
	}
	tail := o.raw[last:]
	for i := range o.members {
		m := &o.members[i]
		if m.start >= 0 || m.edit == gone {
			continue
		}
		if kept {
			out = append(out, ',')
		}
		kept = true
		e := &o.edits[m.edit-1]
		out = append(out, QuoteString(e.name)...)
		out = append(out, ':')
		out = append(out, e.value...)
	}
	return append(out, tail...)
}

// QuoteString writes s as a JSON string; invalid UTF-8 becomes U+FFFD.
func QuoteString(s string) jsontext.Value {
	return appendQuote(make([]byte, 0, len(s)+2), s)
}

func appendQuote(out []byte, s string) []byte {
	out, _ = jsontext.AppendQuote(out, s) // the error only tells that something became U+FFFD
	return out
}

// UnquoteString reads a JSON string; lone surrogates and invalid UTF-8 become
// U+FFFD. ok is false when v is not a JSON string.
func UnquoteString(v jsontext.Value) (s string, ok bool) {
	if len(v) < 2 || v[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(v, '\\') < 0 && utf8.Valid(v) {
		return string(v[1 : len(v)-1]), true
	}
	plain, _ := jsontext.AppendUnquote(nil, v) // the error only tells that something became U+FFFD
	return string(plain), true
}
