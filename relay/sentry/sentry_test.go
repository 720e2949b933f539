package sentry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/relay/sentry"
	"breakwater/schemas"
)

var start = relaytest.StartUpstream

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
