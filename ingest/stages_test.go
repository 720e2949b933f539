package ingest_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"breakwater/ingest"
	"breakwater/schemas"
)

// stage is a Stage made of a function.
type stage func(b *ingest.Batch) error

func (stage) Name() string                  { return "test" }
func (s stage) Apply(b *ingest.Batch) error { return s(b) }

// dropping drops items of the types with the outcome.
func dropping(o schemas.Outcome, reason string, types ...string) stage {
	return func(b *ingest.Batch) error {
		for _, it := range b.Items {
			if strings.Contains(strings.Join(types, " "), it.Header.Type) {
				b.Drop(it, o, reason)
			}
		}
		return nil
	}
}

func limiting(secs int, categories ...schemas.Category) stage {
	return func(b *ingest.Batch) error {
		b.Limits = append(b.Limits, schemas.RateLimit{Categories: categories, Scope: "key", Reason: "quota", Until: testTime.Add(time.Duration(secs) * time.Second)})
		return nil
	}
}

func TestVerdict(t *testing.T) {
	limitedAll := dropping(schemas.RateLimited, "quota", "event", "session")
	for _, c := range []struct {
		name       string
		stages     []ingest.Stage
		status     int
		limits     string
		retryAfter string
		books      string
		sink       string
	}{
		{"all kept", nil, 200, "", "", "web/error accepted, web/session accepted", "event session"},
		{"limits are told with a 200", []ingest.Stage{limiting(60, "transaction")}, 200, "60:transaction:key:quota", "", "web/error accepted, web/session accepted", "event session"},
		{"some limited", []ingest.Stage{dropping(schemas.RateLimited, "quota", "event"), limiting(7, "error")}, 200, "7:error:key:quota", "", "web/error rate_limited:quota, web/session accepted", "session"},
		{"all limited", []ingest.Stage{limitedAll, limiting(60, "error"), limiting(90, "session")}, 429, "60:error:key:quota, 90:session:key:quota", "90", "web/error rate_limited:quota, web/session rate_limited:quota", ""},
		{"all limited, nothing told", []ingest.Stage{limitedAll}, 429, "1::key:rate_limit", "1", "web/error rate_limited:quota, web/session rate_limited:quota", ""},
		{"all filtered", []ingest.Stage{dropping(schemas.Filtered, "localhost", "event", "session")}, 200, "", "", "web/error filtered:localhost, web/session filtered:localhost", ""},
		{"limited and filtered", []ingest.Stage{dropping(schemas.Filtered, "localhost", "event"), dropping(schemas.RateLimited, "quota", "session")}, 200, "", "", "web/error filtered:localhost, web/session rate_limited:quota", ""},
		{"suppressed", []ingest.Stage{dropping(schemas.Suppressed, "storm", "event", "session")}, 200, "", "", "web/error suppressed:storm, web/session suppressed:storm", ""},
		{"invalid by a stage is the server's business", []ingest.Stage{dropping(schemas.Invalid, "release", "event", "session")}, 200, "", "", "web/error invalid:release, web/session invalid:release", ""},
		{"stage fails", []ingest.Stage{stage(func(*ingest.Batch) error { return errors.New("no luck") })}, 500, "", "", "web/error invalid:internal, web/session invalid:internal", ""},
		{"stage panics after a drop", []ingest.Stage{dropping(schemas.Filtered, "localhost", "session"), stage(func(*ingest.Batch) error { panic("stage fell over") })}, 500, "", "", "web/error invalid:internal, web/session filtered:localhost", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t, func(o *ingest.Options) { o.Stages = c.stages })
			w := e.do(post(envelopePath, env(goodEvent, session)))
			h := w.Header()
			if w.Code != c.status || h.Get("X-Sentry-Rate-Limits") != c.limits || h.Get("Retry-After") != c.retryAfter {
				t.Errorf("status %d, limits %q, Retry-After %q: %s", w.Code, h.Get("X-Sentry-Rate-Limits"), h.Get("Retry-After"), w.Body)
			}
			if got := e.ledger.String(); got != c.books {
				t.Errorf("books: %s\n want: %s", got, c.books)
			}
			if got := e.sink.types(); got != c.sink {
				t.Errorf("sink got %q, want %q", got, c.sink)
			}
			if w.Code >= 500 && strings.Contains(w.Body.String(), "fell over") {
				t.Errorf("answer tells internals: %s", w.Body)
			}
			e.ledger.balanced(t)
		})
	}
}

// gate is a Gatekeeper made of a function.
type gate func(*ingest.Request) *ingest.Rejection

func (g gate) AllowRequest(r *ingest.Request) *ingest.Rejection { return g(r) }

func TestGate(t *testing.T) {
	var asked []string
	refuse := false
	e := newEdge(t, func(o *ingest.Options) {
		o.Gate = gate(func(r *ingest.Request) *ingest.Rejection {
			who := r.ClientIP.String()
			if r.Key != nil {
				who += " " + r.Key.Public
			}
			asked = append(asked, who)
			if !refuse {
				return nil
			}
			rej := *ingest.RejectLimited
			rej.Reason, rej.RetryAfter = "per_ip", 3500*time.Millisecond
			return &rej
		})
	})
	if w := e.do(post("/t", `{"dsn":"https://`+webKey+`@h.example/4201"}`+"\n"+goodEvent)); w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if got, want := strings.Join(asked, ", "), "203.0.113.9, invalid IP "+webKey; got != want {
		t.Errorf("a tunnel asked %q, want %q", got, want)
	}
	refuse = true
	w := e.do(post(envelopePath, env(goodEvent)))
	if w.Code != 429 || w.Header().Get("Retry-After") != "4" || w.Header().Get("X-Sentry-Rate-Limits") != "4::key:per_ip" {
		t.Errorf("status %d, headers %v", w.Code, w.Header())
	}
	if got := e.ledger.String(); got != "web/error accepted, web/unknown rate_limited:per_ip" {
		t.Errorf("books: %s", got)
	}
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name string
		r    *http.Request
		code int
		body string
		typ  string
	}{
		{"event id", post(envelopePath, env(goodEvent)), 200, `{"id":"9ec79c33ec9942ab8353589fcb2e04dc"}`, "application/json"},
		{"dashed upper case id", post(envelopePath, `{"event_id":"9EC79C33-EC99-42AB-8353-589FCB2E04DC"}`+"\n"+goodEvent), 200, `{"id":"9ec79c33ec9942ab8353589fcb2e04dc"}`, "application/json"},
		{"no event", post(envelopePath, "{}\n"+session), 200, `{}`, "application/json"},
		{"the payload's id", post(envelopePath, "{}\n"+goodEvent), 200, `{"id":"9ec79c33ec9942ab8353589fcb2e04dc"}`, "application/json"},
		{"no slash", post("/api/4201/envelope?sentry_key="+webKey, env(goodEvent)), 200, `{"id":"9ec79c33ec9942ab8353589fcb2e04dc"}`, "application/json"},
		{"many slashes", post("/api//4201///envelope///?sentry_key="+webKey, env(goodEvent)), 200, `{"id":"9ec79c33ec9942ab8353589fcb2e04dc"}`, "application/json"},
		{"tunnel with a slash", post("/t/?o=1&p=2", `{"dsn":"https://`+webKey+`@h.example/4201","event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}`+"\n"+goodEvent), 200, `{"id":"9ec79c33ec9942ab8353589fcb2e04dc"}`, "application/json"},
		{"tunnel by alias key", post("/t", `{"dsn":"https://cccccccccccccccccccccccccccccccc@o1.example/4507000000000009"}`+"\n"+session), 200, `{}`, "application/json"},
		{"tunnel by alias project", post("/t", `{"dsn":"https://dddddddddddddddddddddddddddddddd@o1.example/4507000000000001"}`+"\n"+session), 200, `{}`, "application/json"},
		{"dsn instead of a key", post("/api/4201/envelope/", `{"dsn":"https://`+webKey+`@any.host:9000/prefix/4201"}`+"\n"+session), 200, `{}`, "application/json"},
		{"dsn beside a key, another host", post(envelopePath, `{"dsn":"http://`+webKey+`@any.host/4201"}`+"\n"+session), 200, `{}`, "application/json"},
		{"basic", post("/api/4201/store/", event, "Authorization", "Basic "+basic(webKey+":")), 200, `{"id":"9ec79c33ec9942ab8353589fcb2e04dc"}`, "application/json"},
		{"basic of the site beside a key", post(storePath, event, "Authorization", "Basic "+basic("staff:pass")), 200, `{"id":"9ec79c33ec9942ab8353589fcb2e04dc"}`, "application/json"},
		{"store without project", post("/api/store/?sentry_key="+webKey, event), 200, `{"id":"9ec79c33ec9942ab8353589fcb2e04dc"}`, "application/json"},
		{"store of an envelope", post(storePath, env(goodEvent), "Content-Type", "application/x-sentry-envelope"), 200, `{"id":"9ec79c33ec9942ab8353589fcb2e04dc"}`, "application/json"},
		{"form content type", post(envelopePath, env(goodEvent), "Content-Type", "application/x-www-form-urlencoded"), 200, `{"id":"9ec79c33ec9942ab8353589fcb2e04dc"}`, "application/json"},
		{"multipart content type", post(envelopePath, env(goodEvent), "Content-Type", "multipart/form-data; boundary=x"), 200, `{"id":"9ec79c33ec9942ab8353589fcb2e04dc"}`, "application/json"},
		{"vitals", post(beaconPath, "LCP"), 204, "", ""},
		{"vitals, key in a header", post("/api/4201/vitals/", "LCP", "X-Breakwater-Key", webKey), 204, "", ""},
		{"vitals, key as Faro has it", post("/api/4201/vitals/", "LCP", "X-Api-Key", webKey), 204, "", ""},
		{"security", post("/api/4201/security/?sentry_key="+webKey, "LCP"), 200, "", ""},
		{"live", httptest.NewRequest("GET", "/api/relay/healthcheck/live/", nil), 200, `{"is_healthy":true}`, "application/json"},
		{"ready", httptest.NewRequest("GET", "/api/relay/healthcheck/ready", nil), 200, `{"is_healthy":true}`, "application/json"},
		{"a Relay's probe", httptest.NewRequest("GET", "/api/0/relays/live/", nil), 200, `{"is_healthy":true}`, "application/json"},
		{"schema", httptest.NewRequest("GET", "/schemas/beacon.schema.json", nil), 200, `{"title":"beacon"}`, "application/schema+json"},
		{"no such schema", httptest.NewRequest("GET", "/schemas/other.schema.json", nil), 404, `{"detail":"no such endpoint"}`, "application/json"},
		{"not a schema", httptest.NewRequest("GET", "/schemas/secret.txt", nil), 404, `{"detail":"no such endpoint"}`, "application/json"},
		{"schema outside", httptest.NewRequest("GET", "/schemas/..%2f..%2fbeacon.schema.json", nil), 404, `{"detail":"no such endpoint"}`, "application/json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t, func(o *ingest.Options) {
				o.Schemas = fstest.MapFS{"beacon.schema.json": {Data: []byte(`{"title":"beacon"}`)}, "secret.txt": {Data: []byte("x")}}
			})
			w := e.do(c.r)
			if w.Code != c.code || w.Body.String() != c.body || w.Header().Get("Content-Type") != c.typ {
				t.Errorf("%d %q %q", w.Code, w.Body, w.Header().Get("Content-Type"))
			}
			e.ledger.balanced(t)
		})
	}
}

func TestReadinessFallsBeforeShutdown(t *testing.T) {
	e := newEdge(t)
	e.Drain()
	w := e.do(httptest.NewRequest("GET", "/api/relay/healthcheck/ready/", nil))
	if w.Code != 503 || w.Body.String() != `{"is_healthy":false}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := e.do(httptest.NewRequest("GET", "/api/relay/healthcheck/live/", nil)); w.Code != 200 {
		t.Errorf("live %d", w.Code)
	}
	if w := e.do(post(envelopePath, env(goodEvent))); w.Code != 200 {
		t.Errorf("requests are still taken while draining: %d", w.Code)
	} else if w.Header().Get("Connection") != "close" {
		t.Error("the connection stays open, and a balancer would send the next request into its end")
	}
}

func TestApply(t *testing.T) {
	e := newEdge(t)
	next := e.settings
	next.Config.TunnelPath = "/hello"
	next.Stages = []ingest.Stage{dropping(schemas.Filtered, "localhost", "event")}
	if err := e.Apply(next); err != nil {
		t.Fatal(err)
	}
	tunnelled := `{"dsn":"https://` + webKey + `@h.example/4201"}` + "\n" + goodEvent
	if w := e.do(post("/hello", tunnelled)); w.Code != 200 || e.sink.types() != "" {
		t.Errorf("new settings are not in force: %d, sink %q", w.Code, e.sink.types())
	}
	if w := e.do(post("/t", tunnelled)); w.Code != 404 {
		t.Errorf("old tunnel path answers %d", w.Code)
	}
	bad := next
	bad.Config.EventSize = 0
	if err := e.Apply(bad); err == nil {
		t.Error("settings that cannot be used were applied")
	}
	if w := e.do(post("/hello", tunnelled)); w.Code != 200 {
		t.Errorf("a refused reload changed something: %d", w.Code)
	}
}

// The log tells states and reasons, never a key or a payload.
func TestLogLines(t *testing.T) {
	e := newEdge(t)
	e.do(post("/api/4201/envelope/?sentry_key="+otherKey, env(goodEvent)))
	e.do(post(envelopePath, env(goodEvent)))
	e.do(post("/api/4201/security/?sentry_key="+webKey, "panic"))
	logs := e.logs.String()
	for _, want := range []string{`"reason":"project_id"`, `"status":403`, `"request answered"`, `"endpoint":"envelope"`, `"project":"web"`, "protocol fell over", `"stack"`} {
		if !strings.Contains(logs, want) {
			t.Errorf("log has no %s:\n%s", want, logs)
		}
	}
	for _, secret := range []string{webKey, otherKey, "9ec79c33"} {
		if strings.Contains(logs, secret) {
			t.Errorf("log tells %s", secret)
		}
	}
	e.logs.b.Reset()
	for range 500 {
		e.do(post("/api/4201/envelope/?sentry_key="+otherKey, ""))
	}
	if n := strings.Count(e.logs.String(), "\n"); n > 200 {
		t.Errorf("a flood of refusals wrote %d lines", n)
	}
}

func TestMetrics(t *testing.T) {
	e := newEdge(t)
	e.do(post(envelopePath, env(goodEvent)))
	e.do(post("/nowhere", ""))
	r := post(envelopePath, "")
	r.Method = "BREW"
	e.do(r)
	want := map[string]float64{
		"envelope POST 200": 1, "none POST 404": 1, "none other 405": 1,
		"vitals POST 204": 0, "envelope OPTIONS 200": 0,
	}
	if problems, err := testutil.GatherAndLint(e.registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	families, err := e.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "breakwater_http_requests_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			l := labels(m)
			key := l["endpoint"] + " " + l["method"] + " " + l["code"]
			if n, ok := want[key]; ok && n != m.GetCounter().GetValue() {
				t.Errorf("%s = %v, want %v", key, m.GetCounter().GetValue(), n)
			}
			delete(want, key)
		}
	}
	for key := range want {
		t.Errorf("no series %s", key)
	}
}

func labels(m *dto.Metric) map[string]string {
	l := map[string]string{}
	for _, p := range m.GetLabel() {
		l[p.GetName()] = p.GetValue()
	}
	return l
}
