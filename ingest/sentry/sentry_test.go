package sentry

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zlib"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"breakwater/ingest"
	"breakwater/schemas"
)

const (
	id     = "9ec79c33ec9942ab8353589fcb2e04dc"
	dashed = "9EC79C33-EC99-42AB-8353-589FCB2E04DC"
)

func request() *ingest.Request {
	return &ingest.Request{Project: &ingest.Project{ID: 1, Name: "web"}, Header: http.Header{}, Method: http.MethodPost}
}

func decode(t *testing.T, text string) *ingest.Batch {
	t.Helper()
	b, err := (&Envelope{}).Decode(context.Background(), request(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func payload(t *testing.T, it *ingest.Item) string {
	t.Helper()
	p, ok := it.InMemory()
	if !ok {
		t.Fatal("payload is not in memory")
	}
	return string(p)
}

// The id of header, payload and answer become one.
func TestEventID(t *testing.T) {
	for _, c := range []struct{ name, header, event, id, wantHeader, wantEvent string }{
		{"all agree", `{"event_id":"` + id + `"}`, `{"event_id":"` + id + `"}`, id, `{"event_id":"` + id + `"}`, `{"event_id":"` + id + `"}`},
		{"dashes in the payload stay", `{"event_id":"` + id + `"}`, `{"event_id":"` + dashed + `"}`, id, `{"event_id":"` + id + `"}`, `{"event_id":"` + dashed + `"}`},
		{"dashes in the header go", `{"event_id":"` + dashed + `"}`, `{"event_id":"` + id + `"}`, id, `{"event_id":"` + id + `"}`, `{"event_id":"` + id + `"}`},
		{"the header wins", `{"event_id":"` + id + `"}`, `{"event_id":"00112233445566778899aabbccddeeff", "a":1}`, id, `{"event_id":"` + id + `"}`, `{"event_id":"` + id + `", "a":1}`},
		{"the payload gets it", `{"event_id":"` + id + `"}`, `{"a":1}`, id, `{"event_id":"` + id + `"}`, `{"a":1,"event_id":"` + id + `"}`},
		{"the header gets it", `{}`, `{"event_id":"` + dashed + `"}`, id, `{"event_id":"` + id + `"}`, `{"event_id":"` + dashed + `"}`},
		{"null is none", `{"event_id":null}`, `{"event_id":"` + id + `"}`, id, `{"event_id":"` + id + `"}`, `{"event_id":"` + id + `"}`},
		{"nil UUID is none", `{"event_id":"00000000-0000-0000-0000-000000000000"}`, `{"event_id":"` + id + `"}`, id, `{"event_id":"` + id + `"}`, `{"event_id":"` + id + `"}`},
		{"made", `{}`, `{}`, "", `{"event_id":"ID"}`, `{"event_id":"ID"}`},
		{"made instead of a bad one in the payload", `{}`, `{"event_id":"bad"}`, "", `{"event_id":"ID"}`, `{"event_id":"ID"}`},
		{"made instead of a nil one in the payload", `{}`, `{"event_id":"` + nilID + `"}`, "", `{"event_id":"ID"}`, `{"event_id":"ID"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := decode(t, c.header+"\n{\"type\":\"event\"}\n"+c.event+"\n")
			if c.id == "" {
				if raw, err := hex.DecodeString(b.EventID); err != nil || len(raw) != 16 || b.EventID == nilID || b.EventID[12] != '4' {
					t.Errorf("made id %q", b.EventID)
				}
				c.wantHeader, c.wantEvent = strings.ReplaceAll(c.wantHeader, "ID", b.EventID), strings.ReplaceAll(c.wantEvent, "ID", b.EventID)
			} else if b.EventID != c.id {
				t.Errorf("id %q", b.EventID)
			}
			if got := string(b.Header.Bytes()); got != c.wantHeader {
				t.Errorf("header %s, want %s", got, c.wantHeader)
			}
			if got := payload(t, b.Items[0]); got != c.wantEvent {
				t.Errorf("event %s, want %s", got, c.wantEvent)
			}
		})
	}
}

// Which envelopes are given an id.
func TestWhoBearsAnEvent(t *testing.T) {
	for item, bears := range map[string]bool{
		`{"type":"event"}` + "\n{}":                                           true,
		`{"type":"transaction"}` + "\n{}":                                     true,
		`{"type":"feedback"}` + "\n{}":                                        true,
		`{"type":"raw_security"}` + "\n{}":                                    true,
		`{"type":"unreal_report"}` + "\nx":                                    true,
		`{"type":"attachment","attachment_type":"event.minidump"}` + "\nMDMP": true,
		`{"type":"attachment"}` + "\nx":                                       false,
		`{"type":"session"}` + "\n{}":                                         false,
		`{"type":"client_report"}` + "\n{}":                                   false,
		`{"type":"event"}` + "\n{broken":                                      false,
		`{"type":"span"}` + "\n{}":                                            false,
		`{"type":"replay_event"}` + "\n{}" + "\n" + `{"type":"replay_recording","length":1}` + "\nx": false,
	} {
		if b := decode(t, "{}\n"+item); (b.EventID != "") != bears {
			t.Errorf("%s: id %q", item, b.EventID)
		}
	}
}

// What only a Relay may say is taken out; every other header byte stays.
func TestTrustFlags(t *testing.T) {
	b := decode(t, "{}\n"+`{ "type":"transaction","metrics_extracted":true, "x":[1.50],"spans_extracted":true,"fully_normalized":true}`+"\n{}\n")
	if got := string(b.Items[0].Header.Bytes()); got != `{ "type":"transaction", "x":[1.50]}` {
		t.Errorf("header %s", got)
	}
}

func TestQuantities(t *testing.T) {
	b := decode(t, "{}\n"+
		`{"type":"log","item_count":3,"content_type":"application/vnd.sentry.items.log+json"}`+"\n"+`{"version":2,"items":[{},{"a":[1,2]},{}]}`+"\n"+
		`{"type":"span","item_count":1,"content_type":"application/vnd.sentry.items.span.v2+json"}`+"\n"+`{"items":[{}]}`+"\n"+
		`{"type":"span"}`+"\n{}\n"+
		`{"type":"trace_metric","item_count":2,"content_type":"application/vnd.sentry.items.trace-metric+json"}`+"\n"+`{"items":[{},{}]}`+"\n")
	want := []int{3, 1, 1, 2}
	for i, it := range b.Items {
		if !it.Alive() || it.Quantity != want[i] {
			t.Errorf("%s: quantity %d, %s", it.Header.Type, it.Quantity, it.Reason)
		}
	}
}

func TestClientReports(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	e := &Envelope{Metrics: m}
	text := "{}\n" + `{"type":"client_report"}` + "\n" + `{"timestamp":1,"discarded_events":[
		{"reason":"ratelimit_backoff","category":"error","quantity":2},
		{"reason":"sample_rate","category":"transaction","quantity":5},
		{"reason":"made up","category":"nonsense","quantity":1},
		{"reason":"sample_rate","category":"transaction","quantity":-5},
		{"reason":"sample_rate","category":"transaction","quantity":1e400},
		{"reason":"queue_overflow","category":"error","quantity":4000000000},
		{"reason":[],"category":{}}, 7, null],
		"rate_limited_events":[{"reason":"ratelimit_backoff","category":"error","quantity":1}],
		"filtered_events":"none"}`
	text = strings.ReplaceAll(text, "\n\t\t", "")
	if _, err := e.Decode(context.Background(), request(), strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	want := `
# HELP breakwater_client_discarded_total Items that SDKs dropped before sending, by their own client reports. ratelimit_backoff follows our limits, network_error means that clients could not reach the gateway.
# TYPE breakwater_client_discarded_total counter
breakwater_client_discarded_total{category="error",project="web",reason="queue_overflow"} 1e+06
breakwater_client_discarded_total{category="error",project="web",reason="ratelimit_backoff"} 3
breakwater_client_discarded_total{category="other",project="web",reason="other"} 1
breakwater_client_discarded_total{category="transaction",project="web",reason="sample_rate"} 5
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func deflate(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func TestStoreEncodings(t *testing.T) {
	event := `{"event_id":"` + id + `","message":"ü","n":12345678901234567890}`
	b64 := base64.StdEncoding.EncodeToString
	for name, body := range map[string]string{
		"plain":                  event,
		"blanks around":          "\r\n " + event + "\n",
		"base64":                 b64([]byte(event)),
		"base64 of zlib":         b64([]byte(deflate(event))),
		"base64 without padding": base64.RawStdEncoding.EncodeToString([]byte(deflate(event))),
		"base64 for URLs":        base64.URLEncoding.EncodeToString([]byte(deflate(event))),
		"base64 in lines":        b64([]byte(event))[:40] + "\r\n" + b64([]byte(event))[40:],
		"zlib":                   deflate(event),
	} {
		t.Run(name, func(t *testing.T) {
			b, err := (&Store{}).Decode(context.Background(), request(), strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if got := payload(t, b.Items[0]); got != event || b.EventID != id || b.Items[0].Header.Type != "event" {
				t.Errorf("%s %s", b.EventID, got)
			}
			if got := string(b.Header.Bytes()); got != `{"event_id":"`+id+`"}` {
				t.Errorf("header %s", got)
			}
		})
	}
	t.Run("get", func(t *testing.T) {
		r := request()
		r.Method, r.Query = http.MethodGet, map[string][]string{"sentry_data": {b64([]byte(event))}}
		b, err := (&Store{}).Decode(context.Background(), r, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		if b.Reply == nil || b.Reply.ContentType != "image/gif" || http.DetectContentType(b.Reply.Body) != "image/gif" {
			t.Error("no picture")
		}
	})
	t.Run("transaction", func(t *testing.T) {
		b, err := (&Store{}).Decode(context.Background(), request(), strings.NewReader(`{"type":"transaction"}`))
		if err != nil {
			t.Fatal(err)
		}
		if b.Items[0].Header.Type != "transaction" || b.Items[0].Category != schemas.CategoryTransaction || !strings.Contains(payload(t, b.Items[0]), b.EventID) {
			t.Errorf("%s %s", b.Items[0].Header.Type, payload(t, b.Items[0]))
		}
	})
}

func FuzzStore(f *testing.F) {
	event := `{"event_id":"` + id + `","message":"x"}`
	for _, s := range []string{event, deflate(event), base64.StdEncoding.EncodeToString([]byte(deflate(event))), "", "{", "eJw=", "\x78\x9c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		raw, err := DecodeStore(bytes.Clone(body), 64<<10)
		if err == nil && (len(raw) == 0 || len(raw) > 64<<10) {
			t.Errorf("%d bytes", len(raw))
		}
		b, err := (&Store{}).Decode(context.Background(), request(), bytes.NewReader(body))
		checkDecoded(t, b, err)
	})
}

func FuzzEnvelope(f *testing.F) {
	files, _ := filepath.Glob("../../schemas/testdata/fixtures/sentry-*/*/001/body.bin")
	if len(files) < 20 {
		f.Fatal("no fixtures")
	}
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil && len(b) < 20<<10 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := request()
		b, err := (&Envelope{}).Decode(context.Background(), r, bytes.NewReader(body))
		checkDecoded(t, b, err)
	})
}

// checkDecoded holds any answer of a decoder to what the door relies on.
func checkDecoded(t *testing.T, b *ingest.Batch, err error) {
	t.Helper()
	if err != nil {
		var rej *ingest.Rejection
		var framing *schemas.EnvelopeError
		if !errors.As(err, &rej) && !errors.As(err, &framing) {
			t.Errorf("error without an answer: %v", err)
		}
		return
	}
	dead := 0
	for _, it := range b.Items {
		if it.Payload == nil || it.Quantity < 1 || it.Category == "" {
			t.Errorf("item %+v", it)
		}
		if !it.Alive() {
			dead++
			if it.Outcome != schemas.Invalid || it.Reason == "" {
				t.Errorf("outcome %s %s", it.Outcome, it.Reason)
			}
		}
	}
	if dead > 0 && b.Refusal == nil {
		t.Error("items ended without an answer for it")
	}
	if b.EventID != "" {
		if norm, ok := parseID(b.EventID); !ok || norm != b.EventID {
			t.Errorf("event id %q", b.EventID)
		}
	}
	// What goes to the spool can be read again.
	env := schemas.Envelope{Header: b.Header}
	for _, it := range b.Items {
		if it.Alive() {
			env.Items = append(env.Items, it.Item)
		}
	}
	var out bytes.Buffer
	if _, err := env.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	r := schemas.NewReader(&out)
	if _, err := r.Header(); err != nil {
		t.Fatalf("written header cannot be read: %v", err)
	}
	for range env.Items {
		if _, _, err := r.Next(); err != nil {
			t.Fatalf("written item cannot be read: %v", err)
		}
	}
}
