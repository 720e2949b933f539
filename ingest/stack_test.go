package ingest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func functions(s Stack) []string {
	var names []string
	for _, f := range s.Frames {
		names = append(names, f.Function)
	}
	return names
}

func TestParseStack(t *testing.T) {
	tests := []struct {
		name, text, header string
		typ, value, engine string
		functions          []string // oldest first
	}{
		{"V8", "TypeError: x is not a function\n    at b (https://a/b.js:1:2)\n    at a (https://a/b.js:3:4)", "", "TypeError", "x is not a function", "v8", []string{"a", "b"}},
		{"V8, carriage returns", "TypeError: x\r\n    at b (https://a/b.js:1:2)\r\n    at a (https://a/b.js:3:4)\r\n", "", "TypeError", "x", "v8", []string{"a", "b"}},
		{"message over lines", "Error: first\nsecond: line\n\nthird\n    at a (https://a/b.js:3:4)", "", "Error", "first\nsecond: line\nthird", "v8", []string{"a"}},
		{"message with lines like frames", "Error: it said:\n    at liar (https://a/b.js:1:2)\nend\n    at a (https://a/b.js:3:4)", "it said:\n    at liar (https://a/b.js:1:2)\nend", "Error", "it said:\n    at liar (https://a/b.js:1:2)\nend", "v8", []string{"a"}},
		{"Gecko has no header", "b@https://a/b.js:1:2\na@https://a/b.js:3:4\n", "boom", "", "", "jsc", []string{"a", "b"}},
		{"uncaught", "Uncaught TypeError: x\n    at a (https://a/b.js:3:4)", "", "TypeError", "x", "v8", []string{"a"}},
		{"uncaught in promise", "Uncaught (in promise) DOMException: x\n    at a (https://a/b.js:3:4)", "", "DOMException", "x", "v8", []string{"a"}},
		{"type alone", "RangeError\n    at a (https://a/b.js:3:4)", "", "RangeError", "", "v8", []string{"a"}},
		{"no class", "something broke\n    at a (https://a/b.js:3:4)", "", "", "something broke", "v8", []string{"a"}},
		{"text with a colon", "it broke: badly\n    at a (https://a/b.js:3:4)", "", "", "it broke: badly", "v8", []string{"a"}},
		{"Hermes", "RangeError: x\n    at n (address at index.android.bundle:1:2837)\n    at map (native)\n    ... skipping 3 frames\n    at g (address at index.android.bundle:1:2)", "", "RangeError", "x", "hermes", []string{"g", "map", "n"}},
		{"native first is Hermes all the same", "TypeError: x\n    at apply (native)\n    at n (address at index.android.bundle:1:2837)", "", "TypeError", "x", "hermes", []string{"n", "apply"}},
		{"component stack", "Error: x\n\nThis error is located at:\n    at Button (https://a/b.js:1:2)\n    in View (at App.js:3)\n\n    at a (https://a/b.js:3:4)", "", "Error", "x", "v8", []string{"a"}},
		{"cause", "Error: x\n    at a (https://a/b.js:3:4)\n  [cause]: Error: y\n      at z (https://a/b.js:5:6)", "", "Error", "x", "v8", []string{"a"}},
		{"Java", "java.lang.IllegalStateException: no cart\n\tat com.example.Cart.pay(Cart.java:42)\n\tat com.example.Main.main(Main.java:7)\nCaused by: java.io.IOException\n\tat x.y.z(Q.java:1)", "", "java.lang.IllegalStateException", "no cart", "java", []string{"main", "pay"}},
		{"nothing", "", "", "", "", "", nil},
		{"prose", "it just broke", "", "", "it just broke", "", nil},
		{"header alone", "Error: x", "x", "Error", "x", "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := ParseStack(tt.text, tt.header, false)
			if s.Type != tt.typ || s.Value != tt.value || s.Engine != tt.engine {
				t.Errorf("got %q %q %q, want %q %q %q", s.Type, s.Value, s.Engine, tt.typ, tt.value, tt.engine)
			}
			if diff := cmp.Diff(tt.functions, functions(s)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRealEngines: stacks that Hermes and V8 wrote give the frames that the
// captured cases list.
func TestRealEngines(t *testing.T) {
	for _, name := range []string{"hermes-tiny", "metro-plain"} {
		dir := filepath.Join("../schemas/testdata/fixtures/sourcemaps", name)
		var stack struct{ Name, Message, Stack string }
		var expected struct {
			Frames []struct {
				Minified struct {
					Function, Filename string
					Lineno, Colno      int
				}
			}
		}
		for file, into := range map[string]any{"stack.json": &stack, "expected.json": &expected} {
			raw, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, into); err != nil {
				t.Fatal(err)
			}
		}
		for _, header := range []string{"", stack.Message} {
			s := ParseStack(stack.Stack, header, true)
			if s.Type != stack.Name || s.Value != stack.Message {
				t.Errorf("%s: %q %q", name, s.Type, s.Value)
			}
			slices.Reverse(s.Frames)
			if len(s.Frames) != len(expected.Frames) {
				t.Fatalf("%s: %d frames, want %d", name, len(s.Frames), len(expected.Frames))
			}
			for i, want := range expected.Frames {
				f, m := s.Frames[i], want.Minified
				file := "app:///" + m.Filename
				if m.Filename == "native" {
					file = "native"
				}
				if f.Function != m.Function || f.Filename != file || f.Lineno != m.Lineno || f.Colno != m.Colno || f.InApp == (file == "native") {
					t.Errorf("%s: frame %d is %+v, want %+v", name, i, f, m)
				}
			}
		}
	}
}

func TestParseStackIsBounded(t *testing.T) {
	s := ParseStack("Error: x\n"+strings.Repeat("    at new (https://a/b.js:1:2)\n", 100)+strings.Repeat("    at old (https://a/b.js:1:2)\n", 100_000), "", false)
	if len(s.Frames) != MaxFrames || s.Frames[MaxFrames-1].Function != "new" || s.Frames[0].Function != "old" {
		t.Errorf("%d frames", len(s.Frames))
	}
	if s := ParseStack("    at f (data:"+strings.Repeat("x", 10_000)+":1:2)", "", false); len(s.Frames) != 0 {
		t.Error("an endless line was read")
	}
}

// TestParseStackIsLinear reads 8 MiB of the worst texts known: with a step
// that is quadratic in the text this would not end.
func TestParseStackIsLinear(t *testing.T) {
	for _, unit := range []string{" (", "(eval at a ", ":1", "@", "\n", "prose\n", "at f (https://a/b.js:1:2)\n", strings.Repeat("x (", 1300) + "\n"} {
		text := "at " + strings.Repeat(unit, 8<<20/len(unit))
		if s := ParseStack(text, "no such header", false); len(s.Frames) > MaxFrames {
			t.Errorf("%d frames", len(s.Frames))
		}
		if s := ParseStack(text, text[:len(text)/2], true); len(s.Frames) > MaxFrames {
			t.Errorf("%d frames", len(s.Frames))
		}
	}
}

func FuzzStack(f *testing.F) {
	for _, seed := range []string{
		"TypeError: x\n    at async foo (https://a.example/b.js:1:2)\n    at eval (eval at foo (https://a/b.js:1:2), <anonymous>:1:1)",
		"Error\n    at n (address at index.android.bundle:1:2837)\n    at map (native)\n    at f (wasm://wasm/a:wasm-function[12]:0x1a3)",
		"foo/bar<@https://a/b.js:1:2\nasync*@https://a/b.js line 26 > eval:4:18\nglobal code@\n[native code]\nfoo@safari-extension:(//x/y.js:1:2)",
		"\tat com.example.Cart.pay(Cart.java:42)\nCaused by: x",
		"Error: a\nThis error is located at:\n  in X\n\n@:1:2",
	} {
		f.Add(seed, "x", true)
		f.Add(seed, "", false)
	}
	f.Fuzz(func(t *testing.T, text, header string, native bool) {
		s := ParseStack(text, header, native)
		if len(s.Frames) > MaxFrames || (s.Engine == "") != (len(s.Frames) == 0) {
			t.Fatalf("%d frames, engine %q", len(s.Frames), s.Engine)
		}
		for _, fr := range s.Frames {
			if fr.Function == "" || fr.Lineno < 0 || fr.Colno < 0 || len(fr.Filename) > maxLine+8 {
				t.Fatalf("%+v", fr)
			}
			if utf8.ValidString(text) && !utf8.ValidString(fr.Function+fr.Filename+fr.AbsPath+fr.Module) {
				t.Fatalf("cut a character: %+v", fr)
			}
		}
	})
}

func BenchmarkParseStack(b *testing.B) {
	text := "TypeError: Cannot read properties of undefined (reading 'unit')\n" + strings.Repeat("    at async Foo.bar (https://a.example/assets/common-C0kjCbJC.js:15:34932)\n", 20)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		ParseStack(text, "Cannot read properties of undefined (reading 'unit')", false)
	}
}
