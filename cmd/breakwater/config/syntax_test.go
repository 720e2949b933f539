package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestSyntaxProblems(t *testing.T) {
	tests := map[string]struct {
		text   string
		line   int
		reason string
	}{
		"tab":               {"server:\n\tlisten: x", 2, "indented with a tab"},
		"not UTF-8":         {"server:\n  listen: \xff", 2, "is not UTF-8"},
		"control character": {"server:\n  listen: \x00", 2, "control character"},
		"UTF-16":            {"s\x00e\x00", 1, "control character"},
		"open bracket":      {"server: {listen: x\n", 1, "is not valid YAML"},
		"open quote":        {"server: {listen: \"x}\n", 1, "is not valid YAML"},
		"bad indent":        {"server:\n  listen: x\n tls: {}\n", 3, "is not valid YAML"},
		"two documents":     {"server: {}\n---\nlogs: {}\n", 3, "more than one YAML document"},
		"a list":            {"- a\n- b\n", 1, "must hold keys, not a list"},
		"a word":            {"hello", 1, "must hold keys, not a single value"},
		"anchor twice":      {"server: &a {}\nlogs: &a {}\n", 2, "defined twice"},
		"key is a mapping":  {"? {a: b}\n: c\n", 2, "is not valid YAML"},
		"brackets":          {"server: " + strings.Repeat("[", 100_000), 1, "nested more than 32 levels"},
		"braces":            {strings.Repeat("{a: ", 50_000), 1, "nested more than 32 levels"},
		"dashes":            {strings.Repeat("- ", 100_000), 1, "nested more than 32 levels"},
		"question marks":    {strings.Repeat("? ", 100_000), 1, "nested more than 32 levels"},
		"indentation":       {stairs(200), 33, "nested more than 32 levels"},
		"many keys":         {strings.Repeat("a: b\n", 5000), 4001, "more than 4000 keys in a row"},
		"many keys below":   {"server:\n" + strings.Repeat("  a: b\n", 5000), 4002, "more than 4000 keys in a row"},
		"many words":        {"a: [" + strings.Repeat("x,", 500_000) + "]", 1, "more words and signs"},
		"too large":         {strings.Repeat("# comment\n", 1<<17), 1, "at most 1048576"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := problemsOf(t, tt.text, vars())[0]
			if p.Line != tt.line || !strings.Contains(p.Reason, tt.reason) || p.Fix == "" {
				t.Errorf("%+v\nwant line %d, reason with %q", p, tt.line, tt.reason)
			}
		})
	}
}

func stairs(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// Aliases of aliases (a billion laughs) cost a bounded number of steps,
// wherever they are put.
func TestAliasesCannotGrow(t *testing.T) {
	var lists, merges, self strings.Builder
	lists.WriteString("scrub:\n  fields: &a0 [x, x, x, x, x, x, x, x, x]\n")
	merges.WriteString("server: &a0 {listen: \":1\"}\n")
	for i := 1; i < 20; i++ {
		aliases := strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", ")
		fmt.Fprintf(&lists, "x%d: &a%d [%s]\n", i, i, aliases)
		fmt.Fprintf(&merges, "x%d: &a%d {<<: [%s]}\n", i, i, aliases)
	}
	lists.WriteString("projects: *a19\n")
	merges.WriteString("limits: *a19\n")
	self.WriteString("projects: &p\n  - &q {<<: [*q, *q, *q], upstreams: *p}\n")
	for name, text := range map[string]string{"lists": lists.String(), "merges": merges.String(), "self": self.String()} {
		t.Run(name, func(t *testing.T) {
			done := make(chan Problems, 1)
			go func() {
				_, err := Parse("test.yml", []byte(text), vars())
				done <- AsProblems(err)
			}()
			select {
			case ps := <-done:
				if len(ps) == 0 {
					t.Error("accepted")
				}
			case <-time.After(time.Minute):
				t.Fatal("still busy after a minute")
			}
		})
	}
}

func TestExpand(t *testing.T) {
	env := vars("A", "1", "EMPTY", "", "NESTED", "${A}")
	tests := []struct{ in, out, err string }{
		{"plain", "plain", ""},
		{"${A}", "1", ""},
		{"x${A}y${A}z", "x1y1z", ""},
		{"${B:-two}", "two", ""},
		{"${A:-two}", "1", ""},
		{"${EMPTY:-two}", "two", ""},
		{"${EMPTY}", "", ""},
		{"${B:-}", "", ""},
		{"${B:-a:-b}", "a:-b", ""},
		{"${NESTED}", "${A}", ""}, // values are not expanded again
		{"$A $ {A} a$", "$A $ {A} a$", ""},
		{"$${A}", "${A}", ""},
		{"a$${b}${A}", "a${b}1", ""},
		{"${B}", "", "environment variable B is not set"},
		{"${}", "", "without the name"},
		{"${1A}", "", "without the name"},
		{"${A B}", "", "without the name"},
		{"${A", "", "without }"},
		{strings.Repeat("${LONG}", 100), "", "longer than"},
	}
	long := strings.Repeat("x", 1000)
	for _, tt := range tests {
		t.Run(tt.in[:min(len(tt.in), 20)], func(t *testing.T) {
			out, _, err := expand(tt.in, func(name string) (string, bool) {
				if name == "LONG" {
					return long, true
				}
				return env(name)
			})
			if tt.err == "" && (err != nil || out != tt.out) {
				t.Errorf("%q, %v; want %q", out, err, tt.out)
			}
			if tt.err != "" && (err == nil || !strings.Contains(err.reason, tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// FuzzParse: no input panics, hangs or is accepted without being whole; what
// is accepted can be shown and read again.
func FuzzParse(f *testing.F) {
	full, err := os.ReadFile("testdata/full.yml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	for _, s := range []string{
		"", "server: {listen: \":1\"}", "a: &a [*a]", "? [a]\n: b", "<<: {a: b}", "server: !!str x", "- - - -", "{[", "a: |\n  b\n c", "%YAML 1.2\n---\n",
		"projects: [{id: 1, name: a, keys: [{public: " + keyA + "}], upstreams: [{dsn: \"${X}\"}]}]", "a: \"\\x00\"", "? ? ? a", "&a &b c", "*a : b", "{<<: *a}",
	} {
		f.Add([]byte(s))
	}
	env := vars("X", "http://k@h/1")
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.yml", data, env)
		if err != nil {
			for _, p := range AsProblems(err) {
				if p.Reason == "" || p.File == "" {
					t.Errorf("empty problem %+v", p)
				}
			}
			if AsProblems(err) == nil {
				t.Errorf("error is no list of problems: %v", err)
			}
			return
		}
		if len(c.Projects) == 0 || c.Server.Listen == "" || len(c.Hash()) != 12 {
			t.Errorf("accepted, but not whole: %+v", c)
		}
		c.Warnings()
	})
}
