package schemas

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

func text(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func sampleSpans() *tracepb.TracesData {
	return &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{
		{
			Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{Key: "service.name", Value: text("shop")}}},
			ScopeSpans: []*tracepb.ScopeSpans{
				{Scope: &commonpb.InstrumentationScope{Name: "fetch", Version: "1"}, Spans: []*tracepb.Span{
					{
						TraceId: bytes.Repeat([]byte{0xab}, 16), SpanId: bytes.Repeat([]byte{0xcd}, 8), ParentSpanId: bytes.Repeat([]byte{0xff}, 8),
						Name: "GET", Kind: tracepb.Span_SPAN_KIND_CLIENT, StartTimeUnixNano: 1795470393917000001, EndTimeUnixNano: math.MaxUint64,
						Attributes: []*commonpb.KeyValue{{Key: "traceId", Value: text("not an id")}, {Key: "n", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: math.MaxInt64}}}},
						Links:      []*tracepb.Span_Link{{TraceId: bytes.Repeat([]byte{1}, 16), SpanId: bytes.Repeat([]byte{2}, 8)}},
						Status:     &tracepb.Status{Code: tracepb.Status_STATUS_CODE_ERROR, Message: "no"},
					},
					{Name: "second"},
				}},
				{Spans: []*tracepb.Span{{Name: "third"}}},
			},
		},
		{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{Name: "fourth"}}}}},
	}}
}

// What was written in either encoding is read back span by span, with what
// each stands under.
func TestOTLPBothEncodings(t *testing.T) {
	want := sampleSpans()
	wire, err := proto.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	text, err := MarshalOTLP(want)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []string{
		`"traceId":"abababababababababababababababab"`, `"spanId":"cdcdcdcdcdcdcdcd"`, `"parentSpanId":"ffffffffffffffff"`, `"kind":3`, `"code":2`,
		`"startTimeUnixNano":"1795470393917000001"`, `"endTimeUnixNano":"18446744073709551615"`, `"intValue":"9223372036854775807"`, `"key":"traceId"`,
	} {
		if !strings.Contains(string(text), piece) {
			t.Errorf("%s is not in %s", piece, text)
		}
	}
	for name, body := range map[string][]byte{"json": text, "protobuf": wire} {
		var names, scopes, services []string
		var first tracepb.Span
		err := WalkOTLP(body, name == "json", OTLPTraces, func(r *OTLPRecord) bool {
			var s tracepb.Span
			if err := r.Decode(&s); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if len(names) == 0 {
				proto.Merge(&first, &s)
			}
			names, scopes = append(names, s.GetName()), append(scopes, r.Scope.GetName())
			services = append(services, OTLPText(OTLPAttribute(r.Resource.GetAttributes(), "service.name")))
			return true
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff([][]string{{"GET", "second", "third", "fourth"}, {"fetch", "fetch", "", ""}, {"shop", "shop", "shop", ""}}, [][]string{names, scopes, services}); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if d := cmp.Diff(want.ResourceSpans[0].ScopeSpans[0].Spans[0], &first, protocmp.Transform()); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		n := 0
		if err := WalkOTLP(body, name == "json", OTLPTraces, func(*OTLPRecord) bool { n++; return false }); err != nil || n != 1 {
			t.Errorf("%s: stopped after %d: %v", name, n, err)
		}
	}
}

// JSON as clients write it: numbers for 64-bit integers, names for
// enumerations, members of a later version, upper-case ids, broken surrogates.
func TestOTLPLenientJSON(t *testing.T) {
	in := `{"resourceLogs":[{"future":{"a":[1]},"resource":{"attributes":[],"entityRefs":[]},"scopeLogs":[{"logRecords":[
		{"timeUnixNano":1795470393917000001,"severityNumber":"SEVERITY_NUMBER_ERROR","body":{"stringValue":"cut \ud83d emoji"},"traceId":"ABABABABABABABABABABABABABABABAB","spanId":"","flags":1,"later":{"x":null}},
		{"traceId":"xyz"}, 7, {"timeUnixNano":"soon"}, {"body":{"stringValue":"good"}}]}]}, null, {"scopeLogs":null}]}`
	var bodies []string
	bad := 0
	err := WalkOTLP([]byte(in), true, OTLPLogs, func(r *OTLPRecord) bool {
		var l logspb.LogRecord
		if err := r.Decode(&l); err != nil {
			bad++
			return true
		}
		bodies = append(bodies, l.GetBody().GetStringValue())
		if len(bodies) == 1 && (l.GetTimeUnixNano() != 1795470393917000001 || l.GetSeverityNumber() != logspb.SeverityNumber_SEVERITY_NUMBER_ERROR || len(l.GetTraceId()) != 16) {
			t.Errorf("%v", &l)
		}
		return true
	})
	if err != nil || bad != 3 {
		t.Errorf("%d bad records, %v", bad, err)
	}
	if d := cmp.Diff([]string{"cut \uFFFD emoji", "good"}, bodies); d != "" {
		t.Error(d)
	}
}

func TestOTLPErrors(t *testing.T) {
	never := func(*OTLPRecord) bool { return true }
	for in, want := range map[string]error{
		"": nil, "[]": ErrNotObject, `"x"`: ErrNotObject, "{": nil, "{}{}": ErrTrailing, strings.Repeat(`{"a":`, 200): ErrOTLPDepth,
	} {
		if err := WalkOTLP([]byte(in), true, OTLPLogs, never); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%.20q: %v, want %v", in, err, want)
		}
	}
	for _, in := range []string{"{}", `{"resourceLogs":null}`, `{"resourceLogs":7}`, `{"resourceLogs":[{}]}`} {
		if err := WalkOTLP([]byte(in), true, OTLPLogs, never); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
	for _, in := range []string{"\x0a", "\x0a\x05ab", "{}", "\x0a\x02\x12\x05", "\x07", "\x0a\x04\x12\x02\x12\x09"} {
		if err := WalkOTLP([]byte(in), false, OTLPLogs, never); !errors.Is(err, ErrOTLPWire) {
			t.Errorf("%q: %v", in, err)
		}
	}
	if err := WalkOTLP(nil, false, OTLPLogs, never); err != nil {
		t.Errorf("a request of nothing is one: %v", err)
	}
	// A bad resource costs what stands under it, no more.
	good, bad := 0, 0
	in := `{"resourceLogs":[{"resource":{"attributes":7},"scopeLogs":[{"logRecords":[{}]}]},{"scopeLogs":[{"scope":[],"logRecords":[{}]},{"logRecords":[{}]}]}]}`
	if err := WalkOTLP([]byte(in), true, OTLPLogs, func(r *OTLPRecord) bool {
		if r.Decode(&logspb.LogRecord{}) != nil {
			bad++
		} else {
			good++
		}
		return true
	}); err != nil || good != 1 || bad != 2 {
		t.Errorf("%d good, %d bad, %v", good, bad, err)
	}
}

func TestOTLPValues(t *testing.T) {
	list := &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{
		text(`a"b`), nil,
		{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: math.NaN()}},
		{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte{1}}},
		{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: []*commonpb.KeyValue{
			{Key: "k", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}}, {Key: "n", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 7}}},
		}}}},
	}}}}
	if got, want := OTLPText(list), `["a\"b",null,"NaN","AQ==",{"k":true,"n":7}]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if OTLPText(nil) != "" || OTLPText(text("x")) != "x" || OTLPText(&commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 2.5}}) != "2.5" {
		t.Error("plain values")
	}
	attrs := []*commonpb.KeyValue{{Key: "a"}, {Key: "b", Value: text("x")}, nil}
	if OTLPAttribute(attrs, "a", "b").GetStringValue() != "x" || OTLPAttribute(attrs, "c") != nil {
		t.Error("attributes are found by name")
	}
	if at, ok := OTLPTime(1795470393917000001); !ok || !at.Equal(time.Unix(1795470393, 917000001)) {
		t.Error(at)
	}
	if at, ok := OTLPTime(0); ok {
		t.Errorf("no time is %v", at)
	}
}

func TestLogItem(t *testing.T) {
	it := LogItem([]LogEntry{
		{
			Time: time.UnixMicro(1795470393917001), TraceID: "ab", SpanID: "cd", Level: "warn", Severity: 13, Body: "a \"b\"",
			Attributes: []Attribute{TextAttribute("t", "x"), {"i", jsontext.Value("7")}, {"d", jsontext.Value("7.5")}, {"big", jsontext.Value("1e400")}, {"b", jsontext.Value("true")}, {"o", jsontext.Value(`{"a":1}`)}},
		},
		{TraceID: "ef", Level: "info"},
	})
	raw, _ := it.InMemory()
	want := `{"items":[{"timestamp":1795470393.917001,"trace_id":"ab","span_id":"cd","level":"warn","severity_number":13,"body":"a \"b\"","attributes":{` +
		`"t":{"value":"x","type":"string"},"i":{"value":7,"type":"integer"},"d":{"value":7.5,"type":"double"},"big":{"value":1e400,"type":"double"},"b":{"value":true,"type":"boolean"},"o":{"value":"{\"a\":1}","type":"string"}}},` +
		`{"timestamp":`
	if !strings.HasPrefix(string(raw), want) {
		t.Errorf("%s\nwant %s", raw, want)
	}
	if c, err := ParseContainer(raw); err != nil || len(c.Items) != 2 || !it.Header.IsContainer() {
		t.Errorf("no container: %v", err)
	}
	if n, ok := it.Header.ItemCount(); !ok || n != 2 {
		t.Errorf("item_count %d", n)
	}
	for n, want := range map[int]string{0: "info", 1: "trace", 5: "debug", 9: "info", 13: "warn", 17: "error", 21: "fatal", 24: "fatal"} {
		if got := LogLevel(n, ""); got != want {
			t.Errorf("severity %d is %s, want %s", n, got, want)
		}
	}
	if LogLevel(0, "warning") != "warn" || LogLevel(0, "log") != "info" || LogLevel(17, "debug") != "error" {
		t.Error("words count when there is no number")
	}
}

func FuzzOTLP(f *testing.F) {
	bodies, _ := filepath.Glob("testdata/fixtures/faro/tracing/*/body.bin")
	for _, path := range bodies {
		if raw, err := os.ReadFile(path); err == nil {
			if traces, ok := Lookup(raw, "traces"); ok {
				f.Add([]byte(traces), true, int(OTLPTraces))
			}
		}
	}
	wire, _ := proto.Marshal(sampleSpans())
	f.Add(wire, false, int(OTLPTraces))
	f.Add([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"\ud800"},"traceId":"00"}]}]}]}`), true, int(OTLPLogs))
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool, signal int) {
		s := OTLPSignal(uint(signal) % 3)
		_ = WalkOTLP(body, asJSON, s, func(r *OTLPRecord) bool {
			var span tracepb.Span
			if s != OTLPTraces || r.Decode(&span) != nil {
				return true
			}
			raw, err := MarshalOTLP(&span)
			if err != nil {
				return true // text that is not UTF-8
			}
			var again tracepb.Span
			if err := UnmarshalOTLP(raw, &again); err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
			if d := cmp.Diff(&span, &again, protocmp.Transform()); d != "" {
				t.Fatalf("%s\n%s", raw, d)
			}
			return true
		})
	})
}
