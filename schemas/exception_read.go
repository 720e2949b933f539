package schemas

import (
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// exceptionReader reads the exceptions of an event in one walk, and of their
// stacks where each frame begins. Every event passes here; Members and Lookup
// would look for the end of each value at every level before reading it.
type exceptionReader struct {
	text []byte
	list []Exception
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
			ex.Stack = Stack{}
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
		ex.Stack = Stack{}
		if r.at(i) != '[' {
			return skipValue(r.text, i)
		}
		end, at := r.frames(i)
		if len(at) > 0 {
			ex.Stack = Stack{r.text, at}
		}
		return end
	})
}

// frames finds the frames of the list at i and keeps the last MaxFrames.
func (r *exceptionReader) frames(i int) (end int, at []int32) {
	var inline [64]int32 // so that most lists are allocated once, in their size
	at = inline[:0]
	end = walkArray(r.text, i, func(i int) int {
		if r.at(i) == '{' {
			if len(at) == 2*MaxFrames {
				at = at[:copy(at, at[MaxFrames:])]
			}
			at = append(at, int32(i))
		}
		return skipValue(r.text, i)
	})
	return end, slices.Clone(at[max(len(at)-MaxFrames, 0):])
}

// readFrame reads the frame that begins at i into f; last is another one, which
// may say the same.
func readFrame(text []byte, i int, f, last *Frame) {
	i++
	for m, next := scanMember(text, i); next > 0; m, next = scanMember(text, i) {
		i = next
		v := jsontext.Value(text[m.value:m.end])
		switch string(m.name(text)) {
		case "filename":
			f.Filename = unquoteAgain(v, last.Filename)
		case "abs_path":
			f.AbsPath = unquoteAgain(v, last.AbsPath)
		case "function":
			f.Function = unquoteAgain(v, last.Function)
		case "module":
			f.Module = unquoteAgain(v, last.Module)
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
	*into, _ = UnquoteString(v)
	return end
}

// unquoteAgain is UnquoteString without the ok; again is a string that is likely
// the same.
func unquoteAgain(v jsontext.Value, again string) string {
	if len(v) == len(again)+2 && v[0] == '"' && string(v[1:len(v)-1]) == again && strings.IndexByte(again, '\\') < 0 {
		return again
	}
	s, _ := UnquoteString(v)
	return s
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
