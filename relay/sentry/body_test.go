package sentry_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/relay/sentry"
	"breakwater/schemas"
)

func TestTooLargeGoesWithoutAttachments(t *testing.T) {
	const text = `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}
{"type":"event"}
{"timestamp":1}
{"type":"attachment","length":5,"filename":"a"}
12345
{"type":"user_report"}
{}
{"type":"attachment","length":5,"filename":"b"}
12345
`
	tooLargeWithAttachments := func(r *relaytest.Request) relaytest.Step {
		for _, it := range r.Items {
			if it.Header.Type == "attachment" {
				return relaytest.Status(413)
			}
		}
		return relaytest.Step{}
	}
	t.Run("the rest is delivered", func(t *testing.T) {
		up := start(t, relaytest.Options{Decide: tooLargeWithAttachments})
		d := make1(t, sentry.Config{DSN: up.DSN("1")})
		rec := relaytest.MustRecord(text)
		finals, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
		if err != nil {
			t.Fatal(err)
		}
		gone := schemas.Final{Outcome: schemas.DeadLetter, Reason: "too_large"}
		ok := schemas.Final{Outcome: schemas.Delivered}
		if want := []schemas.Final{ok, gone, ok, gone}; !reflect.DeepEqual(finals, want) {
			t.Errorf("finals %v, want %v", finals, want)
		}
		if got := up.Taken()[0].Types(); !reflect.DeepEqual(got, []string{"event", "user_report"}) {
			t.Errorf("delivered %v", got)
		}
	})
	for name, tc := range map[string]struct {
		text     string
		requests int64
	}{
		"still too large": {text, 2},
		"nothing to drop": {"{}\n{\"type\":\"event\"}\n{}", 1},
		"nothing is left": {"{}\n{\"type\":\"attachment\",\"length\":1}\nx", 1},
	} {
		t.Run(name, func(t *testing.T) {
			up := start(t, relaytest.Options{})
			up.Always(relaytest.Status(413))
			d := make1(t, sentry.Config{DSN: up.DSN("1")})
			rec := relaytest.MustRecord(tc.text)
			_, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
			if de := relay.AsDeliverError(err); de.Class != relay.Permanent || de.Reason != "too_large" {
				t.Errorf("error %v", err)
			}
			if n := up.Totals().Requests; n != tc.requests {
				t.Errorf("%d requests, want %d", n, tc.requests)
			}
		})
	}
}

// fileBody is a large payload that is made as it is read.
type fileBody struct {
	size int64
	fail error
}

func (b fileBody) Size() int64 { return b.size }

func (b fileBody) Open() (io.ReadCloser, error) {
	if b.fail != nil && b.size == 0 {
		return nil, b.fail
	}
	r := io.LimitReader(noise{}, b.size)
	if b.fail != nil {
		r = io.MultiReader(io.LimitReader(noise{}, b.size/2), failing{b.fail})
	}
	return io.NopCloser(r), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type noise struct{}

func (noise) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i*7 + i>>3)
	}
	return len(p), nil
}

func TestLargeBodyIsStreamedInFlatMemory(t *testing.T) {
	const size = 48 << 20
	for _, encoding := range []string{"gzip", "identity"} {
		t.Run(encoding, func(t *testing.T) {
			up := start(t, relaytest.Options{IDsOnly: true})
			d := make1(t, sentry.Config{DSN: up.DSN("1"), Encoding: encoding, Timeout: time.Minute})
			rec := relaytest.SampleRecord()
			rec.Envelope.Items = append(rec.Envelope.Items, schemas.Item{Header: schemas.NewItemHeader("attachment"), Payload: fileBody{size: size}})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			if got := up.Totals(); got.Taken != 1 || got.Items["attachment"] != 1 {
				t.Errorf("totals %+v, problems %v", got, up.Problems())
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
				t.Errorf("%d MiB were allocated for a body of %d MiB", used>>20, size>>20)
			}
		})
	}
}

func TestUnreadablePayloadIsTheRecordsFault(t *testing.T) {
	up := start(t, relaytest.Options{})
	d := make1(t, sentry.Config{DSN: up.DSN("1")})
	for name, body := range map[string]fileBody{
		"cannot be opened": {fail: errors.New("file is gone")},
		"breaks halfway":   {size: 4 << 20, fail: errors.New("bad sector")},
	} {
		t.Run(name, func(t *testing.T) {
			rec := relaytest.SampleRecord()
			rec.Envelope.Items = append(rec.Envelope.Items, schemas.Item{Header: schemas.NewItemHeader("attachment"), Payload: body})
			_, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
			if de := relay.AsDeliverError(err); de.Reason != "unreadable" || de.Class != relay.Bounded || de.Down {
				t.Errorf("error %+v", de)
			}
			if n := up.Totals().Taken; n != 0 {
				t.Errorf("%d broken envelopes were taken", n)
			}
		})
	}
}

// A refusal is heard before a large body was sent.
func TestRefusalSparesTheUpload(t *testing.T) {
	var read int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		read = r.ContentLength
	}))
	defer srv.Close()
	d := make1(t, sentry.Config{DSN: strings.Replace(srv.URL, "://", "://key@", 1) + "/1"})
	rec := relaytest.SampleRecord()
	opened := &countingBody{fileBody: fileBody{size: 64 << 20}}
	rec.Envelope.Items = append(rec.Envelope.Items, schemas.Item{Header: schemas.NewItemHeader("attachment"), Payload: opened})
	_, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
	if de := relay.AsDeliverError(err); de.Reason != "unauthorized" || de.Alert != "DSN rejected" {
		t.Errorf("error %+v", de)
	}
	if opened.read > 1<<20 {
		t.Errorf("%d bytes of the attachment were read (declared %d)", opened.read, read)
	}
}

type countingBody struct {
	fileBody
	read int64
}

func (c *countingBody) Open() (io.ReadCloser, error) {
	r, err := c.fileBody.Open()
	return io.NopCloser(io.TeeReader(r, (*adder)(&c.read))), err
}

type adder int64

func (a *adder) Write(b []byte) (int, error) { *a += adder(len(b)); return len(b), nil }
