package schemas

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// odd are texts at the edges of the grammar.
var odd = []string{
	"", " ", "{", "}", "[", "]", "{}", "[]", " {} ", "\t[\r\n]\n", "{}{}", "{},", "\x00", "{}\x00", "\ufeff{}",
	"null", "nul", "nulls", "true", "tru", "false", "False", "NaN", "Infinity",
	"0", "-0", "-", "+1", "01", "-01", "1.", ".1", "1.0", "1e", "1e5", "1E+05", "1e-", "1.5e+300", "0x1", "1_0", "12345678901234567890",
	`""`, `"`, `"a`, `"\"`, `"\""`, `"\x"`, `"\u00e9"`, `"\u00g9"`, `"\u00"`, `"\ud83d"`, `"\ude00\ud83d"`, "\"\x1f\"", "\"\n\"", "\"\x7f\"", "\"\xff\xfe\"",
	`"12345678"`, `"1234567\"9"`, "\"1234567\x01\"", `"1234567`, `"12345678\u0041901234567"`, "\"abcdefg\xe2\x82\"",
	`{"a":1}`, `{"a":1,}`, `{,"a":1}`, `{"a" : 1 , "a":2}`, `{"a"}`, `{"a":}`, `{a:1}`, `{1:1}`, `{"a":1 "b":2}`, `{"a":1;}`, `{"a":[}]}`,
	`[1,2]`, `[1,]`, `[,1]`, `[1 2]`, `[1,[2,[3]]]`, `[[]`, `[]]`, `["a":1]`, `{"a":{"b":[{"c":null}]}}`, "/**/{}", "'a'",
	strings.Repeat("[", MaxNesting) + strings.Repeat("]", MaxNesting),
	strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50),
}

// agree holds Valid, and with it ParseObject, to what jsontext says.
func agree(t *testing.T, raw []byte) {
	t.Helper()
	want := jsontext.Value(raw).IsValid(jsonLenient...)
	if want && TooDeep(raw, MaxNesting) { // jsontext goes ten times deeper
		want = false
	}
	if got := Valid(raw); got != want {
		t.Fatalf("Valid(%q) = %v, jsontext says %v", raw, got, want)
	}
	o, err := ParseObject(raw)
	if object := want && jsontext.Value(raw).Kind() == '{'; (err == nil) != object {
		t.Fatalf("ParseObject(%q): %v, want an object: %v", raw, err, object)
	}
	if err != nil {
		return
	}
	if n := o.Nesting(); TooDeep(raw, n) || !TooDeep(raw, n-1) {
		t.Fatalf("%q: nesting %d is not the one that TooDeep sees", raw, n)
	}
	for _, name := range o.Names() {
		if v, _ := o.Get(name); !v.IsValid(jsonLenient...) {
			t.Fatalf("ParseObject(%q): member %q is %q", raw, name, v)
		}
	}
}

func TestValid(t *testing.T) {
	for _, s := range odd {
		agree(t, []byte(s))
		agree(t, []byte(`{"padding":"0123456789","x":`+s+`,"y":[`+s+`]}`))
		for cut := range min(len(s), 100) {
			agree(t, []byte(s[:cut]))
		}
	}
}

func TestNesting(t *testing.T) {
	deep := func(n int) []byte { return []byte(strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n)) }
	if _, err := ParseObject(deep(MaxNesting)); err != nil {
		t.Error(err)
	}
	if _, err := ParseObject(deep(MaxNesting + 1)); !errors.Is(err, ErrNesting) {
		t.Errorf("one level more: %v", err)
	}
	if Valid(bytes.Repeat([]byte("["), 10<<20)) {
		t.Error("ten million open brackets are valid")
	}
}

func FuzzValid(f *testing.F) {
	for _, s := range odd {
		f.Add([]byte(s))
	}
	_, event := fourKB(f)
	f.Add(event)
	f.Fuzz(func(t *testing.T, raw []byte) { agree(t, raw) })
}

// BenchmarkValid checks the captured events, beside jsontext.
func BenchmarkValid(b *testing.B) {
	_, event := fourKB(b)
	for name, check := range map[string]func() bool{
		"valid":    func() bool { return Valid(event) },
		"jsontext": func() bool { return jsontext.Value(event).IsValid(jsonLenient...) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(event)))
			for b.Loop() {
				if !check() {
					b.Fatal("not valid")
				}
			}
		})
	}
}
