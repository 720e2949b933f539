package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

const (
	otlpLogs    = "/api/1/integration/otlp/v1/logs?sentry_key=" + testKey
	otlpTraces  = "/api/1/otlp/v1/traces/?key=" + testKey
	otlpMetrics = "/otlp/v1/metrics"
)

func logsBody(records ...string) string {
	return `{"resourceLogs":[{"scopeLogs":[{"logRecords":[` + strings.Join(records, ",") + `]}]}]}`
}

func spansBody(spans ...string) string {
	return `{"resourceSpans":[{"scopeSpans":[{"spans":[` + strings.Join(spans, ",") + `]}]}]}`
}

func metricsBody(metrics ...string) string {
	return `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[` + strings.Join(metrics, ",") + `]}]}]}`
}

const (
	aLogRecord  = `{"timeUnixNano":"1795470393917000000","severityNumber":9,"body":{"stringValue":"hello"}}`
	anErrorLog  = `{"severityNumber":17,"eventName":"exception","attributes":[{"key":"exception.type","value":{"stringValue":"TypeError"}},{"key":"exception.message","value":{"stringValue":"x"}}]}`
	aVitalLog   = `{"eventName":"browser.web_vital","attributes":[{"key":"browser.web_vital.name","value":{"stringValue":"lcp"}},{"key":"browser.web_vital.value","value":{"doubleValue":468}},{"key":"browser.web_vital.id","value":{"stringValue":"v5-1"}}]}`
	aSpan       = `{"traceId":"abababababababababababababababab","spanId":"cdcdcdcdcdcdcdcd","name":"GET","kind":3}`
	aHistogram  = `{"name":"browser.web_vital.lcp","unit":"ms","histogram":{"aggregationTemporality":2,"dataPoints":[{"startTimeUnixNano":"5","count":"1","sum":468}]}}`
	manyAtOnce  = `{"name":"web_vitals.inp","histogram":{"dataPoints":[{"count":"3","sum":600}]}}`
	someGauge   = `{"name":"memory","gauge":{"dataPoints":[{"asInt":"1"},{"asInt":"2"}]}}`
	notTheirs   = "unknown unauthorized:"
	anyProtobuf = "application/x-protobuf"
)

// Bad OTLP requests: see badRow.
func TestBadOTLP(t *testing.T) {
	a, _ := inProcess(t, oneProject)
	js := []string{"Content-Type", "application/json"}
	with := func(more ...string) []string { return append([]string{"Content-Type", "application/json"}, more...) }
	wire, err := proto.Marshal(&logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{{ScopeLogs: []*logspb.ScopeLogs{{LogRecords: []*logspb.LogRecord{{SeverityText: "x"}}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	deep := strings.Repeat(`{"arrayValue":{"values":[`, 60) + strings.Repeat("]}}", 60)
	runBadRows(t, a, []badRow{
		{"no key", "/api/1/otlp/v1/logs", logsBody(aLogRecord), js, "", 401, "missing authorization information", notTheirs + "missing_auth"},
		{"no key, no project", "/otlp/v1/logs", logsBody(aLogRecord), js, "", 401, "missing authorization information", notTheirs + "missing_auth"},
		{"key that is no key", "/otlp/v1/logs?key=abc", logsBody(aLogRecord), js, "", 400, "bad sentry DSN public key", notTheirs + "bad_key"},
		{"unknown key", "/otlp/v1/logs", logsBody(aLogRecord), with("X-Api-Key", strings.Repeat("f", 32)), "", 403, "event submission rejected", notTheirs + "project_id"},
		{"two keys", otlpLogs, logsBody(aLogRecord), with("X-Api-Key", strings.Repeat("f", 32)), "", 401, "multiple authorization payloads", notTheirs + "multiple_auth"},
		{"auth header without a key", "/otlp/v1/logs", logsBody(aLogRecord), with("X-Sentry-Auth", "sentry sentry_version=7"), "", 401, "bad x-sentry-auth header", notTheirs + "bad_auth"},
		{"key of another project", "/api/2/otlp/v1/logs?key=" + testKey, logsBody(aLogRecord), js, "", 403, "event submission rejected", notTheirs + "project_id"},
		{"another signal", "/api/1/otlp/v1/profiles?key=" + testKey, "{}", js, "", 404, "no such endpoint", ""},
		{"get", otlpLogs, "", js, "GET", 405, "method not allowed", ""},
		{"no content type", otlpLogs, logsBody(aLogRecord), nil, "", 415, "unsupported content type", "unknown invalid:content_type"},
		{"text", otlpLogs, logsBody(aLogRecord), []string{"Content-Type", "text/plain"}, "", 415, "unsupported content type", "unknown invalid:content_type"},
		{"gRPC", otlpLogs, string(wire), []string{"Content-Type", "application/grpc"}, "", 415, "unsupported content type", "unknown invalid:content_type"},
		{"empty JSON", otlpLogs, " ", js, "", 400, "empty request body", "unknown invalid:no_data"},
		{"not JSON", otlpLogs, "resourceLogs", js, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"a list", otlpLogs, "[]", js, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"cut short", otlpLogs, logsBody(aLogRecord)[:70], js, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"protobuf that claims to be JSON", otlpLogs, string(wire), js, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"too deep", otlpLogs, logsBody(`{"body":` + deep + `}`), js, "", 400, "JSON is nested too deeply", "unknown invalid:json_depth"},
		{"too large", otlpLogs, logsBody(`{"body":{"stringValue":"` + strings.Repeat("x", 1<<20) + `"}}`), js, "", 413, "request body too large", "unknown invalid:too_large"},
		{"unknown encoding", otlpLogs, logsBody(aLogRecord), with("Content-Encoding", "lzma"), "", 415, "unsupported content encoding", "unknown invalid:content_encoding"},
		{"broken gzip", otlpLogs, logsBody(aLogRecord), with("Content-Encoding", "gzip"), "", 400, "request body cannot be decompressed", "unknown invalid:invalid_compression"},
		{"records that are none", otlpLogs, logsBody(`7`, `{"timeUnixNano":"soon"}`, `{"traceId":"xyz"}`), js, "", 400, "no record of the request can be read", "3× log_item invalid:invalid_record"},
		{"a bad record beside good ones", otlpLogs, logsBody(`7`, aLogRecord, anErrorLog, aVitalLog), js, "", 200, "", "error accepted, log_item accepted, log_item invalid:invalid_record, vital accepted, vital delivered"},
		{"a record too large", otlpLogs, logsBody(aLogRecord, `{"body":{"stringValue":"`+strings.Repeat("x", 200<<10)+`"}}`), js, "", 200, "", "log_item accepted, log_item invalid:invalid_record"},
		{"a bad resource", otlpLogs, `{"resourceLogs":[{"resource":{"attributes":7},"scopeLogs":[{"logRecords":[{}]}]},{"scopeLogs":[{"logRecords":[{}]}]}]}`, js, "", 200, "", "log_item accepted, log_item invalid:invalid_record"},
		{"no records", otlpLogs, "{}", js, "", 200, "", ""},
		{"a vital of nonsense", otlpLogs, logsBody(strings.Replace(aVitalLog, "468", "-1", 1)), js, "", 200, "", "vital invalid:unusable"},
		{"spans that are none", otlpTraces, spansBody(`{"spanId":5}`, `[]`), js, "", 400, "no record of the request can be read", "2× span invalid:invalid_record"},
		{"spans nobody takes", otlpTraces, spansBody(aSpan, aSpan), js, "", 200, "", "2× span filtered:no_otlp_upstream"},
		{"metrics that are none", otlpMetrics, metricsBody(`7`), with("X-Sentry-Auth", "sentry sentry_key="+testKey), "", 400, "no record of the request can be read", "trace_metric invalid:invalid_record"},
		{"metrics of all kinds", otlpMetrics + "?key=" + testKey, metricsBody(someGauge, aHistogram, manyAtOnce), js, "", 200, "", "2× trace_metric filtered:unsupported_metric, trace_metric filtered:aggregated, vital accepted, vital delivered"},
		{"more records than anybody sends", otlpLogs, logsBody(strings.Repeat("{},", 5004) + "{}"), js, "", 200, "", "5000× log_item accepted, 5× log_item invalid:too_many"},
	})
}

// Refusals of protobuf requests are google.rpc.Status in protobuf, and readable
// by a page all the same; success is an empty Export…ServiceResponse.
func TestOTLPAnswers(t *testing.T) {
	a, _ := inProcess(t, oneProject)
	send := func(contentType, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, otlpLogs, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Origin", "https://shop.example")
		w := httptest.NewRecorder()
		a.edge.ServeHTTP(w, r)
		return w
	}
	for _, tt := range []struct{ name, contentType, body, hex, json string }{
		{name: "no bytes of protobuf are a request", contentType: anyProtobuf},
		{name: "empty JSON object", contentType: "application/json; charset=utf-8", body: "{}", json: "{}"},
		{name: "cut protobuf", contentType: anyProtobuf, body: "\x0a\x05ab", hex: "0803" + "1215" + hex.EncodeToString([]byte("invalid protobuf data"))},
		{name: "partial success", contentType: "application/json", body: logsBody(aLogRecord, "7", "8"), json: `{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"records could not be read, or were too many"}}`},
		{name: "partial success in protobuf", contentType: anyProtobuf, body: "\x0a\x09\x12\x07\x12\x02\x1a\x00\x12\x01\xff", hex: "0a2f" + "0801" + "122b" + hex.EncodeToString([]byte("records could not be read, or were too many"))},
	} {
		w := send(tt.contentType, tt.body)
		got, want := w.Body.String(), tt.json
		if tt.json == "" {
			got, want = hex.EncodeToString(w.Body.Bytes()), tt.hex
		}
		if typ, _, _ := strings.Cut(tt.contentType, ";"); got != want || w.Header().Get("Content-Type") != typ {
			t.Errorf("%s: %d %s %s, want %s", tt.name, w.Code, w.Header().Get("Content-Type"), got, want)
		}
		if refused := tt.name == "cut protobuf"; refused != (w.Code == 400) || refused && w.Header().Get("X-Sentry-Error") == "" {
			t.Errorf("%s: %d %v", tt.name, w.Code, w.Header())
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "https://shop.example" {
			t.Errorf("%s: %v", tt.name, w.Header())
		}
	}
}

func otlpText(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func attrs(pairs ...string) (list []*commonpb.KeyValue) {
	for i := 0; i+1 < len(pairs); i += 2 {
		list = append(list, &commonpb.KeyValue{Key: pairs[i], Value: otlpText(pairs[i+1])})
	}
	return list
}

const v8Stack = "TypeError: cart is undefined\n    at pay (https://shop.example/assets/app.js:10:5)\n    at HTMLButtonElement.onclick (https://shop.example/assets/app.js:20:7)"

// Logs, spans and metrics in both encodings, compressed, through a real process
// with both kinds of upstream: exceptions arrive as events with frames, logs as
// logs, spans at the OTLP upstream as they were, scrubbed; what OTLP's retries
// send again has the same event ids.
func TestOTLPThroughTheProcess(t *testing.T) {
	up, traces := startUpstream(t, relaytest.Options{}), otlpUpstream(t)
	config := strings.Replace(fmt.Sprintf(faroConfig, up.DSN("5"), traces.URL()), "scrub: {defaults: false, ip: false}", "scrub: {defaults: true, email: true}", 1)
	g := newGateway(t, config).start()
	res := &resourcepb.Resource{Attributes: attrs("service.name", "shop-web", "service.version", "shop@1.4.2", "deployment.environment.name", "staging",
		"telemetry.sdk.language", "webjs", "user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) Firefox/143.0")}
	trace, span := bytes.Repeat([]byte{0xab}, 16), bytes.Repeat([]byte{0xcd}, 8)
	at := uint64(time.Now().Add(-time.Hour).UnixNano())
	exception := attrs("exception.type", "TypeError", "exception.message", "cart is undefined", "exception.stacktrace", v8Stack)
	logs := &logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{{Resource: res, ScopeLogs: []*logspb.ScopeLogs{{
		Scope: &commonpb.InstrumentationScope{Name: "@opentelemetry/browser-instrumentation/errors"},
		LogRecords: []*logspb.LogRecord{
			{
				TimeUnixNano: at, SeverityNumber: 17, EventName: "exception", TraceId: trace, SpanId: span,
				Attributes: append(attrs("url.full", "https://shop.example/cart", "session.id", "s-1", "user.id", "u-9", "cart.size", "7"), exception...),
			},
			{TimeUnixNano: at, SeverityNumber: 13, Body: otlpText("slow answer for kim@example.com"), TraceId: trace, Attributes: attrs("password", "hunter2", "peer", "api")},
			{EventName: "browser.web_vital", Attributes: append(attrs("browser.web_vital.name", "cls", "browser.web_vital.id", "v5-cls", "url.full", "https://shop.example/product/42"),
				&commonpb.KeyValue{Key: "browser.web_vital.value", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: 0.05}}})},
		},
	}}}}}
	spans := &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{Resource: res, ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{
		{
			TraceId: trace, SpanId: span, Name: "POST /pay", Kind: tracepb.Span_SPAN_KIND_CLIENT, StartTimeUnixNano: at, EndTimeUnixNano: at + 5,
			Attributes: attrs("password", "hunter2", "url.full", "https://shop.example/pay"),
			Events:     []*tracepb.Span_Event{{Name: "exception", TimeUnixNano: at, Attributes: exception}, {Name: "retry"}},
		},
		{TraceId: trace, SpanId: bytes.Repeat([]byte{0xef}, 8), Name: "render", StartTimeUnixNano: at},
	}}}}}}
	one := 350.0
	metrics := &metricspb.MetricsData{ResourceMetrics: []*metricspb.ResourceMetrics{{Resource: res, ScopeMetrics: []*metricspb.ScopeMetrics{{Metrics: []*metricspb.Metric{
		{Name: "web_vitals.inp", Unit: "ms", Data: &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{DataPoints: []*metricspb.HistogramDataPoint{{StartTimeUnixNano: at, Count: 1, Sum: &one}}}}},
	}}}}}}
	post := func(signal, contentType string, body []byte, headers ...string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, "http://"+g.public+"/api/1/integration/otlp/v1/"+signal, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("X-Sentry-Auth", "sentry sentry_key="+testKey)
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != contentType {
			t.Fatalf("%s: %d %v", signal, resp.StatusCode, resp.Header)
		}
	}
	for signal, m := range map[string]proto.Message{"logs": logs, "traces": spans, "metrics": metrics} {
		wire, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		text, err := schemas.MarshalOTLP(m)
		if err != nil {
			t.Fatal(err)
		}
		post(signal, "application/x-protobuf", []byte(gzipped(string(wire))), "Content-Encoding", "gzip")
		post(signal, "application/json", text)
		post(signal, "application/json", text) // as exporters do when an answer was lost
	}
	eventually(t, 30*time.Second, g.emptySpool)
	events, logItems := map[string]int{}, 0
	for _, r := range up.Taken() {
		for _, it := range r.Items {
			switch it.Header.Type {
			case "event":
				ev, err := schemas.ParseEvent(it.Payload)
				if err != nil {
					t.Fatal(err)
				}
				events[ev.EventID()]++
				checkOTLPEvent(t, ev)
			case "log":
				logItems++
				if s := string(it.Payload); strings.Contains(s, "hunter2") || strings.Contains(s, "kim@example.com") || !strings.Contains(s, "slow answer for") || !strings.Contains(s, `"trace_id":"`+strings.Repeat("ab", 16)) {
					t.Errorf("log %s", s)
				}
			case "otlp_spans":
				t.Error("spans reached an upstream that is no OTLP server")
			}
		}
	}
	if len(events) != 4 || logItems != 3 { // two exceptions in each of two encodings
		t.Errorf("%d different events, %d log containers", len(events), logItems)
	}
	repeated := 0
	for _, n := range events {
		if n == 2 {
			repeated++
		}
	}
	if repeated != 2 {
		t.Errorf("%v: a repeat has other event ids", events)
	}
	want := map[string]int{"shop-web POST /pay " + strings.Repeat("ab", 16) + " " + strings.Repeat("cd", 8): 3, "shop-web render " + strings.Repeat("ab", 16) + " " + strings.Repeat("ef", 8): 3}
	if err := sameCounts("spans", want, spansAt(t, traces)); err != nil {
		t.Error(err)
	}
	for _, r := range traces.Taken() {
		if bytes.Contains(r.Body, []byte("hunter2")) || !bytes.Contains(r.Body, []byte("exception")) {
			t.Errorf("what left is not scrubbed, or lost its events: %q", r.Body)
		}
	}
	eventually(t, 20*time.Second, func() error {
		text := g.scrape()
		cls := sumSeries(text, "web_vitals_cls_count{", `route="/product/:id"`, `environment="staging"`)
		inp, sum := sumSeries(text, "web_vitals_inp_seconds_count{"), sumSeries(text, "web_vitals_inp_seconds_sum{")
		if cls != 1 || inp != 1 || sum != 0.35 {
			return fmt.Errorf("CLS %v times, INP %v times, in all %v s; each was sent three times", cls, inp, sum)
		}
		if off := imbalance(text); off != 0 {
			return fmt.Errorf("the ledger is off by %v", off)
		}
		return nil
	})
}

// Spans have the spool's promise: acknowledged, they outlive an upstream that
// is away and a kill -9, and do not keep the errors beside them waiting.
func TestSpansOutliveOutageAndKill(t *testing.T) {
	up, traces := startUpstream(t, relaytest.Options{}), otlpUpstream(t)
	traces.Always(relaytest.Status(503))
	g := newGateway(t, fmt.Sprintf(faroConfig, up.DSN("5"), traces.URL())).start()
	span := strings.Replace(aSpan, `"kind":3`, `"events":[{"name":"exception","attributes":[{"key":"exception.type","value":{"stringValue":"E"}}]}]`, 1)
	resp, err := http.Post("http://"+g.public+otlpTraces, "application/json", strings.NewReader(spansBody(span)))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("answered %d", resp.StatusCode)
	}
	eventually(t, 20*time.Second, func() error {
		if up.Totals().Items["event"] != 1 || traces.Totals().Requests == 0 {
			return fmt.Errorf("%v at the error's upstream, %d attempts at the other", up.Totals().Items, traces.Totals().Requests)
		}
		return nil
	})
	if n := sumSeries(g.scrape(), "breakwater_items_in_spool{", `category="span"`); n != 1 {
		t.Errorf("%v spans wait", n)
	}
	g.kill()
	traces.Relent()
	g.start()
	eventually(t, 30*time.Second, func() error {
		if err := g.emptySpool(); err != nil {
			return err
		}
		return sameCounts("spans", map[string]int{" GET " + strings.Repeat("ab", 16) + " " + strings.Repeat("cd", 8): 1}, spansAt(t, traces))
	})
}

func checkOTLPEvent(t *testing.T, ev *schemas.Event) {
	t.Helper()
	ex, _ := ev.FirstException()
	trace, _ := ev.Path("contexts", "trace", "trace_id")
	if ex.Type != "TypeError" || ex.Value != "cart is undefined" || ex.Stack.Len() != 2 || ex.Stack.Frame(1).Function != "pay" || ex.Stack.Frame(1).Lineno != 10 || ex.Stack.Frame(1).Filename != "/assets/app.js" ||
		ev.Release() != "shop@1.4.2" || ev.Environment() != "staging" || ev.Platform() != "javascript" || !strings.Contains(ev.UserAgent(), "Firefox") || string(trace) != `"`+strings.Repeat("ab", 16)+`"` {
		t.Errorf("event %s", ev.Bytes())
	}
	if at, ok := ev.Timestamp(); !ok || time.Since(at) < 50*time.Minute {
		t.Errorf("it happened at %v", at)
	}
	switch url := ev.RequestURL(); url {
	case "https://shop.example/cart": // nobody caught it, says who recorded it
		var tags struct{ Tags map[string]string }
		if !ev.IsUnhandledCrash() || json.Unmarshal(ev.Bytes(), &tags) != nil || tags.Tags["session.id"] != "s-1" || tags.Tags["service.name"] != "shop-web" {
			t.Errorf("event %s", ev.Bytes())
		}
	case "https://shop.example/pay":
		if _, known := ev.Handled(); known {
			t.Error("a span does not say whether it was caught")
		}
	default:
		t.Errorf("the page is %q", url)
	}
}
