package scrub

import (
	"testing"

	"breakwater/schemas"
)

func quote(s string) string { return string(schemas.QuoteString(s)) }

func unquote(tb testing.TB, b []byte) string {
	tb.Helper()
	s, ok := schemas.UnquoteString(b)
	if !ok {
		tb.Fatalf("%s is no string", b)
	}
	return s
}
