package relay_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// documents are those of an envelope's text, received at a fixed time.
func documents(t *testing.T, text string, full bool) ([]relay.Document, []schemas.Final) {
	t.Helper()
	rec := relaytest.MustRecord(text)
	rec.Meta.ReceivedAt = time.Date(2026, 1, 2, 3, 4, 6, 1e6, time.UTC)
	rec.Meta.Fingerprint = "abcd"
	docs, finals, err := relay.Documents(&rec.Meta, &rec.Envelope, full)
	if err != nil {
		t.Fatal(err)
	}
	return docs, finals
}

func TestDocumentOfAnError(t *testing.T) {
	docs, finals := documents(t, `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}
{"type":"event"}
{"timestamp":1767323045.123,"level":"fatal","release":"shop@1.4.2","dist":"7","environment":"production","platform":"javascript","logger":"app","transaction":"/cart","user":{"id":42},"tags":{"browser":"Firefox 143","a":null},"request":{"url":"https://shop.example/cart"},"contexts":{"trace":{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331"}},"sdk":{"name":"sentry.javascript.react","version":"10.1.0"},"exception":{"values":[{"type":"Inner","value":"cause"},{"type":"TypeError","value":"x is <undefined>","mechanism":{"type":"onerror","handled":false},"stacktrace":{"frames":[{"function":"main","filename":"https://shop.example/app.js","lineno":1,"in_app":true},{"function":"pay","filename":"https://shop.example/app.js","lineno":10,"in_app":true},{"function":"lib","filename":"lib.js","in_app":false}]}}]}}
{"type":"attachment","filename":"log.txt"}
hello
{"type":"session"}
{}`, false)
	const want = `{"timestamp":"2026-01-02T03:04:05.123Z","received_at":"2026-01-02T03:04:06.001Z","project":"shop","kind":"error","level":"fatal","event_id":"9ec79c33ec9942ab8353589fcb2e04dc","release":"shop@1.4.2","dist":"7","environment":"production","platform":"javascript","logger":"app","type":"TypeError","value":"x is <undefined>","culprit":"pay (app.js:10)","handled":false,"transaction":"/cart","url":"https://shop.example/cart","user_id":"42","trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","sdk":"sentry.javascript.react/10.1.0","group":"abcd","tags":["browser:Firefox 143"]}`
	if len(docs) != 1 || string(docs[0].Line()) != want || docs[0].ID != "1-9ec79c33ec9942ab8353589fcb2e04dc" {
		t.Errorf("%d documents, id %s\n%s\nwant\n%s", len(docs), docs[0].ID, docs[0].Line(), want)
	}
	no := schemas.Final{Outcome: schemas.Filtered, Reason: relay.NoDocument}
	if fmt.Sprint(finals) != fmt.Sprint([]schemas.Final{{Outcome: schemas.Delivered}, no, no}) {
		t.Errorf("%v", finals)
	}
}

func TestDocumentKinds(t *testing.T) {
	for name, tc := range map[string]struct {
		text, kind, level, has string
		n                      int
	}{
		"message":      {"{}\n{\"type\":\"event\"}\n{\"message\":\"hi\",\"level\":\"info\"}", "message", "info", `"message":"hi"`, 1},
		"tag pairs":    {"{}\n{\"type\":\"event\"}\n{\"message\":\"hi\",\"tags\":[[\"a\",\"b\"],[\"c\"]]}", "message", "error", `"tags":["a:b"]`, 1},
		"not JSON":     {"{}\n{\"type\":\"event\"}\nnonsense", "error", "error", `"project":"shop"`, 1},
		"feedback":     {"{}\n{\"type\":\"feedback\"}\n{\"contexts\":{\"feedback\":{\"message\":\"bad\",\"url\":\"https://x/\"}}}", "feedback", "info", `"message":"bad"`, 1},
		"user report":  {"{}\n{\"type\":\"user_report\"}\n{\"event_id\":\"abc\",\"comments\":\"bad\",\"email\":\"a@b.c\"}", "feedback", "info", `"message":"bad"`, 1},
		"csp":          {"{}\n{\"type\":\"raw_security\"}\n{\"csp-report\":{\"document-uri\":\"https://x/\",\"effective-directive\":\"img-src\",\"blocked-uri\":\"https://evil/\"}}", "security", "info", `"value":"img-src blocked https://evil/"`, 1},
		"nel":          {"{}\n{\"type\":\"nel\"}\n{\"type\":\"network-error\",\"url\":\"https://x/\",\"body\":{\"type\":\"dns.failed\"}}", "security", "info", `"value":"dns.failed"`, 1},
		"minidump":     {"{}\n{\"type\":\"attachment\",\"attachment_type\":\"event.minidump\",\"filename\":\"a.dmp\"}\nMDMP", "crash", "fatal", `"value":"a.dmp, 4 bytes"`, 1},
		"two logs":     {"{}\n{\"type\":\"log\"}\n{\"items\":[{\"level\":\"warn\",\"body\":\"one\",\"attributes\":{\"sentry.release\":{\"value\":\"r\"},\"cart\":{\"value\":3}}},{\"level\":\"info\",\"body\":\"two\"}]}", "log", "warning", `"release":"r"`, 2},
		"one log":      {"{}\n{\"type\":\"otel_log\"}\n{\"severity_text\":\"ERROR\",\"body\":{\"stringValue\":\"one\"}}", "log", "error", `"message":"one"`, 1},
		"session":      {"{}\n{\"type\":\"session\"}\n{}", "", "", "", 0},
		"replay":       {"{}\n{\"type\":\"replay_event\"}\n{}\n{\"type\":\"replay_recording\"}\nx", "", "", "", 0},
		"transaction":  {"{}\n{\"type\":\"transaction\"}\n{}", "", "", "", 0},
		"unknown type": {"{}\n{\"type\":\"something\"}\n{}", "", "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			docs, finals := documents(t, tc.text, true)
			if len(docs) != tc.n {
				t.Fatalf("%d documents, want %d", len(docs), tc.n)
			}
			if tc.n == 0 {
				for _, f := range finals {
					if f.Outcome != schemas.Filtered {
						t.Errorf("%v", finals)
					}
				}
				return
			}
			if d := docs[0]; d.Kind != tc.kind || d.Level != tc.level || !strings.Contains(string(d.Line()), tc.has) {
				t.Errorf("%s", d.Line())
			}
			if strings.Contains(string(docs[0].Line()), "a@b.c") && docs[0].Event == "" {
				t.Error("an address is in the document")
			}
		})
	}
}

// The ids of a record's documents are the same at every attempt and differ
// from each other.
func TestDocumentIDs(t *testing.T) {
	text := "{}\n{\"type\":\"log\"}\n{\"items\":[{},{},{}]}\n{\"type\":\"user_report\"}\n{}"
	first, _ := documents(t, text, false)
	second, _ := documents(t, text, false)
	seen := map[string]bool{}
	for i := range first {
		if first[i].ID != second[i].ID || seen[first[i].ID] {
			t.Errorf("document %d: %s and %s", i, first[i].ID, second[i].ID)
		}
		seen[first[i].ID] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d ids", len(seen))
	}
}

// Whatever a payload is, each document is one line of valid JSON with fields
// that are known, and fits where it must.
func FuzzDocument(f *testing.F) {
	f.Add("event", []byte(`{"message":"hi","tags":{"a":"b"}}`), 2000)
	f.Add("log", []byte(`{"items":[{"body":"x","attributes":{"k":{"value":"v"}}}]}`), 1500)
	f.Add("raw_security", []byte(`{"csp-report":{"blocked-uri":"x"}}`), 1200)
	f.Add("event", []byte("{\"message\":\"\xff\xfe\\u0000"+strings.Repeat("é", 5000)+"\"}"), 1024)
	f.Fuzz(func(t *testing.T, typ string, payload []byte, limit int) {
		rec := relaytest.SampleRecord()
		rec.Envelope.Items = []schemas.Item{{Header: schemas.NewItemHeader(typ), Payload: schemas.Bytes(payload)}}
		docs, finals, err := relay.Documents(&rec.Meta, &rec.Envelope, true)
		if err != nil || len(finals) != 1 {
			t.Fatal(finals, err)
		}
		for i := range docs {
			for _, line := range [][]byte{docs[i].Line(), docs[i].LineWithin(limit)} {
				if !json.Valid(line) || !utf8.Valid(line) || strings.ContainsAny(string(line), "\n\r") {
					t.Fatalf("%q", line)
				}
			}
			if limit >= 1024 && len(docs[i].LineWithin(limit)) > limit {
				t.Fatalf("%d bytes within %d: %s", len(docs[i].LineWithin(limit)), limit, docs[i].LineWithin(limit))
			}
		}
	})
}
