package schemas

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Exception is one exception of an event, as far as the gateway reads it.
type Exception struct {
	Type, Value, Module string
	// Handled is the mechanism's word: nil when the client did not say.
	Handled *bool
	// MechanismType is who caught it: generic, onerror, onunhandledrejection, ….
	MechanismType string
	// Frames are in the order of the wire: oldest call first, the crashing one last.
	Frames []Frame
}

// Frame is one frame of a stack, as far as the gateway reads it. Lines and
// columns are 0 when absent.
type Frame struct {
	Filename, AbsPath, Function, Module string
	Lineno, Colno                       int
	InApp                               *bool
}

// Bounds of what Exceptions reads: more of either is more than any client
// sends. Of the exceptions the first are kept, of the frames the last (the
// ones nearest to the crash).
const (
	MaxExceptions = 64
	MaxFrames     = 250
)

// Exceptions are the event's exceptions in the order of the wire: the cause
// first, the one that was thrown last. Read from {"values": […]}, a bare array
// or a single object, under "exception" or "sentry.interfaces.Exception". An
// object or array as value is kept as its JSON text. nil when there are none.
func (e *Event) Exceptions() []Exception {
	var list []Exception
	e.eachException(func(v jsontext.Value) bool {
		list = append(list, readException(v, true))
		return len(list) < MaxExceptions
	})
	return list
}

// FirstException is Exceptions()[0] without reading the others.
func (e *Event) FirstException() (ex Exception, ok bool) {
	e.eachException(func(v jsontext.Value) bool {
		ex, ok = readException(v, true), true
		return false
	})
	return ex, ok
}

// HasException tells whether there is an exception at all.
func (e *Event) HasException() bool {
	found := false
	e.eachException(func(jsontext.Value) bool { found = true; return false })
	return found
}

// Handled tells whether the program caught the error: false when any
// exception's mechanism says so. known is false when none says anything, as
// for messages.
func (e *Event) Handled() (handled, known bool) {
	handled = true
	n := 0
	e.eachException(func(v jsontext.Value) bool {
		if h := readException(v, false).Handled; h != nil {
			known = true
			handled = handled && *h
		}
		n++
		return n < MaxExceptions
	})
	return handled && known, known
}

// IsUnhandledCrash tells whether the program did not catch the error.
func (e *Event) IsUnhandledCrash() bool {
	handled, known := e.Handled()
	return known && !handled
}

func (e *Event) eachException(fn func(jsontext.Value) bool) {
	v, ok := e.first("exception", "sentry.interfaces.Exception")
	if !ok {
		return
	}
	if v.Kind() == '{' {
		values, ok := Lookup(v, "values")
		if !ok {
			fn(v)
			return
		}
		v = values
	}
	if v.Kind() == '{' {
		fn(v)
		return
	}
	for el := range Elements(v) {
		if el.Kind() == '{' && !fn(el) {
			return
		}
	}
}

func readException(v jsontext.Value, frames bool) Exception {
	var ex Exception
	for name, value := range Members(v) {
		switch string(name) {
		case "type":
			ex.Type, _ = UnquoteString(value)
		case "value":
			if ex.Value = scalar(value); ex.Value == "" && (value.Kind() == '{' || value.Kind() == '[') {
				ex.Value = string(value)
			}
		case "module":
			ex.Module, _ = UnquoteString(value)
		case "mechanism":
			ex.Handled, ex.MechanismType = nil, ""
			for name, value := range Members(value) {
				switch string(name) {
				case "handled":
					ex.Handled = boolean(value)
				case "type":
					ex.MechanismType, _ = UnquoteString(value)
				}
			}
		case "stacktrace":
			if frames {
				list, _ := Lookup(value, "frames")
				ex.Frames = readFrames(list)
			}
		}
	}
	return ex
}

func readFrames(list jsontext.Value) []Frame {
	n := 0
	for el := range Elements(list) {
		if el.Kind() == '{' {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	skip := max(n-MaxFrames, 0)
	frames := make([]Frame, 0, n-skip)
	for el := range Elements(list) {
		if el.Kind() != '{' {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		frames = append(frames, readFrame(el))
	}
	return frames
}

func readFrame(v jsontext.Value) Frame {
	var f Frame
	for name, value := range Members(v) {
		switch string(name) {
		case "filename":
			f.Filename, _ = UnquoteString(value)
		case "abs_path":
			f.AbsPath, _ = UnquoteString(value)
		case "function":
			f.Function, _ = UnquoteString(value)
		case "module":
			f.Module, _ = UnquoteString(value)
		case "lineno":
			f.Lineno = count(value)
		case "colno":
			f.Colno = count(value)
		case "in_app":
			f.InApp = boolean(value)
		}
	}
	return f
}

// boolean reads true and false, also as strings; nil for all else.
func boolean(v jsontext.Value) *bool {
	b, err := strconv.ParseBool(scalar(v))
	if err != nil || v.Kind() == '0' {
		return nil
	}
	return &b
}

// count reads a number that is not negative, also from a string; 0 for all else.
func count(v jsontext.Value) int {
	s := scalar(v)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 && n < 1<<53 {
		return int(n)
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f >= 0 && f < 1<<53 {
		return int(f)
	}
	return 0
}
