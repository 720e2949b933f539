package schemas

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// exceptionReader reads the exceptions of an event in one walk. Their frames
// are most of an event's text, and every event passes here; Members and Lookup
// would look for the end of each value at every level before reading it.
type exceptionReader struct {
	text  []byte
	list  []Exception
	texts texts
}

func readExceptions(v jsontext.Value) []Exception {
	r := exceptionReader{text: v}
	i := skipSpace(v, 0)
	if i >= len(v) {
		return nil
	}
	wrapped := false
	if v[i] == '{' {
		walkObject(v, i, func(name []byte, value int) int {
			if string(name) != "values" {
				return skipValue(v, value)
			}
			wrapped, r.list = true, nil // of two the last counts
			return r.values(value)
		})
	}
	if !wrapped {
		r.values(i)
	}
	return r.list
}

// values reads a list of exceptions, or a single one, at i.
func (r *exceptionReader) values(i int) (end int) {
	switch r.at(i) {
	case '{':
		return r.add(i)
	case '[':
		return walkArray(r.text, i, r.add)
	}
	return skipValue(r.text, i)
}

// add reads the exception at i; what is no object is none.
func (r *exceptionReader) add(i int) (end int) {
	if r.at(i) != '{' || len(r.list) == MaxExceptions {
		return skipValue(r.text, i)
	}
	var ex Exception
	end = walkObject(r.text, i, func(name []byte, i int) int {
		switch string(name) {
		case "type":
			return r.str(i, &ex.Type)
		case "module":
			return r.str(i, &ex.Module)
		case "value":
			if r.at(i) == '"' {
				return r.str(i, &ex.Value)
			}
			end, v := r.raw(i)
			if ex.Value = scalar(v); ex.Value == "" && (v.Kind() == '{' || v.Kind() == '[') {
				ex.Value = string(v)
			}
			return end
		case "mechanism":
			ex.Handled, ex.MechanismType = nil, ""
			if r.at(i) == '{' {
				return r.mechanism(i, &ex)
			}
		case "stacktrace":
			ex.Frames = nil
			if r.at(i) == '{' {
				return r.stack(i, &ex)
			}
		}
		return skipValue(r.text, i)
	})
	r.list = append(r.list, ex)
	return end
}

func (r *exceptionReader) mechanism(i int, ex *Exception) (end int) {
	return walkObject(r.text, i, func(name []byte, i int) int {
		switch string(name) {
		case "handled":
			end, v := r.raw(i)
			ex.Handled = boolean(v)
			return end
		case "type":
			return r.str(i, &ex.MechanismType)
		}
		return skipValue(r.text, i)
	})
}

func (r *exceptionReader) stack(i int, ex *Exception) (end int) {
	return walkObject(r.text, i, func(name []byte, i int) int {
		if string(name) != "frames" {
			return skipValue(r.text, i)
		}
		ex.Frames = nil
		if r.at(i) != '[' {
			return skipValue(r.text, i)
		}
		return r.frames(i, &ex.Frames)
	})
}

// frameSpace is where a list grows, so that one of the right size is left: how
// many frames there are is only known behind the last.
var frameSpace = sync.Pool{New: func() any { s := make([]Frame, 0, 64); return &s }}

// frames reads the list at i and keeps the last MaxFrames.
func (r *exceptionReader) frames(i int, into *[]Frame) (end int) {
	space := frameSpace.Get().(*[]Frame)
	list := *space
	end = walkArray(r.text, i, func(i int) int {
		if r.at(i) != '{' {
			return skipValue(r.text, i)
		}
		if len(list) == 2*MaxFrames {
			kept := copy(list, list[MaxFrames:])
			clear(list[kept:])
			list = list[:kept]
		}
		list = append(list, Frame{})
		last := &noFrame
		if n := len(list); n > 1 {
			last = &list[n-2]
		}
		return r.frame(i, &list[len(list)-1], last)
	})
	if len(list) > 0 {
		*into = slices.Clone(list[max(len(list)-MaxFrames, 0):])
	}
	clear(list) // the pool keeps no payload alive
	*space = list[:0]
	frameSpace.Put(space)
	return end
}

var noFrame Frame

// frame reads one frame into f; last is its neighbour, which often says the
// same. It is walkObject written out: a stack has hundreds of members.
func (r *exceptionReader) frame(i int, f, last *Frame) (end int) {
	for i++; ; i = end {
		m, ok := scanName(r.text, i)
		if !ok {
			return skipClosing(r.text, i, '}')
		}
		if end = skipValue(r.text, m.value); end <= m.value {
			return len(r.text) // not valid JSON
		}
		v := jsontext.Value(r.text[m.value:end])
		switch string(m.name(r.text)) {
		case "filename":
			f.Filename = r.texts.unquote(v, last.Filename)
		case "abs_path":
			again := last.AbsPath
			if again == "" {
				again = f.Filename
			}
			f.AbsPath = r.texts.unquote(v, again)
		case "function":
			f.Function = r.texts.unquote(v, last.Function)
		case "module":
			f.Module = r.texts.unquote(v, last.Module)
		case "lineno":
			f.Lineno = count(v)
		case "colno":
			f.Colno = count(v)
		case "in_app":
			f.InApp = boolean(v)
		}
	}
}

// at is the byte at i, 0 behind the end.
func (r *exceptionReader) at(i int) byte {
	if i < len(r.text) {
		return r.text[i]
	}
	return 0
}

// raw is the value at i as it stands.
func (r *exceptionReader) raw(i int) (end int, v jsontext.Value) {
	end = skipValue(r.text, i)
	return end, jsontext.Value(r.text[i:end])
}

// str reads the value at i when it is a string, else "".
func (r *exceptionReader) str(i int, into *string) (end int) {
	end, v := r.raw(i)
	*into = r.texts.unquote(v, "")
	return end
}

// texts makes many short strings out of few allocations. A string of it keeps
// its neighbours in memory, so what is kept longer than its event is cloned.
type texts struct{ chunk strings.Builder }

const textChunk = 1 << 10

// unquote is UnquoteString, without the ok; again is a string that is likely
// the same.
func (t *texts) unquote(v jsontext.Value, again string) string {
	if len(v) <= 2 || v[0] != '"' {
		return ""
	}
	plain := v[1 : len(v)-1]
	if bytes.IndexByte(plain, '\\') >= 0 || len(plain) > textChunk/4 {
		s, _ := UnquoteString(v)
		return s
	}
	switch {
	case string(plain) == again:
		return again
	case !utf8.Valid(plain):
		s, _ := UnquoteString(v)
		return s
	}
	if t.chunk.Cap()-t.chunk.Len() < len(plain) {
		t.chunk.Reset() // the strings made of it so far keep the old one
		t.chunk.Grow(textChunk)
	}
	from := t.chunk.Len()
	t.chunk.Write(plain)
	return t.chunk.String()[from:]
}

var yes, no = true, false

// boolean reads true and false, also as strings; nil for all else. All share
// two values, which nobody changes.
func boolean(v jsontext.Value) *bool {
	switch string(v) {
	case "true":
		return &yes
	case "false":
		return &no
	}
	if v.Kind() != '"' {
		return nil
	}
	switch b, err := strconv.ParseBool(scalar(v)); {
	case err != nil:
		return nil
	case b:
		return &yes
	}
	return &no
}

// count reads a number that is not negative, also from a string; 0 for all else.
func count(v jsontext.Value) int {
	if n, ok := digits(v); ok {
		return n
	}
	s := scalar(v)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 && n < 1<<53 {
		return int(n)
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f >= 0 && f < 1<<53 {
		return int(f)
	}
	return 0
}

// digits reads what nearly all lines and columns are: up to nine digits.
func digits(v []byte) (n int, ok bool) {
	if len(v) == 0 || len(v) > 9 {
		return 0, false
	}
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
