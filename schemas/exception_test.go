package schemas

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestExceptions(t *testing.T) {
	yes, no := true, false
	one := []readException{{
		Exception{Type: "TypeError", Value: "x", Module: "m", Handled: &no, MechanismType: "onerror"},
		[]Frame{{Filename: "a.js", AbsPath: "https://a/a.js", Function: "f", Module: "mod", Lineno: 3, Colno: 4, InApp: &yes}, {Function: "g"}},
	}}
	const ex = `{"type":"TypeError","value":"x","module":"m","mechanism":{"type":"onerror","handled":false},"stacktrace":{"frames":[` +
		`{"filename":"a.js","abs_path":"https://a/a.js","function":"f","module":"mod","lineno":3,"colno":"4","in_app":true},null,{"function":"g","lineno":-1,"in_app":"maybe"}]}}`
	tests := []struct {
		name, in string
		want     []readException
	}{
		{"values", `{"exception":{"values":[` + ex + `]}}`, one},
		{"array", `{"exception":[` + ex + `]}`, one},
		{"object", `{"exception":` + ex + `}`, one},
		{"old key", `{"sentry.interfaces.Exception":{"values":[` + ex + `]}}`, one},
		{"null under the new key", `{"exception":null,"sentry.interfaces.Exception":[` + ex + `]}`, one},
		{"values is one object", `{"exception":{"values":` + ex + `}}`, one},
		{"nulls between", `{"exception":{"values":[null,` + ex + `,3]}}`, one},
		{"none", `{}`, nil},
		{"no values", `{"exception":{"values":[]}}`, nil},
		{"null values", `{"exception":{"values":null}}`, nil},
		{"of another kind", `{"exception":"x"}`, nil},
		{"value is a number", `{"exception":[{"type":"E","value":12}]}`, []readException{{Exception: Exception{Type: "E", Value: "12"}}}},
		{"value is an object", `{"exception":[{"type":"E","value":{"a":[1]}}]}`, []readException{{Exception: Exception{Type: "E", Value: `{"a":[1]}`}}}},
		{"handled is null", `{"exception":[{"mechanism":{"handled":null,"type":"generic"}}]}`, []readException{{Exception: Exception{MechanismType: "generic"}}}},
		{"stacktrace is null", `{"exception":[{"type":"E","stacktrace":null}]}`, []readException{{Exception: Exception{Type: "E"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := event(t, tt.in)
			if diff := cmp.Diff(tt.want, withFrames(e.Exceptions()), cmpopts.IgnoreUnexported(Stack{})); diff != "" {
				t.Error(diff)
			}
			first, ok := e.FirstException()
			if ok != (len(tt.want) > 0) || e.HasException() != ok || ok && first.Type != tt.want[0].Type {
				t.Errorf("first: %+v, %v", first, ok)
			}
		})
	}
	t.Run("bounded", func(t *testing.T) {
		frames := strings.Repeat(`{"function":"old"},`, 500) + `{"function":"crash"}`
		e := event(t, `{"exception":[`+strings.Repeat(`{"type":"E","stacktrace":{"frames":[`+frames+`]}},`, 100)+`{}]}`)
		got := e.Exceptions()
		if len(got) != MaxExceptions || got[0].Stack.Len() != MaxFrames || got[0].Stack.Frame(MaxFrames-1).Function != "crash" {
			t.Errorf("%d exceptions, %d frames", len(got), got[0].Stack.Len())
		}
	})
}

func TestHandled(t *testing.T) {
	for name, tt := range map[string]struct {
		in             string
		handled, known bool
	}{
		"message":            {`{"message":"x"}`, false, false},
		"mechanism absent":   {`{"exception":[{"type":"E"}]}`, false, false},
		"handled":            {`{"exception":[{"mechanism":{"handled":true}}]}`, true, true},
		"unhandled":          {`{"exception":[{"mechanism":{"handled":false}}]}`, false, true},
		"one of a chain":     {`{"exception":[{"mechanism":{"handled":true}},{"mechanism":{"handled":false}},{}]}`, false, true},
		"the other way":      {`{"exception":[{"mechanism":{"handled":false}},{"mechanism":{"handled":true}}]}`, false, true},
		"as text":            {`{"exception":[{"mechanism":{"handled":"false"}}]}`, false, true},
		"mechanism is text":  {`{"exception":[{"mechanism":"generic"}]}`, false, false},
		"handled is no word": {`{"exception":[{"mechanism":{"handled":"who knows"}}]}`, false, false},
	} {
		e := event(t, tt.in)
		handled, known := e.Handled()
		if handled != tt.handled || known != tt.known || e.IsUnhandledCrash() != (tt.known && !tt.handled) {
			t.Errorf("%s: %v, %v", name, handled, known)
		}
	}
}
