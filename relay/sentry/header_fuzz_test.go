package sentry

import (
	"bytes"
	"testing"
	"time"

	"breakwater/schemas"
)

// FuzzHeader holds the promise of the rewriting: what goes out parses, has no
// dsn, and differs from what came in only in the three fields.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"dsn":"https://k@h/1"}`, `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","sent_at":"2026-01-02T03:04:05.678Z","sdk":{"name":"sentry.javascript.react","version":"10.1.0"},"trace":{"trace_id":"a","public_key":"b","sampled":"true"}}`,
		`{"sent_at":"2026-01-02T03:04:05+14:00","x":18446744073709551615}`, `{"sent_at":null,"trace":[]}`, `{"\u0064sn":1,"a":{"dsn":2}}`,
		`{"sent_at":"9999-12-31T23:59:59Z"}`, `{"trace":{"public_key":1,"public_key":2}}`, `{ "a" : 1.0 , "dsn" : {} , "b" : "\ud800" }`,
	} {
		f.Add([]byte(s), int64(time.Hour))
	}
	d, err := New(Config{DSN: "https://0123456789abcdef0123456789abcdef@h.example/1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte, held int64) {
		o, err := schemas.ParseObject(in)
		if err != nil || o.HasDuplicates() || bytes.ContainsAny(in, "\n\r") {
			return // the door lets none of these in
		}
		received := time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)
		out := d.header(schemas.EnvelopeHeader{Object: o}, received, received.Add(time.Duration(held)))
		if !bytes.Equal(o.Bytes(), in) {
			t.Fatalf("the caller's header was changed to %s", o.Bytes())
		}
		got, err := schemas.ParseObject(out.Bytes())
		if err != nil {
			t.Fatalf("%s became %s: %v", in, out.Bytes(), err)
		}
		if bytes.ContainsAny(out.Bytes(), "\n\r") {
			t.Fatalf("%s became more than one line", in)
		}
		if _, ok := got.Get("dsn"); ok {
			t.Fatalf("%s kept its dsn: %s", in, out.Bytes())
		}
		for _, name := range o.Names() {
			want, _ := o.Get(name)
			have, ok := got.Get(name)
			switch name {
			case "dsn", "trace", "sent_at":
				if ok != (name != "dsn") {
					t.Fatalf("%s: %s is there: %v", in, name, ok)
				}
				continue
			}
			if !bytes.Equal(want, have) {
				t.Fatalf("%s: %s became %s", in, name, have)
			}
		}
	})
}
