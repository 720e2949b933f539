package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

const faroPath = "/api/1/faro/?key=" + testKey

const (
	anException = `{"type":"Error","value":"x","timestamp":"2026-11-24T03:00:00Z","stacktrace":{"frames":[{"filename":"https://shop.example/app.js","function":"f","lineno":1,"colno":2}]}}`
	aFaroLog    = `{"message":"hello","level":"info","timestamp":"2026-11-24T03:00:00Z"}`
	aFaroVital  = `{"type":"web-vitals","values":{"lcp":468,"delta":468},"context":{"id":"v6-1","navigation_type":"navigate"}}`
)

// Bad Faro payloads: see badRow.
func TestBadFaro(t *testing.T) {
	a, _ := inProcess(t, oneProject+"    storm: {then_one_in: 1}\n")
	meta := func(signals string) string { return `{"meta":{"app":{"name":"shop","version":"1.0"}},` + signals + `}` }
	js := []string{"Content-Type", "application/json"}
	with := func(more ...string) []string { return slices.Concat(js, more) }
	deep := strings.Repeat("[", 120) + strings.Repeat("]", 120)
	const unauthorized = "unknown unauthorized:"
	runBadRows(t, a, []badRow{
		{"no key", "/api/1/faro/", meta(`"logs":[` + aFaroLog + `]`), js, "", 401, "missing authorization information", unauthorized + "missing_auth"},
		{"key that is no key", "/api/1/faro/?key=harbour", meta(`"logs":[]`), js, "", 400, "bad sentry DSN public key", unauthorized + "bad_key"},
		{"unknown key", "/api/1/faro/", meta(`"logs":[]`), with("X-Api-Key", strings.Repeat("f", 32)), "", 403, "event submission rejected", unauthorized + "project_id"},
		{"two keys", faroPath, meta(`"logs":[]`), with("X-Api-Key", strings.Repeat("f", 32)), "", 401, "multiple authorization payloads", unauthorized + "multiple_auth"},
		{"project is a word", "/api/shop/faro/?key=" + testKey, meta(`"logs":[]`), js, "", 400, "bad project path parameter", "unknown invalid:project_id"},
		{"get", faroPath, "", js, "GET", 405, "method not allowed", ""},
		{"empty", faroPath, "", js, "", 400, "empty request body", "unknown invalid:no_data"},
		{"blanks", faroPath, " \n ", js, "", 400, "empty request body", "unknown invalid:no_data"},
		{"not JSON", faroPath, "meta=1", js, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"cut short", faroPath, meta(`"logs":[` + aFaroLog + `]`)[:60], js, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"a list", faroPath, "[" + aFaroLog + "]", js, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"two objects", faroPath, meta(`"logs":[]`) + "{}", js, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"too deep", faroPath, meta(`"logs":[` + deep + `]`), js, "", 400, "JSON is nested too deeply", "unknown invalid:json_depth"},
		{"too large", faroPath, meta(`"logs":["` + strings.Repeat("x", 1<<20) + `"]`), js, "", 413, "request body too large", "unknown invalid:too_large"},
		{"unknown encoding", faroPath, meta(`"logs":[]`), with("Content-Encoding", "lzma"), "", 415, "unsupported content encoding", "unknown invalid:content_encoding"},
		{"broken gzip", faroPath, meta(`"logs":[]`), with("Content-Encoding", "gzip"), "", 400, "request body cannot be decompressed", "unknown invalid:invalid_compression"},
		{"no signals", faroPath, `{"meta":{}}`, js, "", 400, "nothing in the request was usable", "unknown invalid:no_data"},
		{"signals that are no lists", faroPath, meta(`"logs":7,"exceptions":{},"traces":"x"`), js, "", 400, "nothing in the request was usable", "unknown invalid:no_data"},
		{"exceptions that are none", faroPath, meta(`"exceptions":[1,{},null,{"type":[]}]`), js, "", 400, "invalid Faro payload", "4× error invalid:invalid_entry"},
		{"logs and events that are none", faroPath, meta(`"logs":[7,{"message":[]}],"events":[{},{"name":{}}]`), js, "", 400, "invalid Faro payload", "4× log_item invalid:invalid_entry"},
		{"a bad exception beside good ones", faroPath, meta(`"exceptions":[7,` + anException + `,{}],"logs":[` + aFaroLog + `]`), js, "", 202, "", "2× error invalid:invalid_entry, error accepted, log_item accepted"},
		{"meta that is none", faroPath, `{"meta":7,"exceptions":[` + anException + `]}`, js, "", 202, "", "error accepted"},
		{"meta of wrong kinds", faroPath, `{"meta":{"app":[],"user":"kim","session":{"id":{}},"page":{"url":7},"browser":{"mobile":"no"}},"logs":[` + aFaroLog + `]}`, js, "", 202, "", "log_item accepted"},
		{"measurements that are none", faroPath, meta(`"measurements":[1,{"type":"web-vitals"},{"type":"web-vitals","values":{"speed":1}},` + aFaroVital + `]`), js, "", 202, "", "3× vital invalid:unusable, vital accepted, vital delivered"},
		{"vitals of nonsense", faroPath, meta(`"measurements":[{"type":"web-vitals","values":{"lcp":-5}},{"type":"web-vitals","values":{"fid":5}}]`), js, "", 202, "", "2× vital invalid:unusable"},
		{"too many exceptions", faroPath, meta(`"exceptions":[` + strings.Repeat(anException+",", 104) + anException + `]`), js, "", 202, "", "100× error accepted, 5× error invalid:too_many"},
		{"too many logs", faroPath, meta(`"logs":[` + strings.Repeat(`{"message":"x"},`, 2002) + `{}]`), js, "", 202, "", "2000× log_item accepted, 3× log_item invalid:too_many"},
		{"spans nobody takes", faroPath, meta(`"traces":{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"},{"name":"b"}]}]}]}`), js, "", 202, "", "2× span filtered:no_otlp_upstream"},
		{"spans that are none", faroPath, meta(`"traces":{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"},7,{"name":"b"}]}]}]}`), js, "", 202, "", "2× span invalid:invalid_entry, span filtered:no_otlp_upstream"},
		{"an extension's", faroPath, meta(`"exceptions":[` + strings.Replace(anException, "https://shop.example/app.js", "chrome-extension://abc/x.js", 1) + `]`), js, "", 202, "", "error filtered:browser-extensions"},
		{"a crawler's", faroPath, `{"meta":{"browser":{"userAgent":"Googlebot/2.1"}},"exceptions":[` + anException + `]}`, js, "", 202, "", "error filtered:web-crawlers"},
	})
}

// Faro asks for two headers of its own before it sends.
func TestFaroPreflight(t *testing.T) {
	a, _ := inProcess(t, oneProject)
	for _, f := range loadFixtures(t, func(f fixture) bool { return strings.HasPrefix(f.Dir, "faro/") && f.Method == http.MethodOptions }) {
		r := httptest.NewRequest(http.MethodOptions, "/api/1/faro/", nil)
		r.Header = f.headers(t)
		w := httptest.NewRecorder()
		a.edge.ServeHTTP(w, r)
		allowed := strings.Split(w.Header().Get("Access-Control-Allow-Headers"), ", ")
		for _, name := range strings.Split(r.Header.Get("Access-Control-Request-Headers"), ",") {
			if !slices.Contains(allowed, name) {
				t.Errorf("%s: %s is not allowed", f.Dir, name)
			}
		}
		if w.Code != 200 || w.Header().Get("Access-Control-Allow-Origin") != r.Header.Get("Origin") {
			t.Errorf("%s: %d %v", f.Dir, w.Code, w.Header())
		}
	}
}

// A batch that comes again with its Idempotency-Key counts once, also when the
// spool refused it the first time; another body under the same key is another
// batch.
func TestFaroRepeats(t *testing.T) {
	a, _ := inProcess(t, oneProject)
	send := func(key, body string) (int, string) {
		before := books(t, a)
		r := httptest.NewRequest(http.MethodPost, faroPath, strings.NewReader(body))
		r.Header.Set("Idempotency-Key", key)
		w := httptest.NewRecorder()
		a.edge.ServeHTTP(w, r)
		return w.Code, booksSince(before, books(t, a))
	}
	body := `{"meta":{"app":{"version":"1.0"}},"exceptions":[` + anException + `],"measurements":[` + aFaroVital + `]}`
	for i, step := range []struct {
		key, body, books string
		status           int
	}{
		{"k1", body, "error accepted, vital accepted, vital delivered", 202},
		{"k1", body, "unknown filtered:duplicate", 202},
		{"k1", body, "unknown filtered:duplicate", 202},
		{"k2", body, "error accepted, vital accepted, vital delivered", 202},
		{"k1", strings.Replace(body, `"x"`, `"y"`, 1), "error accepted, vital accepted, vital delivered", 202},
		{"", body, "error accepted, vital accepted, vital delivered", 202},
		{"", body, "error accepted, vital accepted, vital delivered", 202},
		{"k3", `{"meta":{}}`, "unknown invalid:no_data", 400},
		{"k3", `{"meta":{}}`, "unknown invalid:no_data", 400}, // what was not taken is not remembered
	} {
		if status, got := send(step.key, step.body); status != step.status || got != step.books {
			t.Errorf("step %d: %d %s, want %d %s", i, status, got, step.status, step.books)
		}
	}
}

// The SDK waits as long as Retry-After says, and then sends the same batch with
// the same key: what was limited was not taken, so it is no duplicate.
func TestFaroLimits(t *testing.T) {
	a, _ := inProcess(t, oneProject+"    limits: {categories: {error: {rate: 1/h, burst: 1}}}\n")
	send := func(key, signals string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, faroPath, strings.NewReader(`{"meta":{},`+signals+`}`))
		r.Header.Set("Idempotency-Key", key)
		r.Header.Set("Origin", "https://shop.example")
		w := httptest.NewRecorder()
		a.edge.ServeHTTP(w, r)
		return w
	}
	if w := send("a", `"exceptions":[`+anException+`]`); w.Code != 202 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for range 2 {
		w := send("b", `"exceptions":[`+anException+`]`)
		if w.Code != 429 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "retry-after") || w.Header().Get("Access-Control-Allow-Origin") == "" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}
	if w := send("c", `"exceptions":[`+anException+`],"logs":[`+aFaroLog+`]`); w.Code != 202 {
		t.Errorf("a log beside what is limited: %d %s", w.Code, w.Body)
	}
}
