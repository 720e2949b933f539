package ingest_test

import (
	"strings"
	"testing"

	"breakwater/ingest"
)

func TestJSONDepth(t *testing.T) {
	for text, want := range map[string]int{
		``: 0, `1`: 0, `"[[["`: 0, `{}`: 1, `[[],[[]]]`: 3, `{"a":"]}","b":[1]}`: 2,
		`{"a\"[":"\\","b":[[]]}`: 3, `"\\\"[`: 0, `{"a":"`: 1, `[`: 1, `]]][`: 0, `"\`: 0, `["\\\\",[]]`: 2,
		strings.Repeat("[", 500): 500,
	} {
		if got := ingest.JSONDepth([]byte(text)); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}
