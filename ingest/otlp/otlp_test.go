package otlp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater/ingest"
	"breakwater/schemas"
)

var arrived = time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)

func request() *ingest.Request {
	return &ingest.Request{
		Project: &ingest.Project{ID: 1, Name: "shop", OTLP: []string{"tempo"}}, ReceivedAt: arrived, UserAgent: "Mozilla/5.0 (X)",
		Header: http.Header{"Content-Type": {"application/json"}},
	}
}

func must(t *testing.T, p *Protocol, body string) *ingest.Batch {
	t.Helper()
	b, err := p.Decode(t.Context(), request(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fates lists the items of a batch with what became of them.
func fates(b *ingest.Batch) string {
	var list []string
	for _, it := range b.Items {
		s := fmt.Sprintf("%d %s", it.Quantity, it.Header.Type)
		if !it.Alive() {
			s += " " + string(it.Outcome) + ":" + it.Reason
		}
		list = append(list, s)
	}
	return strings.Join(list, ", ")
}

func attribute(key, value string) string {
	return `{"key":"` + key + `","value":` + value + `}`
}

func text(s string) string { return `{"stringValue":"` + s + `"}` }

func logs(resource, record string) string {
	return `{"resourceLogs":[{"resource":{"attributes":[` + resource + `]},"scopeLogs":[{"scope":{"name":"s"},"logRecords":[` + record + `]}]}]}`
}

// What the conventions call it, and what it becomes.
func TestEvents(t *testing.T) {
	const exception = `{"key":"exception.type","value":{"stringValue":"E"}},{"key":"exception.message","value":{"stringValue":"m"}}`
	for _, tt := range []struct{ name, resource, record, path, want string }{
		{"level of the record", "", `"severityNumber":21,"attributes":[` + exception + `]`, "level", "fatal"},
		{"an exception is an error", "", `"attributes":[` + exception + `]`, "level", "error"},
		{"a warning", "", `"severityNumber":13,"attributes":[` + exception + `]`, "level", "warning"},
		{"trace", "", `"severityNumber":1,"attributes":[` + exception + `]`, "level", "debug"},
		{"observed time", "", `"observedTimeUnixNano":"1795470393917000000","attributes":[` + exception + `]`, "timestamp", "2026-11-23T21:46:33.917Z"},
		{"no time", "", `"attributes":[` + exception + `]`, "timestamp", "2026-11-24T03:00:00Z"},
		{"release", attribute("service.version", text("1.2")), `"attributes":[` + exception + `]`, "release", "1.2"},
		{"environment", attribute("deployment.environment", text("qa")), `"attributes":[` + exception + `]`, "environment", "qa"},
		{"the newer name wins", attribute("deployment.environment", text("qa")) + "," + attribute("deployment.environment.name", text("prod")), `"attributes":[` + exception + `]`, "environment", "prod"},
		{"the record's own win", attribute("service.version", text("1")), `"attributes":[` + attribute("service.version", text("2")) + "," + exception + `]`, "release", "2"},
		{"platform", attribute("telemetry.sdk.language", text("webjs")), `"attributes":[` + exception + `]`, "platform", "javascript"},
		{"platform of Python", attribute("telemetry.sdk.language", text("python")), `"attributes":[` + exception + `]`, "platform", "python"},
		{"platform unknown", "", `"attributes":[` + exception + `]`, "platform", "other"},
		{"a page's browser is the request's", attribute("telemetry.sdk.language", text("webjs")), `"attributes":[` + exception + `]`, "request.headers.User-Agent", "Mozilla/5.0 (X)"},
		{"user", "", `"attributes":[` + attribute("enduser.id", text("u1")) + "," + exception + `]`, "user.id", "u1"},
		{"user as number", "", `"attributes":[` + attribute("user.id", `{"intValue":"7"}`) + "," + exception + `]`, "user.id", "7"},
		{"tag", attribute("service.name", text("web")), `"attributes":[` + exception + `]`, "tags.service.name", "web"},
		{"other attributes", "", `"attributes":[` + attribute("cart", `{"kvlistValue":{"values":[`+attribute("n", `{"intValue":3}`)+`]}}`) + "," + exception + `]`, "contexts.otel.cart.n", "3"},
		{"the body", "", `"body":` + text("while paying") + `,"attributes":[` + exception + `]`, "contexts.otel.body", "while paying"},
		{"a stack nobody can read", "", `"attributes":[` + attribute("exception.stacktrace", text("Traceback: x")) + "," + exception + `]`, "contexts.crash_report.stack", "Traceback: x"},
		{"type from the stack", "", `"attributes":[` + attribute("exception.stacktrace", text(`RangeError: far\n    at f (https://a.example/b.js:1:2)`)) + `]`, "exception.0.type", "RangeError"},
		{"an escaped exception", "", `"attributes":[` + attribute("exception.escaped", `{"boolValue":true}`) + "," + exception + `]`, "exception.0.mechanism.type", "onerror"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := must(t, Logs(), logs(tt.resource, "{"+tt.record+"}"))
			if got := fates(b); got != "1 event" {
				t.Fatal(got)
			}
			raw, _ := b.Items[0].InMemory()
			var m any
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			path := strings.Split(strings.Replace(tt.path, "service.name", "service\x00name", 1), ".")
			for _, p := range path {
				switch x := m.(type) {
				case map[string]any:
					m = x[strings.Replace(p, "\x00", ".", 1)]
				case []any:
					m = x[0]
				}
			}
			if got := fmt.Sprint(m); got != tt.want {
				t.Errorf("%s is %q, want %q", tt.path, got, tt.want)
			}
		})
	}
}

func TestVitals(t *testing.T) {
	new := `{"eventName":"browser.web_vital","body":{"stringValue":"{\"target\":\"#hero\"}"},"traceId":"abababababababababababababababab","attributes":[` + strings.Join([]string{
		attribute("browser.web_vital.name", text("lcp")), attribute("browser.web_vital.value", `{"doubleValue":468.5}`), attribute("browser.web_vital.delta", `{"intValue":8}`),
		attribute("browser.web_vital.id", text("v5-1")), attribute("browser.web_vital.navigation_type", text("navigate")), attribute("url.full", text("https://shop.example/a")),
	}, ",") + `]}`
	old := `{"attributes":[` + attribute("event.name", text("browser.web_vital")) + `],"body":{"kvlistValue":{"values":[` +
		attribute("name", text("CLS")) + "," + attribute("value", `{"doubleValue":0.1}`) + "," + attribute("id", text("v3-1")) + `]}}}`
	rubbish := `{"eventName":"browser.web_vital","attributes":[` + attribute("browser.web_vital.id", text(strings.Repeat("x", 200))) + `]}`
	b := must(t, Logs(), logs(attribute("service.version", text("1.2")), strings.Join([]string{new, old, rubbish}, ",")))
	if len(b.Items) != 0 || len(b.Beacons) != 2 {
		t.Fatalf("%s, %d beacons", fates(b), len(b.Beacons))
	}
	want := []*schemas.Beacon{
		{
			Source: "otlp", URL: "https://shop.example/a", Release: "1.2", TraceID: strings.Repeat("ab", 16),
			Vitals: []schemas.Vital{{Name: "LCP", Value: 468.5, HasValue: true, Delta: 8, ID: "v5-1", NavigationType: "navigate", Attribution: `{"target":"#hero"}`}},
		},
		{Source: "otlp", Release: "1.2", Vitals: []schemas.Vital{{Name: "CLS", Value: 0.1, HasValue: true, ID: "v3-1"}, {ID: strings.Repeat("x", 200), Rejected: schemas.RejectedBadID}}},
	}
	if diff := cmp.Diff(want, b.Beacons); diff != "" {
		t.Error(diff)
	}
}

// A data point is taken where its values are known, and is the same
// measurement however often it is exported.
func TestMetrics(t *testing.T) {
	point := func(name, unit, rest string) string {
		return `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"` + name + `","unit":"` + unit + `",` + rest + `}]}]}]}`
	}
	one := func(p string) string { return `"histogram":{"dataPoints":[{"startTimeUnixNano":"5",` + p + `}]}` }
	for _, tt := range []struct{ name, body, vitals, fates string }{
		{"one measurement", point("web_vitals.lcp", "ms", one(`"count":"1","sum":468`)), "LCP 468", ""},
		{"in seconds", point("browser.web_vital.INP", "s", one(`"count":"1","sum":0.25`)), "INP 250", ""},
		{"CLS has no unit", point("webvitals_cls", "s", one(`"count":"1","sum":0.25`)), "CLS 0.25", ""},
		{"name alone", point("ttfb", "", one(`"count":"1","sum":80`)), "TTFB 80", ""},
		{"exponential", point("web_vitals.fcp", "ms", strings.Replace(one(`"count":"1","sum":90`), "histogram", "exponentialHistogram", 1)), "FCP 90", ""},
		{"equal measurements", point("web_vitals.cls", "", one(`"count":"2","sum":0,"min":0,"max":0`)), "CLS 0 CLS 0", ""},
		{"different ones", point("web_vitals.cls", "", one(`"count":"2","sum":1,"min":0,"max":1`)), "", "1 trace_metric filtered:aggregated"},
		{"equal, but more than anybody measures", point("web_vitals.cls", "", one(`"count":"1000000","sum":0,"min":0,"max":0`)), "", "1 trace_metric filtered:aggregated"},
		{"no measurement", point("web_vitals.cls", "", one(`"count":"0"`)), "", "1 trace_metric filtered:no_measurement"},
		{"no sum", point("web_vitals.cls", "", one(`"count":"1"`)), "", "1 trace_metric filtered:aggregated"},
		{"another histogram", point("http.duration", "ms", one(`"count":"1","sum":5`)), "", "1 trace_metric filtered:unsupported_metric"},
		{"a name that only ends so", point("memory.lcp", "ms", one(`"count":"1","sum":5`)), "", "1 trace_metric filtered:unsupported_metric"},
		{"a gauge of a vital", point("web_vitals.lcp", "ms", `"gauge":{"dataPoints":[{"asDouble":5}]}`), "", "1 trace_metric filtered:unsupported_metric"},
		{"a sum", point("clicks", "", `"sum":{"dataPoints":[{"asInt":"5"},{"asInt":"6"}]}`), "", "2 trace_metric filtered:unsupported_metric"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := must(t, Metrics(), tt.body)
			var got []string
			for _, bc := range b.Beacons {
				for _, v := range bc.Vitals {
					if v.ID == "" || !v.HasValue {
						t.Errorf("%+v", v)
					}
					got = append(got, fmt.Sprintf("%s %v", v.Name, v.Value))
				}
			}
			if s := strings.Join(got, " "); s != tt.vitals || fates(b) != tt.fates {
				t.Errorf("got %q and %q, want %q and %q", s, fates(b), tt.vitals, tt.fates)
			}
		})
	}
	id := func(body string) string { return must(t, Metrics(), body).Beacons[0].Vitals[0].ID }
	a := id(point("web_vitals.lcp", "ms", one(`"count":"1","sum":468`)))
	if a != id(point("web_vitals.lcp", "ms", one(`"count":"1","sum":468,"timeUnixNano":"9"`))) {
		t.Error("exported again it is another measurement")
	}
	if a == id(point("web_vitals.lcp", "ms", one(`"count":"1","sum":468,"attributes":[`+attribute("page", text("/a"))+`]`))) {
		t.Error("two series are one measurement")
	}
}

// Spans keep their place and their bytes' meaning; their exceptions become events.
func TestSpans(t *testing.T) {
	span := func(name, events string) string {
		return `{"traceId":"abababababababababababababababab","spanId":"cdcdcdcdcdcdcdcd","name":"` + name + `","events":[` + events + `]}`
	}
	exception := `{"name":"exception","timeUnixNano":"1795470393917000000","attributes":[` + attribute("exception.type", text("E")) + `]}`
	body := `{"resourceSpans":[{"resource":{"attributes":[` + attribute("service.version", text("1.2")) + `]},"scopeSpans":[{"scope":{"name":"a"},"spans":[` + span("one", exception+","+exception) + "," + span("two", `{"name":"retry"}`) +
		`]},{"scope":{"name":"b"},"spans":[` + span("three", "") + `]}]},{"scopeSpans":[{"spans":[` + span("four", "") + `, 7]}]}]}`
	b := must(t, Traces(), body)
	if got := fates(b); got != "1 event, 1 event, 4 otlp_spans, 1 otlp_spans invalid:invalid_record" {
		t.Fatal(got)
	}
	if a, c := b.Items[0].Event(), b.Items[1].Event(); a.EventID() == c.EventID() || a.Release() != "1.2" {
		t.Errorf("%s\n%s", a.Bytes(), c.Bytes())
	}
	raw, _ := b.Items[2].InMemory()
	var names []string
	if err := schemas.WalkOTLP(raw, true, schemas.OTLPTraces, func(r *schemas.OTLPRecord) bool {
		name, _ := schemas.Lookup(r.Bytes(), "name")
		names = append(names, r.Scope.GetName()+string(name))
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`a"one"`, `a"two"`, `b"three"`, `"four"`}, names); diff != "" {
		t.Error(diff)
	}
	err := b.Conclude(b, nil)
	if err != nil || string(b.Reply.Body) != `{"partialSuccess":{"rejectedSpans":"1","errorMessage":"records could not be read, or were too many"}}` {
		t.Errorf("%v %s", err, b.Reply.Body)
	}
}

func TestBounds(t *testing.T) {
	exception := `{"attributes":[` + attribute("exception.type", text("E")) + `]}`
	b := must(t, Logs(), logs("", strings.Repeat(exception+",", maxEvents+4)+exception))
	if b.Items[maxEvents-1].Header.Type != "event" || fates(&ingest.Batch{Items: b.Items[maxEvents:]}) != "5 event invalid:too_many" {
		t.Error(fates(&ingest.Batch{Items: b.Items[maxEvents:]}))
	}
	// A resource of many attributes under many small records makes no more than
	// a request may make.
	resource := strings.TrimSuffix(strings.Repeat(attribute("k", text(strings.Repeat("v", 4000)))+",", 30), ",")
	b = must(t, Logs(), logs(resource, strings.Repeat("{},", 4000)+"{}"))
	size := 0
	for _, it := range b.Items {
		raw, _ := it.InMemory()
		size += len(raw)
	}
	if size > maxOutput+1<<20 || !strings.Contains(fates(b), "log invalid:too_large") {
		t.Errorf("%d bytes of %s", size, fates(b))
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(logs(attribute("service.version", text("1")), `{"severityNumber":17,"attributes":[`+attribute("exception.stacktrace", text(`E: x\n    at f (https://a.example/b.js:1:2)`))+`]},{"body":`+text("x")+`}`)), true, 0)
	f.Add([]byte(`{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"abababababababababababababababab","events":[{"name":"exception","attributes":[`+attribute("exception.type", text("E"))+`]}]}]}]}]}`), true, 1)
	f.Add([]byte(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"web_vitals.lcp","histogram":{"dataPoints":[{"count":"1","sum":"NaN"}]}}]}]}]}`), true, 2)
	f.Add([]byte("\x0a\x09\x12\x07\x12\x02\x1a\x00\x12\x01\xff"), false, 0)
	signals := []*Protocol{Logs(), Traces(), Metrics()}
	f.Fuzz(func(t *testing.T, body []byte, asJSON bool, signal int) {
		req := request()
		if !asJSON {
			req.Header.Set("Content-Type", "application/x-protobuf")
		}
		b, err := signals[uint(signal)%3].Decode(t.Context(), req, bytes.NewReader(body))
		if err != nil {
			if r := ingest.AsRejection(err); r.Status >= 500 {
				t.Fatal(err)
			}
			return
		}
		for _, it := range b.Items {
			if raw, ok := it.InMemory(); it.Alive() && (!ok || it.Quantity < 1 || !json.Valid(raw)) {
				t.Fatalf("%s of %d is no JSON: %.300q", it.Header.Type, it.Quantity, raw)
			}
		}
		if err := b.Conclude(b, nil); err != nil || b.Reply == nil {
			t.Fatalf("no answer: %v", err)
		}
	})
}
