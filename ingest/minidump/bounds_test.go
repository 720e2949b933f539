package minidump

import (
	"strings"
	"testing"
)

// In memory an empty value takes a hundred times its text, so a form has a
// bound on values: what is beyond stays a file, or a text in extra.
func TestManyValues(t *testing.T) {
	for _, tt := range []struct{ name, value, kept string }{
		{"__sentry-breadcrumb1", "\xdd\x00\x02\x00\x00" + strings.Repeat("\x80", 2<<16), "event.breadcrumbs"},
		{"__sentry-event", "\x81\xa1a\xdd\x00\x02\x00\x00" + strings.Repeat("\x80", 2<<16), "event.payload"},
		{"sentry", `{"message":"` + strings.Repeat("a,b", 50_000) + `","a":[` + strings.Repeat("{},", 60_000) + `{}]}`, ""},
		{"sentry__1", `{"a":[` + strings.Repeat("[],", 60_000) + `[]]}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ct, body := form(t, piece{name: tt.name, value: tt.value}, piece{name: "upload_file_minidump", filename: "a.dmp", value: "MDMP1"})
			b, err := decode(t, ct, body)
			if err != nil {
				t.Fatal(err)
			}
			if tt.kept != "" {
				if it := b.Items[0]; it.Header.AttachmentType() != tt.kept || content(t, it) != tt.value {
					t.Errorf("%s", it.Header.Bytes())
				}
				return
			}
			if v, ok := b.Items[0].Event().Path("extra", tt.name); !ok || len(v) < len(tt.value) {
				t.Errorf("%t, %d bytes", ok, len(v))
			}
		})
	}
}

// What separates words separates no values.
func TestManyCommas(t *testing.T) {
	text := strings.Repeat(`,{[\"`, 2*maxValues)
	ct, body := form(t, piece{name: "sentry", value: `{"message":"` + text + `"}`}, piece{name: "upload_file_minidump", filename: "a.dmp", value: "MDMP1"})
	b, err := decode(t, ct, body)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Items[0].Event().Message(); got != strings.ReplaceAll(text, `\"`, `"`) {
		t.Errorf("%d bytes", len(got))
	}
}
