package schemas

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The reading of exceptions as it would be written without a thought of its
// cost, value by value. readExceptions must agree with it.

// readException is an exception with its frames read.
type readException struct {
	Exception
	Frames []Frame
}

// withFrames reads the frames of a list of exceptions.
func withFrames(list []Exception) (all []readException) {
	for _, ex := range list {
		frames := ex.Stack.Frames()
		ex.Stack = Stack{}
		all = append(all, readException{ex, frames})
	}
	return all
}

func plainExceptions(v jsontext.Value) []readException {
	list := func(v jsontext.Value) (all []readException) {
		if v.Kind() == '{' {
			return []readException{plainException(v)}
		}
		for el := range Elements(v) {
			if el.Kind() == '{' && len(all) < MaxExceptions {
				all = append(all, plainException(el))
			}
		}
		return all
	}
	if values, ok := Lookup(v, "values"); ok {
		return list(values)
	}
	return list(v)
}

func plainException(v jsontext.Value) (ex readException) {
	str := func(path ...string) string {
		found, _ := Lookup(v, path...)
		s, _ := UnquoteString(found)
		return s
	}
	ex.Type, ex.Module, ex.MechanismType = str("type"), str("module"), str("mechanism", "type")
	value, _ := Lookup(v, "value")
	if ex.Value = scalar(value); ex.Value == "" && (value.Kind() == '{' || value.Kind() == '[') {
		ex.Value = string(value)
	}
	handled, _ := Lookup(v, "mechanism", "handled")
	ex.Handled = plainBoolean(handled)
	frames, _ := Lookup(v, "stacktrace", "frames")
	for el := range Elements(frames) {
		if el.Kind() == '{' {
			ex.Frames = append(ex.Frames, plainFrame(el))
		}
	}
	if len(ex.Frames) > MaxFrames {
		ex.Frames = ex.Frames[len(ex.Frames)-MaxFrames:]
	}
	return ex
}

func plainFrame(v jsontext.Value) Frame {
	get := func(name string) jsontext.Value { found, _ := Lookup(v, name); return found }
	str := func(name string) string { s, _ := UnquoteString(get(name)); return s }
	whole := func(name string) int {
		s := scalar(get(name))
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 && n < 1<<53 {
			return int(n)
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && f >= 0 && f < 1<<53 {
			return int(f)
		}
		return 0
	}
	return Frame{
		Filename: str("filename"), AbsPath: str("abs_path"), Function: str("function"), Module: str("module"),
		Lineno: whole("lineno"), Colno: whole("colno"), InApp: plainBoolean(get("in_app")),
	}
}

func plainBoolean(v jsontext.Value) *bool {
	b, err := strconv.ParseBool(scalar(v))
	if err != nil || v.Kind() == '0' {
		return nil
	}
	return &b
}

func FuzzExceptions(f *testing.F) {
	for _, b := range envelopeSeeds(f) {
		for line := range bytes.SplitSeq(b, []byte("\n")) {
			if v, ok := Lookup(line, "exception"); ok {
				f.Add([]byte(v))
			}
		}
	}
	frames := func(n int) string { return strings.TrimSuffix(strings.Repeat(`{"filename":"a","lineno":1},`, n), ",") }
	for _, seed := range []string{
		`{"values":[{"type":"A","type":1,"value":{"a":[1]},"mechanism":{"handled":"false","type":"x"},"mechanism":null}]}`,
		`{"values":[{}],"values":{"type":"B","stacktrace":{"frames":[1,{"in_app":"T","lineno":"7","colno":1e3}]}}}`,
		`[{"stacktrace":{"frames":[{"filename":"a\\n"},{"filename":"a\n","abs_path":"a\u000a"}]}},7,{"value":true}]`,
		`{"type":"A","values":null}`, `{"type":"\ud800","value":-1.50,"module":"` + "\xff" + `"}`,
		`[{"stacktrace":{"frames":[` + frames(2*MaxFrames+3) + `]}}]`, `[` + strings.Repeat(`{},`, MaxExceptions) + `{"type":"last"}]`,
		`{"values":[{"stacktrace":{"frames":[{"function":"` + strings.Repeat("f", 1<<10) + `"}],"frames":[{"in_app":1}]},"stacktrace":[]}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		valid := jsontext.Value(raw).IsValid(jsonLenient...)
		got := withFrames(readExceptions(raw)) // must end, whatever the text
		if !valid || TooDeep(raw, 100) {
			return
		}
		if diff := cmp.Diff(plainExceptions(raw), got, cmpopts.IgnoreUnexported(Stack{})); diff != "" {
			t.Fatalf("%s\n%s", raw, diff)
		}
		for _, ex := range readExceptions(raw) {
			for i := range ex.Stack.Len() {
				if f := ex.Stack.Frame(i); ex.Stack.InApp(i) != (f.InApp != nil && *f.InApp) {
					t.Fatalf("%s: frame %d in the application: %v", raw, i, ex.Stack.InApp(i))
				}
			}
		}
	})
}

func TestExceptionsFollowEdits(t *testing.T) {
	e := event(t, `{"exception":{"values":[{"type":"A"}]},"sentry.interfaces.Exception":[{"type":"B"}]}`)
	kind := func() string { ex, _ := e.FirstException(); return ex.Type }
	for range 2 { // read, then kept
		if kind() != "A" {
			t.Error("the event's own exception")
		}
	}
	e.Set("release", jsontext.Value(`"a@1"`))
	if kind() != "A" {
		t.Error("another member's edit changes no exception")
	}
	e.Set("exception", jsontext.Value(`{"values":[{"type":"C"}]}`))
	if kind() != "C" {
		t.Errorf("after an edit still %s", kind())
	}
	e.Delete("exception")
	if kind() != "B" {
		t.Errorf("after a deletion %s", kind())
	}
	e.Delete("sentry.interfaces.Exception")
	if e.HasException() {
		t.Error("none is left")
	}
	e.Set("exception", nil)
	if e.HasException() {
		t.Error("nothing is no exception")
	}
}
