package scrub

import (
	"strings"
	"testing"

	"breakwater/schemas"
)

// What clients write freely into a span's state and a library's version is
// looked at; versions are not taken for addresses.
func TestSpansState(t *testing.T) {
	const mail = "jane@example.com"
	in := `{"resourceSpans":[{"scopeSpans":[{"scope":{"name":"a","version":"1.2.3.4 ` + mail + `"},"spans":[{"traceState":"u=` + mail +
		`","links":[{"traceState":"u=` + mail + `"}]}]}]}]}`
	out, _, err := mustCompile(t, everything()).Item(schemas.OTLPSpans, []byte(in))
	if err != nil || strings.Contains(string(out), mail) || !strings.Contains(string(out), "1.2.3.4") {
		t.Errorf("%s %v", out, err)
	}
}
