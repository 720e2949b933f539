package otlp_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"breakwater/relay"
	"breakwater/relay/otlp"
	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

const spansJSON = `{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"spans":[` +
	`{"traceId":"abababababababababababababababab","spanId":"cdcdcdcdcdcdcdcd","name":"GET","kind":3,"startTimeUnixNano":"1795470393917000000","endTimeUnixNano":"1795470393975000000"},{"name":"second"}]}]}]}`

func spanRecord() *schemas.Record {
	return relaytest.MustRecord("{}\n" + `{"type":"otlp_spans","content_type":"application/json"}` + "\n" + spansJSON + "\n" + `{"type":"otlp_spans"}` + "\n" + `{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"third"}]}]}]}`)
}

// upstream answers as an OTLP server that takes all.
func upstream() relaytest.Options {
	return relaytest.Options{Raw: true, Answer: func(*relaytest.Request) string { return "" }}
}

func destination(t *testing.T, c otlp.Config) *otlp.Destination {
	t.Helper()
	d, err := otlp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestContract(t *testing.T) {
	relaytest.Contract(t, relaytest.Suite{
		New: func(t *testing.T, up *relaytest.Upstream) relay.Destination {
			return destination(t, otlp.Config{URL: up.URL(), Headers: map[string]string{"X-Api-Key": "hushhush"}, Username: "tempo", Password: "verysecret"})
		},
		Upstream: upstream(), Record: spanRecord, Secrets: []string{"hushhush", "verysecret"},
	})
}

// What arrives is the protobuf of all spans, in the encoding that was asked
// for, with the headers that were configured, at the right address.
func TestRequest(t *testing.T) {
	for _, tt := range []struct{ name, path, encoding, want string }{
		{"gzip", "", "", "/v1/traces"},
		{"gzip", "/", "gzip", "/v1/traces"},
		{"none", "/api/42/integration/otlp", "none", "/api/42/integration/otlp/v1/traces"},
		{"none", "/custom/v1/traces/", "none", "/custom/v1/traces"},
	} {
		up := relaytest.StartUpstream(t, upstream())
		d := destination(t, otlp.Config{URL: up.URL() + tt.path, Encoding: tt.encoding, Headers: map[string]string{"x-sentry-auth": "sentry sentry_key=abc"}, Username: "u", Password: "p"})
		rec := spanRecord()
		if finals, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil || finals != nil {
			t.Fatalf("%v %v", finals, err)
		}
		got := up.Requests()[0]
		auth, pass, _ := (&http.Request{Header: got.Header}).BasicAuth()
		if got.Path != tt.want || got.Header.Get("X-Sentry-Auth") != "sentry sentry_key=abc" || got.Header.Get("Content-Type") != "application/x-protobuf" || auth != "u" || pass != "p" || !strings.HasPrefix(got.Header.Get("User-Agent"), "breakwater/") {
			t.Errorf("%s: %s %v", tt.path, got.Path, got.Header)
		}
		if enc := got.Header.Get("Content-Encoding"); (enc == "gzip") != (tt.name == "gzip") {
			t.Errorf("%s: encoding %q", tt.path, enc)
		}
		var data tracepb.TracesData
		if err := proto.Unmarshal(got.Body, &data); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range data.GetResourceSpans() {
			for _, s := range r.GetScopeSpans()[0].GetSpans() {
				names = append(names, s.GetName())
			}
		}
		if d := cmp.Diff([]string{"GET", "second", "third"}, names); d != "" {
			t.Error(d)
		}
		if span := data.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0]; fmt.Sprintf("%x %d", span.GetTraceId(), span.GetStartTimeUnixNano()) != "abababababababababababababababab 1795470393917000000" {
			t.Errorf("%v", span)
		}
	}
}

// A partial success is never sent again; what it refuses whole ends as a dead letter.
func TestPartialSuccess(t *testing.T) {
	wire := func(n byte) string { return string([]byte{0x0a, 2, 0x08, n}) }
	all := []schemas.Final{{Outcome: schemas.DeadLetter, Reason: "rejected"}, {Outcome: schemas.DeadLetter, Reason: "rejected"}}
	for _, tt := range []struct {
		name, contentType, body string
		want                    []schemas.Final
	}{
		{"empty", "application/x-protobuf", "", nil},
		{"one of three", "application/x-protobuf", wire(1), nil},
		{"all", "application/x-protobuf", wire(3), all},
		{"all, JSON", "application/json; charset=utf-8", `{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no"}}`, all},
		{"all, JSON number", "application/json", `{"partialSuccess":{"rejectedSpans":3}}`, all},
		{"a warning", "application/json", `{"partialSuccess":{"errorMessage":"slow down"}}`, nil},
		{"no OTLP", "text/html", "<html>hello", nil},
		{"negative", "application/json", `{"partialSuccess":{"rejectedSpans":"-3"}}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up := relaytest.StartUpstream(t, upstream())
			up.Always(relaytest.Step{Status: 200, Body: tt.body, Header: http.Header{"Content-Type": {tt.contentType}}})
			d := destination(t, otlp.Config{URL: up.URL()})
			rec := spanRecord()
			finals, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
			if diff := cmp.Diff(tt.want, finals); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

// Items that are no spans are not sent, and do not stop those that are.
func TestOtherItems(t *testing.T) {
	up := relaytest.StartUpstream(t, upstream())
	d := destination(t, otlp.Config{URL: up.URL()})
	rec := relaytest.MustRecord("{}\n{\"type\":\"event\"}\n{}\n{\"type\":\"otlp_spans\"}\n" + spansJSON)
	finals, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
	want := []schemas.Final{{Outcome: schemas.DeadLetter, Reason: "unsupported"}, {Outcome: schemas.Delivered}}
	if diff := cmp.Diff(want, finals); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	rec = relaytest.SampleRecord()
	if finals, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil || len(finals) != 2 || up.Totals().Requests != 1 {
		t.Errorf("%v %v, %d requests", finals, err, up.Totals().Requests)
	}
	rec = relaytest.MustRecord("{}\n{\"type\":\"otlp_spans\"}\n{\"resourceSpans\":7}")
	var de *relay.DeliverError
	if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err == nil {
		t.Error("spans that cannot be read")
	} else if de = relay.AsDeliverError(err); de.Class != relay.Bounded || de.Reason != "unreadable" {
		t.Errorf("%+v", de)
	}
}

// The upstream's own words are shown, without ours.
func TestExplains(t *testing.T) {
	up := relaytest.StartUpstream(t, upstream())
	d := destination(t, otlp.Config{URL: up.URL(), Headers: map[string]string{"X-Key": "topsecret"}, Timeout: 5 * time.Second})
	for _, tt := range []struct{ contentType, body, want string }{
		{"application/json", `{"code":16,"message":"key topsecret is\nwrong"}`, "upstream answered 401 Unauthorized: key *** is wrong"},
		{"application/x-protobuf", "\x08\x10\x12\x05wrong", "upstream answered 401 Unauthorized: wrong"},
		{"text/html", "<html>", "upstream answered 401 Unauthorized"},
	} {
		up.Always(relaytest.Step{Status: 401, Body: tt.body, Header: http.Header{"Content-Type": {tt.contentType}}})
		rec := spanRecord()
		_, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
		if de := relay.AsDeliverError(err); de.Err == nil || de.Err.Error() != tt.want || de.Alert == "" {
			t.Errorf("%+v, want %q", de, tt.want)
		}
	}
}

func TestBadConfigs(t *testing.T) {
	for _, c := range []otlp.Config{{}, {URL: "collector:4318"}, {URL: "ftp://x"}, {URL: "http://u:hushhush@x"}, {URL: "http://x", Encoding: "zstd"}} {
		if _, err := otlp.New(c); err == nil || strings.Contains(err.Error(), "hushhush") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if d := destination(t, otlp.Config{URL: "https://x.example/base/"}); d.Target() != "https://x.example/base/v1/traces" {
		t.Error(d.Target())
	}
}
