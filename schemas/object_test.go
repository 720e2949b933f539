package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseObjectErrors(t *testing.T) {
	tests := []struct {
		name, in string
		is       error // nil: any error
	}{
		{"empty", "", ErrNotObject},
		{"space", " \n", ErrNotObject},
		{"array", "[]", ErrNotObject},
		{"string", `"x"`, ErrNotObject},
		{"null", "null", ErrNotObject},
		{"number", "1", ErrNotObject},
		{"two objects", "{}{}", ErrTrailing},
		{"text behind", "{} x", ErrTrailing},
		{"zero byte behind", "{}\x00", ErrTrailing},
		{"cut", `{"a":1`, nil},
		{"cut in a name", `{"a`, nil},
		{"name is a number", `{1:2}`, nil},
		{"comma at the end", `{"a":1,}`, nil},
		{"no colon", `{"a" 1}`, nil},
		{"bad literal", `{"a":nul}`, nil},
		{"NaN", `{"a":NaN}`, nil},
		{"bad escape", `{"a":"\x"}`, nil},
		{"raw newline in a string", "{\"a\":\"\n\"}", nil},
		{"single quotes", `{'a':1}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := ParseObject([]byte(tt.in))
			if err == nil || o != nil || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, %v; want %v", o, err, tt.is)
			}
		})
	}
}

func TestTooDeep(t *testing.T) {
	for text, depth := range map[string]int{
		``: 0, `1`: 0, `"[[["`: 0, `{}`: 1, `[[],[[]]]`: 3, `{"a":"]}","b":[1]}`: 2,
		`{"a\"[":"\\","b":[[]]}`: 3, `"\\\"[`: 0, `{"a":"`: 1, `[`: 1, `]]][`: 0, `"\`: 0, `["\\\\",[]]`: 2,
		strings.Repeat("[", 500): 500,
	} {
		if TooDeep([]byte(text), depth) || depth > 0 && !TooDeep([]byte(text), depth-1) {
			t.Errorf("%s is not nested %d deep", text, depth)
		}
	}
}

func TestViewObjectRefuses(t *testing.T) {
	for _, in := range []string{"", " ", "[]", `"x"`, "null", "{}{}", "{} x", `{"a":1`, `{"a":1]`} {
		if _, ok := ViewObject([]byte(in)); ok {
			t.Errorf("%q is no object", in)
		}
	}
}

func TestParseObjectIsLenient(t *testing.T) {
	for name, in := range map[string]string{
		"lone surrogate": `{"a":"\ud800"}`,
		"invalid UTF-8":  "{\"a\":\"\xff\",\"\xfe\":1}",
		"duplicates":     `{"a":1,"a":2}`,
		"space":          " \r\n{ \t} \n",
		"big integer":    `{"a":9223372036854775809}`,
	} {
		if o, err := ParseObject([]byte(in)); err != nil || string(o.Bytes()) != in {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestObjectEdits(t *testing.T) {
	set := func(k, v string) func(*Object) { return func(o *Object) { o.Set(k, jsontext.Value(v)) } }
	del := func(k string) func(*Object) { return func(o *Object) { o.Delete(k) } }
	tests := []struct {
		name, in string
		do       []func(*Object)
		want     string
	}{
		{"nothing", ` { "a" : 1 } `, nil, ` { "a" : 1 } `},
		{"delete what is absent", `{ "a":1 }`, []func(*Object){del("b")}, `{ "a":1 }`},
		{"replace keeps place and space", `{ "a" : 1 , "b" : 2 , "c":3}`, []func(*Object){set("b", `"x"`)}, `{ "a" : 1 , "b" : "x" , "c":3}`},
		{"add to empty", `{}`, []func(*Object){set("a", `1`)}, `{"a":1}`},
		{"add to empty with space", `{ }`, []func(*Object){set("a", `1`)}, `{"a":1 }`},
		{"add at the end", `{"a":1}`, []func(*Object){set("b", `2`), set("c", `3`)}, `{"a":1,"b":2,"c":3}`},
		{"delete first", `{"a":1, "b":2}`, []func(*Object){del("a")}, `{ "b":2}`},
		{"delete middle", `{"a":1,"b":2,"c":3}`, []func(*Object){del("b")}, `{"a":1,"c":3}`},
		{"delete last", `{"a":1,"b":2 }`, []func(*Object){del("b")}, `{"a":1 }`},
		{"delete all", `{"a":1,"b":2}`, []func(*Object){del("a"), del("b")}, `{}`},
		{"delete all and add", `{"a":1,"b":2}`, []func(*Object){del("a"), del("b"), set("c", `3`)}, `{"c":3}`},
		{"delete and set again", `{"a":1,"b":2}`, []func(*Object){del("a"), set("a", `3`)}, `{"b":2,"a":3}`},
		{"set twice", `{"a":1}`, []func(*Object){set("a", `2`), set("a", `3`), set("b", `1`), set("b", `2`)}, `{"a":3,"b":2}`},
		{"delete an added one", `{"a":1}`, []func(*Object){set("b", `2`), del("b")}, `{"a":1}`},
		{"duplicates: set leaves one, in the last place", `{"a":1,"b":2,"a":3}`, []func(*Object){set("a", `4`)}, `{"b":2,"a":4}`},
		{"duplicates: delete removes all", `{"a":1,"b":2,"a":3}`, []func(*Object){del("a")}, `{"b":2}`},
		{"escaped name", `{"\u0061":1,"b":2}`, []func(*Object){set("a", `3`)}, `{"\u0061":3,"b":2}`},
		{"escaped name deleted", `{"\u0061":1,"b":2}`, []func(*Object){del("a")}, `{"b":2}`},
		{"odd name added", `{}`, []func(*Object){set("a\"\n", `1`)}, `{"a\"\n":1}`},
		{"brackets and commas in strings", `{"a,}":"{,","b":[",",{}]}`, []func(*Object){del("a,}")}, `{"b":[",",{}]}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := ParseObject([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			for _, do := range tt.do {
				do(o)
			}
			if got := string(o.Bytes()); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestObjectReads(t *testing.T) {
	o, err := ParseObject([]byte(`{"s":"a\u00fc","n":12,"o":{"x":{"y":"z"}},"bad":"\ud800!","dup":1,"dup":2,"nul":null,"s2":"` + "\xff" + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"s": "aü", "bad": "\uFFFD!", "s2": "\uFFFD"} {
		if got, ok := o.String(name); !ok || got != want {
			t.Errorf("%s: got %q, %v", name, got, ok)
		}
	}
	for _, name := range []string{"n", "o", "nul", "absent"} {
		if got, ok := o.String(name); ok {
			t.Errorf("%s is no string, got %q", name, got)
		}
	}
	if v, _ := o.Get("dup"); string(v) != "2" {
		t.Errorf("the last duplicate counts, got %s", v)
	}
	if v, ok := o.Path("o", "x", "y"); !ok || string(v) != `"z"` {
		t.Errorf("path: %s", v)
	}
	if _, ok := o.Path("o", "x", "q"); ok {
		t.Error("path to nothing")
	}
	if _, ok := o.Object("s"); ok {
		t.Error("a string is no object")
	}
	if diff := cmp.Diff([]string{"s", "n", "o", "bad", "dup", "nul", "s2"}, o.Names()); diff != "" {
		t.Error(diff)
	}
	if !o.HasDuplicates() {
		t.Error("dup stands twice")
	}
	o.Set("dup", jsontext.Value(`3`))
	if o.HasDuplicates() {
		t.Error("Set leaves one")
	}
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, `"k%d":1,`, i)
	}
	if o, err := ParseObject([]byte("{" + many.String() + `"x":1}`)); err != nil || o.HasDuplicates() || len(o.Names()) != 101 {
		t.Error("a hundred different names")
	}
	if o, err := ParseObject([]byte("{" + many.String() + `"k42":1}`)); err != nil || !o.HasDuplicates() {
		t.Error("k42 stands twice")
	}
}

func TestCloneIsIndependent(t *testing.T) {
	for _, in := range []string{`{"a":1,"b":2}`, "{" + strings.Repeat(`"x":0,`, 40) + `"a":1,"b":2}`} {
		o, err := ParseObject([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		o.Set("a", jsontext.Value(`3`))
		before := string(o.Bytes())
		c := o.Clone()
		c.Set("a", jsontext.Value(`4`))
		c.Delete("b")
		c.Set("c", jsontext.Value(`5`))
		if got := string(o.Bytes()); got != before {
			t.Errorf("the original became %s", got)
		}
		if v, _ := c.Get("a"); string(v) != "4" {
			t.Errorf("the copy says %s", v)
		}
		o.Set("a", jsontext.Value(`6`))
		if v, _ := c.Get("a"); string(v) != "4" {
			t.Errorf("the copy changed to %s", v)
		}
	}
}

// value draws a random JSON value's text, with random white space.
func value(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kinds := 6
		if depth == 0 {
			kinds = 4
		}
		ws := rapid.SampledFrom([]string{"", "", " ", "\n\t"})
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return rapid.SampledFrom([]string{"null", "true", "false", "0", "-1.5e3", "9223372036854775807", "1615889440.123456"}).Draw(t, "literal")
		case 1, 2:
			return quoted().Draw(t, "string")
		case 3:
			return rapid.SampledFrom([]string{"{}", "[]", `""`, `"\""`, `"\\"`, `"\\\""`}).Draw(t, "small")
		case 4:
			parts := rapid.SliceOfN(value(depth-1), 0, 4).Draw(t, "elements")
			return "[" + ws.Draw(t, "ws") + strings.Join(parts, ws.Draw(t, "ws")+",") + "]"
		default:
			names := rapid.SliceOfN(quoted(), 0, 4).Draw(t, "names")
			var b strings.Builder
			for i, n := range names {
				if i > 0 {
					b.WriteString(",")
				}
				b.WriteString(n + ":" + value(depth-1).Draw(t, "value"))
			}
			return "{" + b.String() + ws.Draw(t, "ws") + "}"
		}
	})
}

// quoted draws a JSON string, also with needless escapes.
func quoted() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		b.WriteByte('"')
		for _, r := range rapid.StringN(0, 6, -1).Draw(t, "text") {
			switch {
			case r < 0x10000 && rapid.IntRange(0, 4).Draw(t, "escape") == 0:
				fmt.Fprintf(&b, `\u%04x`, r)
			case r < ' ' || r == '"' || r == '\\' || !utf8.ValidRune(r):
				fmt.Fprintf(&b, `\u%04x`, r)
			default:
				b.WriteRune(r)
			}
		}
		b.WriteByte('"')
		return b.String()
	})
}

// TestObjectAgainstAModel: after random edits an Object says what a Go map
// says after the same edits, and every member that was not touched still
// stands there byte for byte, in the same order.
func TestObjectAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ws := rapid.SampledFrom([]string{"", "", " ", "\n  ", "\r\n"})
		names := rapid.SliceOfN(rapid.OneOf(quoted(), rapid.SampledFrom([]string{`"a"`, `"b"`, `"\u0061"`, `"release"`})), 0, 8).Draw(t, "names")
		type raw struct{ name, text string }
		var parts []raw
		var b strings.Builder
		b.WriteString(ws.Draw(t, "ws") + "{" + ws.Draw(t, "ws"))
		for i, n := range names {
			if i > 0 {
				b.WriteString(ws.Draw(t, "ws") + "," + ws.Draw(t, "ws"))
			}
			text := n + ws.Draw(t, "ws") + ":" + ws.Draw(t, "ws") + value(2).Draw(t, "value")
			plain, _ := UnquoteString(jsontext.Value(n))
			parts = append(parts, raw{plain, text})
			b.WriteString(text)
		}
		b.WriteString(ws.Draw(t, "ws") + "}" + ws.Draw(t, "ws"))
		text := b.String()
		o, err := ParseObject([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if string(o.Bytes()) != text {
			t.Fatalf("unedited text changed")
		}
		model := map[string]json.RawMessage{}
		if err := json.Unmarshal([]byte(text), &model); err != nil {
			t.Fatal(err)
		}
		touched := map[string]bool{}
		for range rapid.IntRange(0, 6).Draw(t, "edits") {
			name := rapid.OneOf(rapid.SampledFrom([]string{"a", "b", "release", "new", "x\n\"y"}), rapid.SampledFrom(append(slices.Collect(maps.Keys(model)), "a"))).Draw(t, "name")
			touched[name] = true
			if rapid.Bool().Draw(t, "delete") {
				o.Delete(name)
				delete(model, name)
				continue
			}
			v := value(1).Draw(t, "new value")
			o.Set(name, jsontext.Value(v))
			model[name] = json.RawMessage(v)
		}
		got := map[string]json.RawMessage{}
		if err := json.Unmarshal(o.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v", o.Bytes(), err)
		}
		if diff := cmp.Diff(model, got); diff != "" {
			t.Fatalf("%s\n→ %s\n%s", text, o.Bytes(), diff)
		}
		out := string(o.Bytes())
		for _, p := range parts {
			if touched[p.name] {
				continue
			}
			i := strings.Index(out, p.text)
			if i < 0 {
				t.Fatalf("%q is gone from %s", p.text, out)
			}
			out = out[i+len(p.text):]
		}
		for name, v := range model {
			if have, ok := o.Get(name); !ok || string(have) != string(v) {
				t.Fatalf("Get(%q) is %s, want %s", name, have, v)
			}
		}
		if len(o.Names()) != len(model) {
			t.Fatalf("names %q, model %v", o.Names(), model)
		}
	})
}

func FuzzObject(f *testing.F) {
	for _, b := range envelopeSeeds(f) {
		for line := range bytes.SplitSeq(b, []byte("\n")) {
			f.Add(line, "release", "b")
		}
	}
	f.Add([]byte(` {"a\u0062":[{},"\\\""], "a":1 , "a":{"b":[1]}} `), "a", "ab")
	f.Fuzz(func(t *testing.T, raw []byte, name, other string) {
		o, err := ParseObject(raw)
		for range Members(raw) { // must end, whatever the text
		}
		for range Elements(raw) {
		}
		Lookup(raw, name, other)
		TooDeep(raw, 100)
		view, ok := ViewObject(raw) // must end, whatever the text
		if err != nil {
			return
		}
		if !ok || !cmp.Equal(o.members, view.members, cmp.AllowUnexported(member{})) {
			t.Fatalf("%s: parsed %v, viewed %v %v", raw, o.members, ok, view)
		}
		model := map[string]json.RawMessage{}
		if err := json.Unmarshal(raw, &model); err != nil {
			return // encoding/json is stricter about depth
		}
		if utf8.Valid(raw) && !bytes.Contains(raw, []byte(`\u`)) {
			for k, want := range model {
				if got, ok := o.Get(k); !ok || !bytes.Equal(bytes.TrimSpace(got), bytes.TrimSpace(want)) {
					t.Fatalf("Get(%q) = %s, want %s", k, got, want)
				}
			}
		}
		if !utf8.ValidString(name) || !utf8.ValidString(other) {
			return
		}
		o.Set(name, jsontext.Value(`{"new":1}`))
		o.Delete(other)
		again, err := ParseObject(o.Bytes())
		if err != nil {
			t.Fatalf("%s after edits: %v", o.Bytes(), err)
		}
		if v, ok := again.Get(name); ok == (name == other) || ok && string(v) != `{"new":1}` {
			t.Fatalf("%q is %s in %s", name, v, o.Bytes())
		}
		if _, ok := again.Get(other); ok && name != other {
			t.Fatalf("%q is still in %s", other, o.Bytes())
		}
	})
}
