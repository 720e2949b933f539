package console

import (
	"strings"
	"testing"
)

// Every kind of item that people look for in the stream says what it is about.
func TestTitles(t *testing.T) {
	for _, tt := range []struct{ typ, payload, want string }{
		{"event", `{"exception":{"values":[{"type":"TypeError","value":"x is null"}]}}`, "TypeError: x is null"},
		{"event", `{"message":"out of memory"}`, "out of memory"},
		{"transaction", `{"transaction":"/cart"}`, "/cart"},
		{"log", `{"items":[{"body":"unload is deprecated","level":"warn"},{"body":"second"}]}`, "unload is deprecated"},
		{"log", `{"items":[]}`, ""},
		{"nel", `{"type":"network-error","url":"https://shop.example/app.js","body":{"type":"tcp.timed_out","phase":"connection"}}`, "tcp.timed_out https://shop.example/app.js"},
		{"raw_security", `{"csp-report":{"violated-directive":"img-src 'self'","blocked-uri":"https://evil.example"}}`, "img-src 'self' https://evil.example"},
		{"raw_security", `{"type":"csp-violation","url":"https://shop.example/","body":{"effectiveDirective":"script-src-elem","blockedURL":"inline"}}`, "script-src-elem inline"},
		{"raw_security", `{"expect-ct-report":{}}`, ""},
		{"check_in", `{"monitor_slug":"backup","status":"in_progress"}`, "backup in_progress"},
		{"user_report", `{"comments":"it\nbroke"}`, "it broke"},
		{"log", `{"items":[{"body":"` + strings.Repeat("x", 900) + `"}]}`, strings.Repeat("x", 200) + "…"},
		{"nel", `not JSON`, ""},
		{"session", `{"sid":"a"}`, ""},
	} {
		if got := Title(tt.typ, []byte(tt.payload)); got != tt.want {
			t.Errorf("%s %.60s: %q, want %q", tt.typ, tt.payload, got, tt.want)
		}
	}
}
