package schemas

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math/bits"

	"github.com/go-json-experiment/json/jsontext"
)

// This file walks JSON that was already checked for syntax: valid.go does the
// checking, once, at the door. After that a second grammar check per lookup
// would be the dearest thing on the path of an event, so the walk only counts
// quotes and brackets. On text that is not valid JSON it stops early or yields
// nonsense, but it never reads outside the text and always ends.

// Members yields the members of a JSON object in order: the name, unescaped,
// and the raw value. Nothing is yielded for other kinds. name is only good
// until the next step; value shares memory with v.
func Members(v jsontext.Value) iter.Seq2[[]byte, jsontext.Value] {
	return func(yield func([]byte, jsontext.Value) bool) {
		i := skipSpace(v, 0)
		if i >= len(v) || v[i] != '{' {
			return
		}
		for m, next := scanMember(v, i+1); next > 0; m, next = scanMember(v, next) {
			if !yield(m.name(v), jsontext.Value(v[m.value:m.end])) {
				return
			}
		}
	}
}

// Elements yields the elements of a JSON array in order, raw. Nothing is
// yielded for other kinds. value shares memory with v.
func Elements(v jsontext.Value) iter.Seq[jsontext.Value] {
	return func(yield func(jsontext.Value) bool) {
		i := skipSpace(v, 0)
		if i >= len(v) || v[i] != '[' {
			return
		}
		for i = skipComma(v, i+1); i < len(v) && v[i] != ']'; i = skipComma(v, i) {
			end := skipValue(v, i)
			if end <= i || !yield(jsontext.Value(v[i:end])) {
				return
			}
			i = end
		}
	}
}

// Lookup walks down objects by member names and returns the raw value at the
// end. Where a name stands twice the last one counts, as everywhere.
func Lookup(v jsontext.Value, path ...string) (jsontext.Value, bool) {
	for _, want := range path {
		var found jsontext.Value
		for name, value := range Members(v) {
			if string(name) == want {
				found = value
			}
		}
		if found == nil {
			return nil, false
		}
		v = found
	}
	return v, true
}

// TooDeep tells whether objects and arrays are nested deeper than limit. It
// looks at brackets only, so it can stand before the syntax check; text that
// is not JSON may be called either way.
func TooDeep(raw []byte, limit int) bool {
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i = skipString(raw, i) - 1
		case '{', '[':
			if depth++; depth > limit {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}

// span is where one member of an object stands in its text.
type span struct {
	start   int // the name's opening quote
	nameEnd int // after the name's closing quote
	value   int // first byte of the value
	end     int // after the value
}

// name is the member's name, unescaped; without escapes it shares memory.
func (s span) name(text []byte) []byte {
	quoted := text[s.start:s.nameEnd]
	if len(quoted) < 2 {
		return nil
	}
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	plain, _ := jsontext.AppendUnquote(nil, quoted) // the error only tells that something became U+FFFD
	return plain
}

// scanMember finds the next member at or after i; next is where to go on, 0
// after the last one.
func scanMember(text []byte, i int) (m span, next int) {
	m, ok := scanName(text, i)
	if !ok {
		return span{}, 0
	}
	m.end = skipValue(text, m.value)
	if m.end <= m.value {
		return span{}, 0
	}
	return m, m.end
}

// scanName is scanMember up to the value, for those who read it themselves:
// end is left open.
func scanName(text []byte, i int) (m span, ok bool) {
	i = skipComma(text, i)
	if i >= len(text) || text[i] != '"' {
		return span{}, false
	}
	m.start = i
	m.nameEnd = skipString(text, i)
	i = skipSpace(text, m.nameEnd)
	if i >= len(text) || text[i] != ':' {
		return span{}, false
	}
	m.value = skipSpace(text, i+1)
	return m, true
}

// walkObject goes through the members of the object that opens at i; visit
// reads the value at its second argument and returns where it ends. Unlike
// Members it does not look for that end first, so nested objects are walked
// once. It returns the offset after the object.
func walkObject(text []byte, i int, visit func(name []byte, value int) (end int)) int {
	i++
	for {
		m, ok := scanName(text, i)
		if !ok {
			return skipClosing(text, i, '}')
		}
		if i = visit(m.name(text), m.value); i <= m.value {
			return len(text) // not valid JSON
		}
	}
}

// walkArray is walkObject for the elements of the array that opens at i.
func walkArray(text []byte, i int, visit func(value int) (end int)) int {
	for i = skipComma(text, i+1); i < len(text) && text[i] != ']'; i = skipComma(text, i) {
		end := visit(i)
		if end <= i {
			return len(text) // not valid JSON
		}
		i = end
	}
	return skipClosing(text, i, ']')
}

// skipClosing returns the offset after the bracket at i; what stands there
// instead is not valid JSON, and ends the text.
func skipClosing(text []byte, i int, bracket byte) int {
	if i = skipComma(text, i); i < len(text) && text[i] == bracket {
		return i + 1
	}
	return len(text)
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

func skipComma(b []byte, i int) int {
	i = skipSpace(b, i)
	if i < len(b) && b[i] == ',' {
		i = skipSpace(b, i+1)
	}
	return i
}

// skipString returns the offset after the string that opens at i.
func skipString(b []byte, i int) int {
	end, _ := SkipString(b, i)
	return end
}

// SkipString returns the offset after the string that opens at i, and whether
// there is an escape in it. It looks at eight bytes at a time: strings are most
// of an event. One that never closes ends with the text.
func SkipString(b []byte, i int) (end int, escaped bool) {
	const ones = 0x0101010101010101
	j := i + 1
	for j+8 <= len(b) {
		x := binary.LittleEndian.Uint64(b[j:])
		quotes, slashes := x^ones*'"', x^ones*'\\'
		// The lowest set bit marks the first byte that is one of the two.
		found := ((quotes-ones)&^quotes | (slashes-ones)&^slashes) & (ones * 0x80)
		if found == 0 {
			j += 8
			continue
		}
		j += bits.TrailingZeros64(found) / 8
		if b[j] == '"' {
			return j + 1, escaped
		}
		escaped = true
		j += 2 // the escaped character can be no end
	}
	for ; j < len(b); j++ {
		switch b[j] {
		case '"':
			return j + 1, escaped
		case '\\':
			escaped = true
			j++
		}
	}
	return len(b), escaped
}

// skipValue returns the offset after the value that begins at i; i itself
// when none does.
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return i
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		depth := 0
		for ; i < len(b); i++ {
			switch b[i] {
			case '"':
				i = skipString(b, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
		return i
	}
	for i < len(b) {
		switch b[i] {
		case ',', '}', ']', ' ', '\n', '\r', '\t', ':', '"':
			return i
		}
		i++
	}
	return i
}
