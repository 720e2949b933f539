package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// faroConfig has both kinds of upstream, and counts the capture's headless browser.
const faroConfig = `server: {listen: "LISTEN", admin_listen: "ADMIN"}
spool: {dir: "DATA/spool", min_free: 0B}
limits: {per_ip: {rate: 100000/s, burst: 100000}}
scrub: {defaults: false, ip: false}
vitals: {settle: 1s, count_bots: true}
projects:
  - id: 1
    name: shop
    keys: [{public: ` + testKey + `}]
    upstreams:
      - {type: sentry, dsn: "%s"}
      - {type: otlp, url: "%s", headers: {x-api-key: topsecret}}
    filters: {browser_extensions: false, web_crawlers: false}
    storm: {then_one_in: 1}
    limits: {per_key: {rate: 100000/s, burst: 100000}}
`

// otlpUpstream records what an OTLP server gets.
func otlpUpstream(t *testing.T) *relaytest.Upstream {
	return startUpstream(t, relaytest.Options{Raw: true, Answer: func(*relaytest.Request) string { return "" }})
}

// spansAt are the spans that an OTLP upstream took, by name, and the service
// they came from.
func spansAt(t *testing.T, up *relaytest.Upstream) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for _, r := range up.Taken() {
		if r.Path != "/v1/traces" || r.Header.Get("X-Api-Key") != "topsecret" {
			t.Errorf("a request to %s with %v", r.Path, r.Header)
		}
		var data tracepb.TracesData
		if err := proto.Unmarshal(r.Body, &data); err != nil {
			t.Fatal(err)
		}
		for _, rs := range data.GetResourceSpans() {
			service := schemas.OTLPText(schemas.OTLPAttribute(rs.GetResource().GetAttributes(), "service.name"))
			for _, ss := range rs.GetScopeSpans() {
				for _, s := range ss.GetSpans() {
					seen[fmt.Sprintf("%s %s %x %x", service, s.GetName(), s.GetTraceId(), s.GetSpanId())]++
				}
			}
		}
	}
	return seen
}

// Every captured Faro payload goes through a real process, twice where the SDK
// sent it twice: each exception arrives as an event with its frames, each log
// and event as a log, each span at the OTLP upstream, each vital in its
// histogram, once.
func TestReplayOfFaro(t *testing.T) {
	up, traces := startUpstream(t, relaytest.Options{}), otlpUpstream(t)
	g := newGateway(t, fmt.Sprintf(faroConfig, up.DSN("5"), traces.URL())).start()
	list := loadFixtures(t, func(f fixture) bool { return strings.HasPrefix(f.Dir, "faro/") && f.Method == http.MethodPost })
	if len(list) < 40 {
		t.Fatalf("only %d fixtures", len(list))
	}
	want, wantSpans, vitals := map[string]int{}, map[string]int{}, map[string]float64{}
	seen, repeats := map[string]bool{}, 0
	for _, f := range list {
		body := f.body(t)
		h := f.headers(t)
		h.Set("X-Api-Key", testKey)
		req, err := http.NewRequest(http.MethodPost, "http://"+g.public+"/api/1/faro/", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = h
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted || len(answer) > 0 {
			t.Errorf("%s: answered %d %s", f.Dir, resp.StatusCode, answer)
		}
		if h.Get("Content-Encoding") == "gzip" {
			body = gunzip(t, body)
		}
		if seen[h.Get("Idempotency-Key")+string(body)] {
			repeats++
			continue
		}
		seen[h.Get("Idempotency-Key")+string(body)] = true
		expectFaro(t, body, want, wantSpans, vitals)
	}
	if repeats == 0 || len(want) < 50 || len(wantSpans) == 0 || len(vitals) < 5*len(webVitalFamilies)-5 {
		t.Fatalf("the capture has %d repeats, %d events and logs, %d spans, %d vitals", repeats, len(want), len(wantSpans), len(vitals))
	}
	eventually(t, 60*time.Second, func() error {
		if err := g.emptySpool(); err != nil {
			return err
		}
		return sameCounts("spans", wantSpans, spansAt(t, traces))
	})
	got := map[string]int{}
	for _, r := range up.Taken() {
		for _, it := range r.Items {
			switch it.Header.Type {
			case "event":
				ev, err := schemas.ParseEvent(it.Payload)
				if err != nil {
					t.Fatal(err)
				}
				got[faroEvent(ev)]++
			case "log":
				c, err := schemas.ParseContainer(it.Payload)
				if n, _ := it.Header.ItemCount(); err != nil || n != len(c.Items) {
					t.Fatalf("%d logs announced: %v", n, err)
				}
				for _, l := range c.Items {
					got[faroLog(l)]++
				}
			case "client_report":
			default:
				t.Errorf("an item of type %s", it.Header.Type)
			}
		}
	}
	if err := sameCounts("events and logs", want, got); err != nil {
		t.Error(err)
	}
	byVital := map[string]float64{}
	for key, value := range vitals {
		name, _, _ := strings.Cut(key, " ")
		byVital[name]++
		byVital[name+" sum"] += value
	}
	eventually(t, 30*time.Second, func() error {
		text := g.scrape()
		for name, family := range webVitalFamilies {
			if n := sumSeries(text, family+"_count{"); n != byVital[name] {
				return fmt.Errorf("%v observations of %s, want %v", n, name, byVital[name])
			}
			div := 1000.0
			if name == "cls" {
				div = 1
			}
			if sum := sumSeries(text, family+"_sum{"); sum < byVital[name+" sum"]/div-1e-6 || sum > byVital[name+" sum"]/div+1e-6 {
				return fmt.Errorf("%s adds up to %v, want %v", name, sum, byVital[name+" sum"]/div)
			}
		}
		if off := imbalance(text); off != 0 {
			return fmt.Errorf("the ledger is off by %v", off)
		}
		return nil
	})
	if n := g.outcomes(`reason="duplicate"`); n != float64(repeats) {
		t.Errorf("%v repeats counted, want %d", n, repeats)
	}
	t.Logf("%d requests, %d of them repeats; %d kinds of events and logs, %d spans, %d vitals", len(list), repeats, len(want), len(wantSpans), len(vitals))
}

var webVitalFamilies = map[string]string{
	"lcp": "web_vitals_lcp_seconds", "inp": "web_vitals_inp_seconds", "cls": "web_vitals_cls", "fcp": "web_vitals_fcp_seconds", "ttfb": "web_vitals_ttfb_seconds",
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	return b
}

// expectFaro notes what a payload must become, read by plain means.
func expectFaro(t *testing.T, body []byte, want, spans map[string]int, vitals map[string]float64) {
	t.Helper()
	var p struct {
		Meta struct {
			App     struct{ Version, Release, Environment string }
			Page    struct{ URL string }
			Session struct{ ID string }
			User    struct{ ID string }
		}
		Exceptions []struct {
			Type, Value, Timestamp string
			Stacktrace             struct {
				Frames []struct {
					Filename, Function string
					Lineno, Colno      int
				}
			}
		}
		Logs         []struct{ Message, Level, Timestamp string }
		Events       []struct{ Name, Timestamp string }
		Measurements []struct {
			Type    string
			Values  map[string]float64
			Context map[string]string
		}
		Traces json.RawMessage
	}
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatal(err)
	}
	for _, ex := range p.Exceptions {
		var frames []string
		for _, f := range slices.Backward(ex.Stacktrace.Frames) {
			frames = append(frames, fmt.Sprintf("%s@%s:%d:%d", f.Function, f.Filename, f.Lineno, f.Colno))
		}
		want[strings.Join(append([]string{
			"event", ex.Type, ex.Value, stampOf(t, ex.Timestamp), p.Meta.App.Version, p.Meta.App.Release, p.Meta.App.Environment, p.Meta.Page.URL, p.Meta.Session.ID, p.Meta.User.ID,
		}, frames...), "|")]++
	}
	for _, l := range p.Logs {
		want[strings.Join([]string{"log", l.Message, l.Level, stampOf(t, l.Timestamp), p.Meta.App.Version, p.Meta.Session.ID}, "|")]++
	}
	for _, e := range p.Events {
		want[strings.Join([]string{"log", e.Name, "info", stampOf(t, e.Timestamp), p.Meta.App.Version, p.Meta.Session.ID}, "|")]++
	}
	for _, m := range p.Measurements {
		if m.Type != "web-vitals" {
			want[strings.Join([]string{"measurement", m.Type, p.Meta.App.Version, p.Meta.Session.ID}, "|")]++
			continue
		}
		for name := range webVitalFamilies {
			if v, ok := m.Values[name]; ok {
				vitals[name+" "+m.Context["id"]] = v
			}
		}
	}
	if len(p.Traces) == 0 {
		return
	}
	var data struct {
		ResourceSpans []struct {
			Resource struct {
				Attributes []struct {
					Key   string
					Value struct{ StringValue string }
				}
			}
			ScopeSpans []struct {
				Spans []struct{ Name, TraceID, SpanID string }
			}
		}
	}
	if err := json.Unmarshal(p.Traces, &data); err != nil {
		t.Fatal(err)
	}
	for _, rs := range data.ResourceSpans {
		service := ""
		for _, a := range rs.Resource.Attributes {
			if a.Key == "service.name" {
				service = a.Value.StringValue
			}
		}
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				spans[fmt.Sprintf("%s %s %s %s", service, s.Name, s.TraceID, s.SpanID)]++
			}
		}
	}
}

func stampOf(t *testing.T, s string) string {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%.3f", float64(at.UnixMilli())/1000)
}

func faroEvent(ev *schemas.Event) string {
	ex, _ := ev.FirstException()
	at, _ := ev.Timestamp()
	tag := func(name string) string { v, _ := ev.Path("tags", name); s, _ := schemas.UnquoteString(v); return s }
	user, _ := ev.Path("user", "id")
	id, _ := schemas.UnquoteString(user)
	list := []string{"event", ex.Type, ex.Value, fmt.Sprintf("%.3f", float64(at.UnixMilli())/1000), ev.Release(), ev.Dist(), ev.Environment(), ev.RequestURL(), tag("session.id"), id}
	for _, f := range ex.Stack.Frames() {
		name := f.AbsPath
		if name == "" {
			name = f.Filename
		}
		list = append(list, fmt.Sprintf("%s@%s:%d:%d", f.Function, name, f.Lineno, f.Colno))
	}
	return strings.Join(list, "|")
}

func faroLog(raw []byte) string {
	var l struct {
		Timestamp   float64
		Level, Body string
		TraceID     string `json:"trace_id"`
		Attributes  map[string]struct{ Value any }
	}
	if err := json.Unmarshal(raw, &l); err != nil || len(l.TraceID) != 32 {
		return fmt.Sprintf("%v %s", err, raw)
	}
	attr := func(name string) string { s, _ := l.Attributes[name].Value.(string); return s }
	if attr("faro.kind") == "measurement" {
		return strings.Join([]string{"measurement", attr("measurement.type"), attr("sentry.release"), attr("session.id")}, "|")
	}
	return strings.Join([]string{"log", l.Body, l.Level, fmt.Sprintf("%.3f", l.Timestamp), attr("sentry.release"), attr("session.id")}, "|")
}

// sameCounts compares what arrived with what was sent.
func sameCounts(what string, want, got map[string]int) error {
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			faults = append(faults, fmt.Errorf("%s: %.300s: %d times, want %d", what, key, got[key], want[key]))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if want[key] == 0 {
			faults = append(faults, fmt.Errorf("%s: nobody sent %.300s", what, key))
		}
	}
	return errors.Join(faults[:min(len(faults), 10)]...)
}

// Every captured beacon of the web-vitals library goes through a real process,
// twice: each metric id is in its histogram once, with its last value.
func TestReplayOfBeacons(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, fmt.Sprintf(faroConfig, up.DSN("5"), up.URL())).start()
	list := loadFixtures(t, func(f fixture) bool { return strings.HasPrefix(f.Dir, "web-vitals/") && f.Method == http.MethodPost })
	if len(list) < 40 {
		t.Fatalf("only %d fixtures", len(list))
	}
	ids, entries := map[string]map[string]bool{}, 0
	for range 2 {
		for _, f := range list {
			body := f.body(t)
			req, err := http.NewRequest(http.MethodPost, "http://"+g.public+"/api/1/vitals/?key="+testKey, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header = f.headers(t)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusNoContent || resp.Header.Get("Access-Control-Allow-Origin") != req.Header.Get("Origin") {
				t.Errorf("%s: answered %d %v", f.Dir, resp.StatusCode, resp.Header)
			}
			b, rejected, err := schemas.DecodeBeacon(body, req.Header.Get("Content-Type"), url.Values{})
			if err != nil || len(rejected) > 0 {
				t.Fatalf("%s: %v %v", f.Dir, rejected, err)
			}
			for _, v := range b.Vitals {
				name := strings.ToLower(v.Name)
				if ids[name] == nil {
					ids[name] = map[string]bool{}
				}
				ids[name][v.ID] = true
				entries++
			}
		}
	}
	want := map[string]float64{}
	for name, seen := range ids {
		want[name] = float64(len(seen))
	}
	eventually(t, 30*time.Second, func() error { return g.counted(want) })
	if n := g.outcomes(`category="vital"`, `outcome="delivered"`); n != float64(entries) {
		t.Errorf("%v entries counted, %d sent", n, entries)
	}
	t.Logf("%d requests, %d entries, observations %v", 2*len(list), entries, want)
}
