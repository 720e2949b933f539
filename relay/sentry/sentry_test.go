package sentry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

func start(t *testing.T, o relaytest.Options) *relaytest.Upstream {
	t.Helper()
	up := relaytest.NewUpstream(o)
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(up.Close)
	return up
}

func make1(t *testing.T, c sentry.Config) *sentry.Destination {
	t.Helper()
	d, err := sentry.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestRequestIsWhatAnUpstreamExpects(t *testing.T) {
	up := start(t, relaytest.Options{})
	d := make1(t, sentry.Config{DSN: secretDSN(up), Version: "1.2.3"})
	rec := relaytest.SampleRecord()
	rec.Meta.UserAgent = "evil\r\nX-Injected: 1"
	if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
		t.Fatal(err)
	}
	req := up.Requests()[0]
	if p := up.Problems(); len(p) > 0 {
		t.Error(p)
	}
	want := http.Header{
		"Content-Type":     {"application/x-sentry-envelope"},
		"Content-Encoding": {"gzip"},
		"Accept":           {"application/json"},
		"X-Sentry-Auth":    {"Sentry sentry_version=7, sentry_client=breakwater/1.2.3, sentry_key=" + relaytest.TestKey},
		"User-Agent":       {"evilX-Injected: 1"},
		"X-Forwarded-For":  {"203.0.113.7"},
		"Content-Length":   {fmt.Sprint(req.Wire)},
	}
	if !reflect.DeepEqual(req.Header, want) {
		t.Errorf("header %v\nwant   %v", req.Header, want)
	}
	if req.Path != "/api/42/envelope/" || req.Query != "" {
		t.Errorf("posted to %s?%s", req.Path, req.Query)
	}

	rec = relaytest.SampleRecord()
	rec.Meta.UserAgent, rec.Meta.ClientIP = "", "not an address\r\n"
	if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
		t.Fatal(err)
	}
	req = up.Requests()[1]
	if got := req.Header.Get("User-Agent"); got != "breakwater/1.2.3" {
		t.Errorf("User-Agent %q", got)
	}
	if got, ok := req.Header["X-Forwarded-For"]; ok {
		t.Errorf("X-Forwarded-For %q", got)
	}
}

func TestEnvelopeHeaderIsRewritten(t *testing.T) {
	received := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		in   string
		held time.Duration
		want string
	}{
		"dsn goes, spaces and unknown fields stay": {
			in:   `{ "event_id" : "9ec79c33ec9942ab8353589fcb2e04dc", "dsn":"https://k@gw/1" , "x":[1, 2.50], "sdk":{"name":"a"}}`,
			want: `{ "event_id" : "9ec79c33ec9942ab8353589fcb2e04dc" , "x":[1, 2.50], "sdk":{"name":"a"}}`,
		},
		"the trace's key is the upstream's": {
			in:   `{"trace":{"trace_id":"abc", "public_key":"clientkey","sampled":"true"}}`,
			want: `{"trace":{"trace_id":"abc", "public_key":"` + relaytest.TestKey + `","sampled":"true"}}`,
		},
		"a trace without a key stays":        {in: `{"trace":{"trace_id":"abc"}}`, want: `{"trace":{"trace_id":"abc"}}`},
		"a trace that is no object stays":    {in: `{"trace":"x"}`, want: `{"trace":"x"}`},
		"sent_at moves by the time held":     {in: `{"sent_at":"2026-03-01T11:59:58.123Z"}`, held: 2 * time.Hour, want: `{"sent_at":"2026-03-01T13:59:58.123Z"}`},
		"sent_at keeps its zone":             {in: `{"sent_at":"2026-03-01T13:59:58.123456+02:00"}`, held: time.Hour, want: `{"sent_at":"2026-03-01T14:59:58.123456+02:00"}`},
		"sent_at without a fraction":         {in: `{"sent_at":"2026-03-01T11:59:58Z"}`, held: 1500 * time.Millisecond, want: `{"sent_at":"2026-03-01T11:59:59.500Z"}`},
		"sent_at is not moved back":          {in: `{"sent_at":"2026-03-01T11:59:58Z"}`, held: -time.Hour, want: `{"sent_at":"2026-03-01T11:59:58Z"}`},
		"a sent_at nobody can read stays":    {in: `{"sent_at":"yesterday"}`, held: time.Hour, want: `{"sent_at":"yesterday"}`},
		"sent_at null stays":                 {in: `{"sent_at":null}`, held: time.Hour, want: `{"sent_at":null}`},
		"no sent_at is made where none was":  {in: `{}`, held: time.Hour, want: `{}`},
		"a clock that is wrong stays so":     {in: `{"sent_at":"2019-01-01T00:00:00.000Z"}`, held: time.Hour, want: `{"sent_at":"2019-01-01T01:00:00.000Z"}`},
		"the last day of the year 9999":      {in: `{"sent_at":"9999-12-31T23:59:59.999Z"}`, held: 0, want: `{"sent_at":"9999-12-31T23:59:59.999Z"}`},
		"a fraction longer than nanoseconds": {in: `{"sent_at":"2026-03-01T11:59:58.1234567891Z"}`, held: time.Second, want: `{"sent_at":"2026-03-01T11:59:59.123456789Z"}`},
	} {
		t.Run(name, func(t *testing.T) {
			up := start(t, relaytest.Options{})
			d := make1(t, sentry.Config{DSN: up.DSN("1"), Now: func() time.Time { return received.Add(tc.held) }})
			rec := relaytest.MustRecord(tc.in + "\n{\"type\":\"event\"}\n{}")
			rec.Meta.ReceivedAt = received
			if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
				t.Fatal(err)
			}
			if got := string(up.Requests()[0].Envelope.Bytes()); got != tc.want {
				t.Errorf("sent\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

// Every captured envelope of the SDKs arrives with the bytes of its payloads
// and item headers untouched.
func TestPayloadsAreLeftAlone(t *testing.T) {
	bodies, err := filepath.Glob("../../schemas/testdata/fixtures/sentry-*/*/*/body.bin")
	if err != nil || len(bodies) == 0 {
		t.Fatalf("no captured envelopes: %v", err)
	}
	up := start(t, relaytest.Options{})
	d := make1(t, sentry.Config{DSN: up.DSN("1")})
	sent := 0
	for _, name := range bodies {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		r := schemas.NewReader(bytes.NewReader(raw))
		h, err := r.Header()
		if err != nil {
			continue // compressed, or not an envelope
		}
		env := schemas.Envelope{Header: h}
		for {
			ih, payload, err := r.Next()
			if err != nil {
				break
			}
			b, err := io.ReadAll(payload)
			if err != nil {
				t.Fatal(err)
			}
			env.Items = append(env.Items, schemas.Item{Header: ih, Payload: schemas.Bytes(b)})
		}
		if _, err := d.Deliver(t.Context(), &schemas.Meta{ReceivedAt: time.Now()}, &env); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sent++
		got := up.Requests()[sent-1]
		if len(got.Items) != len(env.Items) {
			t.Fatalf("%s: %d items arrived of %d", name, len(got.Items), len(env.Items))
		}
		for i := range env.Items {
			if want, _ := env.Items[i].InMemory(); !bytes.Equal(got.Items[i].Payload, want) {
				t.Errorf("%s: payload %d differs", name, i)
			}
		}
	}
	if sent < 10 {
		t.Errorf("only %d captured envelopes were sent", sent)
	}
	for _, p := range up.Problems() {
		t.Error(p)
	}
}

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

func TestErrorsNameTheCause(t *testing.T) {
	for name, tc := range map[string]struct {
		step relaytest.Step
		want string
	}{
		"detail and causes":  {relaytest.Step{Status: 400, Body: `{"detail":"invalid event envelope","causes":["missing header","line 1"]}`}, "upstream answered 400 Bad Request: invalid event envelope (missing header; line 1)"},
		"Bugsink":            {relaytest.Step{Status: 400, Body: `{"message":"no such thing"}`}, "upstream answered 400 Bad Request: no such thing"},
		"a header":           {relaytest.Step{Status: 404, Header: http.Header{"X-Sentry-Error": {"nope"}}}, "upstream answered 404 Not Found: nope"},
		"HTML":               {relaytest.Step{Status: 500, Body: "<html>"}, "upstream answered 500 Internal Server Error"},
		"control characters": {relaytest.Step{Status: 400, Body: `{"detail":"a\u0000\n\u001b[31mb"}`}, "upstream answered 400 Bad Request: a[31mb"},
		"the secret itself":  {relaytest.Step{Status: 400, Body: `{"detail":"key ` + relaytest.TestKey + ` secret hushhush at http://u:p@proxy/"}`}, "upstream answered 400 Bad Request: key *** secret *** at http://***@proxy/"},
		"a redirect":         {relaytest.Step{Status: 301, Header: http.Header{"Location": {"https://u:p@elsewhere/"}}}, "upstream answered 301 Moved Permanently: redirect to https://***@elsewhere/ not followed; correct the DSN"},
		"an odd status":      {relaytest.Step{Status: 999}, "upstream answered 999"},
	} {
		t.Run(name, func(t *testing.T) {
			up := start(t, relaytest.Options{})
			up.Always(tc.step)
			d := make1(t, sentry.Config{DSN: secretDSN(up)})
			rec := relaytest.SampleRecord()
			_, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
			if de := relay.AsDeliverError(err); de.Err.Error() != tc.want {
				t.Errorf("error %q, want %q", de.Err, tc.want)
			}
		})
	}
}

func TestNetworkErrorsAreNamed(t *testing.T) {
	plain := start(t, relaytest.Options{})
	tls := httptest.NewUnstartedServer(plain)
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	defer tls.Close()
	for name, tc := range map[string]struct {
		c    sentry.Config
		want string
	}{
		"unknown authority": {sentry.Config{DSN: strings.Replace(tls.URL, "://", "://key:hushhush@", 1) + "/1"}, "tls"},
		"no TLS there":      {sentry.Config{DSN: strings.Replace(secretDSN(plain), "http:", "https:", 1)}, "tls"},
		"unknown name":      {sentry.Config{DSN: "http://key:hushhush@upstream.invalid/1", Dial: relaytest.Unroutable}, "dns"},
	} {
		t.Run(name, func(t *testing.T) {
			rec := relaytest.SampleRecord()
			_, err := make1(t, tc.c).Deliver(t.Context(), &rec.Meta, &rec.Envelope)
			de := relay.AsDeliverError(err)
			if de.Reason != tc.want || !de.Down || de.Class != relay.Temporary {
				t.Errorf("reason %q, down %v, class %v (%v)", de.Reason, de.Down, de.Class, err)
			}
			if strings.Contains(err.Error(), "hushhush") {
				t.Errorf("secret in %v", err)
			}
		})
	}
	t.Run("trusted authority", func(t *testing.T) {
		pool := tls.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		rec := relaytest.SampleRecord()
		d := make1(t, sentry.Config{DSN: strings.Replace(tls.URL, "://", "://key@", 1) + "/1", RootCAs: pool})
		if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
			t.Error(err)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]sentry.Config{
		"no DSN":       {},
		"bad DSN":      {DSN: "https://key:hushhush@host\x7f/1"},
		"bad encoding": {DSN: "https://key:hushhush@host/1", Encoding: "lzma"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sentry.New(c)
			if err == nil || strings.Contains(err.Error(), "hushhush") {
				t.Errorf("error %v", err)
			}
		})
	}
	d := make1(t, sentry.Config{DSN: "https://key:hushhush@host/1"})
	for _, s := range []string{d.Target(), fmt.Sprint(relay.DestinationConfig{Target: d.Target()})} {
		if strings.Contains(s, "hushhush") {
			t.Errorf("secret in %q", s)
		}
	}
}

// A kept connection that the upstream closed meanwhile costs no attempt.
func TestDeadKeptConnectionIsReplaced(t *testing.T) {
	up := start(t, relaytest.Options{})
	d := make1(t, sentry.Config{DSN: up.DSN("1")})
	send := func() error {
		rec := relaytest.SampleRecord()
		_, err := d.Deliver(context.Background(), &rec.Meta, &rec.Envelope)
		return err
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	up.Script(relaytest.Step{Fault: relaytest.ResetBefore})
	if err := send(); err != nil {
		t.Errorf("the request was not repeated on a new connection: %v", err)
	}
	if n := up.Totals(); n.Taken != 2 || n.Requests != 3 {
		t.Errorf("totals %+v", n)
	}
}
