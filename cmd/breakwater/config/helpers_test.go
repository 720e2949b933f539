package config

import (
	"strings"
	"testing"
)

const (
	keyA = "0123456789abcdef0123456789abcdef"
	keyB = "fedcba9876543210fedcba9876543210"
	// dsnX holds a word that no message may repeat.
	dsnX = "https://s3cr3tk3y:s3cr3tpw@sentry.example.com/7"
)

// vars is an environment of name, value pairs.
func vars(pairs ...string) Lookup {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) {
		v, ok := m[name]
		return v, ok
	}
}

// project is a file with one project and more lines of it.
func project(more ...string) string {
	return "projects:\n  - id: 1\n    name: shop\n    keys: [{public: " + keyA + "}]\n    " + strings.Join(more, "\n    ") + "\n"
}

func mustParse(t *testing.T, text string, env Lookup) *Config {
	t.Helper()
	c, err := Parse("test.yml", []byte(text), env)
	if err != nil {
		t.Fatalf("%v\nin:\n%s", err, text)
	}
	return c
}

func problemsOf(t *testing.T, text string, env Lookup) Problems {
	t.Helper()
	c, err := Parse("test.yml", []byte(text), env)
	if err == nil {
		t.Fatalf("accepted:\n%s", text)
	}
	if c != nil {
		t.Error("a refused configuration came back")
	}
	ps := AsProblems(err)
	if len(ps) == 0 {
		t.Fatalf("no problems in %T: %v", err, err)
	}
	return ps
}
