package ingest_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zlib"

	"breakwater/ingest"
)

const (
	eventHead = `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}`
	event     = `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","message":"x"}`
	goodEvent = `{"type":"event"}` + "\n" + event + "\n"
	session   = `{"type":"session"}` + "\n" + `{"sid":"c0ffee00c0ffee00c0ffee00c0ffee00","started":"2026-11-24T03:00:00Z","attrs":{"release":"a@1"}}` + "\n"
)

func gz(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func zl(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

// env is an envelope of the header and items.
func env(items ...string) string { return eventHead + "\n" + strings.Join(items, "") }

type badInput struct {
	name    string
	request *http.Request
	status  int
	detail  string // of the error, "" for success
	books   string // every outcome counted
	sink    string // types that arrive
}

// Each row is a way to get it wrong: what the client is told, what is counted,
// and which neighbours are kept all the same.
func badInputs() []badInput {
	p := func(body string, headers ...string) *http.Request { return post(envelopePath, body, headers...) }
	at := func(path, body string, headers ...string) *http.Request { return post(path, body, headers...) }
	st := func(body string, headers ...string) *http.Request { return post(storePath, body, headers...) }
	with := func(method string, r *http.Request) *http.Request { r.Method = method; return r }
	key := "sentry_key=" + webKey
	big := strings.Repeat("x", 1<<20+1)
	deep := strings.Repeat("[", 101) + strings.Repeat("]", 101)
	unknown := ingest.UnknownProject + "/unknown "
	dsn := func(key, project string) string {
		return `{"dsn":"https://` + key + `@elsewhere.example/` + project + `"}` + "\n"
	}
	const kept = "web/session accepted"
	logs := func(count string, items string) string {
		return `{"type":"log","item_count":` + count + `,"content_type":"application/vnd.sentry.items.log+json"}` + "\n" + `{"items":` + items + `}` + "\n"
	}
	return []badInput{
		// Routes and methods: nothing is counted, no item was named.
		{"unknown route", at("/nowhere", "x"), 404, "no such endpoint", "", ""},
		{"root", at("/", "x"), 404, "no such endpoint", "", ""},
		{"unknown api route", at("/api/4201/envelop/?"+key, "x"), 404, "no such endpoint", "", ""},
		{"web api of Sentry", at("/api/0/projects/a/b/user-feedback/", "x"), 404, "no such endpoint", "", ""},
		{"get on envelope", with("GET", p("")), 405, "method not allowed", "", ""},
		{"put on envelope", with("PUT", p(env(goodEvent))), 405, "method not allowed", "", ""},
		{"head on envelope", with("HEAD", p("")), 405, "", "", ""},
		{"invented method", with("BREW", p("")), 405, "method not allowed", "", ""},
		{"options on unknown route", with("OPTIONS", at("/nowhere", "")), 404, "no such endpoint", "", ""},

		// Who sends.
		{"no credentials at store", at("/api/4201/store/", event), 401, "missing authorization information", unknown + "unauthorized:missing_auth", ""},
		{"no credentials, no dsn", at("/api/4201/envelope/", env(goodEvent)), 401, "missing authorization information", unknown + "unauthorized:missing_auth", ""},
		{"dsn of another kind", at("/api/4201/envelope/", `{"dsn":42}`+"\n"), 401, "bad envelope authentication header", unknown + "unauthorized:bad_auth", ""},
		{"dsn that is none", at("/api/4201/envelope/", `{"dsn":"nope"}`+"\n"), 401, "bad envelope authentication header", unknown + "unauthorized:bad_auth", ""},
		{"dsn without key", at("/api/4201/envelope/", `{"dsn":"https://h.example/4201"}`+"\n"), 401, "bad envelope authentication header", unknown + "unauthorized:bad_auth", ""},
		{"auth header without key", at("/api/4201/envelope/", env(goodEvent), "X-Sentry-Auth", "Sentry sentry_version=7"), 401, "bad x-sentry-auth header", unknown + "unauthorized:bad_auth", ""},
		{"two sources", p(env(goodEvent), "X-Sentry-Auth", "Sentry sentry_key="+webKey), 401, "multiple authorization payloads detected", unknown + "unauthorized:multiple_auth", ""},
		{"two headers", at("/api/4201/store/", event, "X-Sentry-Auth", "Sentry sentry_key="+webKey, "Authorization", "Sentry sentry_key="+webKey), 401, "multiple authorization payloads detected", unknown + "unauthorized:multiple_auth", ""},
		{"short key", at("/api/4201/envelope/?sentry_key=abc", env(goodEvent)), 400, "bad sentry DSN public key", unknown + "unauthorized:bad_key", ""},
		{"key with a letter too far", at("/api/4201/envelope/?sentry_key="+strings.Repeat("g", 32), env(goodEvent)), 400, "bad sentry DSN public key", unknown + "unauthorized:bad_key", ""},
		{"project is a word", at("/api/shop/envelope/?"+key, env(goodEvent)), 400, "bad project path parameter", unknown + "invalid:project_id", ""},
		{"project is negative", at("/api/-1/envelope/?"+key, env(goodEvent)), 400, "bad project path parameter", unknown + "invalid:project_id", ""},
		{"project is wider than 64 bit", at("/api/18446744073709551616/envelope/?"+key, env(goodEvent)), 400, "bad project path parameter", unknown + "invalid:project_id", ""},
		{"unknown key", at("/api/4201/envelope/?sentry_key="+otherKey, env(goodEvent)), 403, "event submission rejected with_reason: ProjectId", unknown + "unauthorized:project_id", ""},
		{"key of another project", at("/api/5102/envelope/?"+key, env(goodEvent)), 403, "event submission rejected with_reason: ProjectId", unknown + "unauthorized:project_id", ""},
		{"unknown project", at("/api/77/envelope/?"+key, env(goodEvent)), 403, "event submission rejected with_reason: ProjectId", unknown + "unauthorized:project_id", ""},
		{"version of the future", at("/api/4201/envelope/?sentry_version=9&"+key, env(goodEvent)), 400, "unsupported protocol version (9)", unknown + "invalid:protocol_version", ""},
		{"version is a word", at("/api/4201/envelope/?sentry_version=new&"+key, env(goodEvent)), 401, "bad x-sentry-auth header", unknown + "unauthorized:bad_auth", ""},
		{"origin not allowed", at("/api/5102/envelope/?sentry_key="+appKey, env(goodEvent), "Origin", "https://evil.example"), 403, "event submission rejected with_reason: Cors", "app/unknown unauthorized:cors", ""},
		{"referer not allowed", at("/api/5102/envelope/?sentry_key="+appKey, env(goodEvent), "Referer", "https://evil.example/x"), 403, "event submission rejected with_reason: Cors", "app/unknown unauthorized:cors", ""},
		{"dsn of another project", p(dsn(webKey, "5102") + goodEvent), 400, "invalid event envelope", "web/unknown invalid:invalid_envelope", ""},
		{"dsn of another key", p(dsn(appKey, "4201") + goodEvent), 400, "invalid event envelope", "web/unknown invalid:invalid_envelope", ""},
		{"unreadable dsn beside a key", p(`{"dsn":"nope"}` + "\n" + goodEvent), 400, "invalid event envelope", "web/unknown invalid:invalid_envelope", ""},
		{"tunnel without dsn", at("/t", env(goodEvent)), 401, "missing authorization information", unknown + "unauthorized:missing_auth", ""},
		{"tunnel with key in the query", at("/t?"+key, env(goodEvent)), 401, "missing authorization information", unknown + "unauthorized:missing_auth", ""},
		{"tunnel of a stranger", at("/t", dsn(otherKey, "4201")+goodEvent), 403, "event submission rejected with_reason: ProjectId", unknown + "unauthorized:project_id", ""},
		{"tunnel to another project", at("/t", dsn(webKey, "5102")+goodEvent), 403, "event submission rejected with_reason: ProjectId", unknown + "unauthorized:project_id", ""},
		{"tunnel from a foreign page", at("/t", dsn(appKey, "5102")+goodEvent, "Origin", "https://evil.example"), 403, "event submission rejected with_reason: Cors", "app/unknown unauthorized:cors", ""},
		{"vitals without key", at("/api/4201/vitals/", "LCP"), 401, "missing authorization information", unknown + "unauthorized:missing_auth", ""},
		{"vitals with a key in Authorization", at("/api/4201/vitals/", "LCP", "Authorization", "Sentry sentry_key="+webKey), 401, "missing authorization information", unknown + "unauthorized:missing_auth", ""},
		{"vitals with two keys", at("/api/4201/vitals/?key="+webKey, "LCP", "X-Api-Key", otherKey), 401, "multiple authorization payloads detected", unknown + "unauthorized:multiple_auth", ""},

		// Bodies.
		{"empty body", p(""), 400, "empty request body", "web/unknown invalid:no_data", ""},
		{"empty gzip body", p(gz(""), "Content-Encoding", "gzip"), 400, "empty request body", "web/unknown invalid:no_data", ""},
		{"no bytes that claim gzip", p("", "Content-Encoding", "gzip"), 400, "empty request body", "web/unknown invalid:no_data", ""},
		{"not gzip", p(env(goodEvent), "Content-Encoding", "gzip"), 400, "request body cannot be decompressed", "web/unknown invalid:invalid_compression", ""},
		{"cut gzip", p(gz(env(goodEvent))[:40], "Content-Encoding", "gzip"), 400, "request body cannot be decompressed", "web/unknown invalid:invalid_compression", ""},
		{"gzip with a wrong checksum", p(corrupt(gz(env(goodEvent)), -6), "Content-Encoding", "gzip"), 400, "request body cannot be decompressed", "web/unknown invalid:invalid_compression", ""},
		{"not zstd", p(env(goodEvent), "Content-Encoding", "zstd"), 400, "request body cannot be decompressed", "web/unknown invalid:invalid_compression", ""},
		{"not brotli", p("\xff\xff\xff\xff\xff", "Content-Encoding", "br"), 400, "request body cannot be decompressed", "web/unknown invalid:invalid_compression", ""},
		{"not deflate", p("\xff\xff\xff\xff", "Content-Encoding", "deflate"), 400, "request body cannot be decompressed", "web/unknown invalid:invalid_compression", ""},
		{"unknown encoding", p(env(goodEvent), "Content-Encoding", "lzma"), 415, "unsupported content encoding", "web/unknown invalid:content_encoding", ""},
		{"two encodings", p(gz(env(goodEvent)), "Content-Encoding", "gzip, br"), 415, "unsupported content encoding", "web/unknown invalid:content_encoding", ""},
		{"two encoding headers", p(gz(env(goodEvent)), "Content-Encoding", "gzip", "Content-Encoding", "gzip"), 415, "unsupported content encoding", "web/unknown invalid:content_encoding", ""},
		{"wire size", p(env(`{"type":"attachment"}` + "\n" + strings.Repeat("a", 3<<20))), 413, "request body too large", "web/unknown invalid:too_large", ""},
		{"decompressed size", p(gz(env(`{"type":"attachment"}`+"\n"+strings.Repeat("abcdefgh", 1<<20))), "Content-Encoding", "gzip"), 413, "request body", "web/unknown invalid:", ""},
		{"beacon size", at("/api/4201/vitals/?key="+webKey, strings.Repeat("LCP ", 20000)), 413, "request body too large", "web/unknown invalid:too_large", ""},

		// Framing: nobody can say where the neighbours are.
		{"header is a list", p("[]\n" + goodEvent), 400, "invalid event envelope", "web/unknown invalid:invalid_envelope", ""},
		{"header is a blank line", p("\n" + goodEvent), 400, "invalid event envelope", "web/unknown invalid:invalid_envelope", ""},
		{"header with a key twice", p(`{"sent_at":"a","sent_at":"b"}` + "\n" + goodEvent), 400, "invalid event envelope", "web/unknown invalid:invalid_envelope", ""},
		{"text behind the header", p(`{} {}` + "\n" + goodEvent), 400, "invalid event envelope", "web/unknown invalid:invalid_envelope", ""},
		{"item without type", p(env(session, "{}\n{}\n")), 400, "invalid event envelope", "web/unknown invalid:invalid_envelope", ""},
		{"length beyond the end", p(env(session, `{"type":"event","length":5000}`+"\n{}\n")), 400, "invalid event envelope", "web/unknown invalid:invalid_envelope", ""},
		{"length too short", p(env(`{"type":"event","length":1}` + "\n{}\n" + session)), 400, "invalid event envelope", "web/unknown invalid:invalid_envelope", ""},
		{"length is a string", p(env(`{"type":"event","length":"2"}` + "\n{}\n")), 400, "invalid event envelope", "web/unknown invalid:invalid_envelope", ""},
		{"length is negative", p(env(`{"type":"event","length":-2}` + "\n{}\n")), 400, "invalid event envelope", "web/unknown invalid:invalid_envelope", ""},
		{"length is wider than 32 bit", p(env(`{"type":"event","length":4294967296}` + "\n{}\n")), 400, "invalid event envelope", "web/unknown invalid:invalid_envelope", ""},
		{"bad event id", p(`{"event_id":"not-an-id"}` + "\n" + goodEvent), 400, "invalid event id", "web/unknown invalid:invalid_event_id", ""},
		{"event id is a number", p(`{"event_id":7}` + "\n" + goodEvent), 400, "invalid event id", "web/unknown invalid:invalid_event_id", ""},
		{"more items than anybody sends", p(env(strings.Repeat(`{"type":"x","length":0}`+"\n\n", 1001))), 413, "request body too large", "web/unknown invalid:too_large", ""},

		// Items: each ends alone.
		{"broken event, good session", p(env(`{"type":"event"}`+"\n{broken\n", session)), 200, "", "web/error invalid:invalid_json, " + kept, "session"},
		{"broken event alone", p(env(`{"type":"event"}` + "\n{broken\n")), 400, "invalid JSON data", "web/error invalid:invalid_json", ""},
		{"event is a list", p(env(`{"type":"event"}`+"\n[1]\n", session)), 200, "", "web/error invalid:invalid_json, " + kept, "session"},
		{"empty event", p(env(`{"type":"event","length":0}`+"\n\n", session)), 200, "", "web/error invalid:invalid_json, " + kept, "session"},
		{"text behind the event", p(env(`{"type":"event"}`+"\n{}{}\n", session)), 200, "", "web/error invalid:invalid_json, " + kept, "session"},
		{"event nested too deeply", p(env(`{"type":"event"}`+"\n"+`{"a":`+deep+"}\n", session)), 200, "", "web/error invalid:json_depth, " + kept, "session"},
		{"deep event alone", p(env(`{"type":"event"}` + "\n" + `{"a":` + deep + "}\n")), 400, "JSON is nested too deeply", "web/error invalid:json_depth", ""},
		{"event too large, good session", p(env(`{"type":"event"}`+"\n"+`{"message":"`+big+`"}`+"\n", session)), 200, "", "web/error invalid:too_large:event, " + kept, "session"},
		{"event too large alone", p(env(`{"type":"event"}` + "\n" + `{"message":"` + big + `"}`)), 413, "request body too large", "web/error invalid:too_large:event", ""},
		{
			"large event takes its attachment along", p(env(`{"type":"attachment","length":1}`+"\na\n", `{"type":"event"}`+"\n"+`{"message":"`+big+`"}`+"\n", session)), 200, "",
			"web/attachment invalid:too_large:event, web/error invalid:too_large:event, " + kept, "session",
		},
		{"second event", p(env(goodEvent, goodEvent, `{"type":"attachment","length":1}`+"\na\n")), 200, "", "web/attachment accepted, web/error accepted, web/error invalid:duplicate_item", "event attachment"},
		{"broken event before a good one", p(env(`{"type":"event"}`+"\n{broken\n", goodEvent, `{"type":"attachment","length":1}`+"\na\n")), 200, "", "web/attachment accepted, web/error accepted, web/error invalid:invalid_json", "event attachment"},
		{"event and transaction", p(env(goodEvent, `{"type":"transaction"}`+"\n{}\n")), 200, "", "web/error accepted, web/transaction invalid:duplicate_item", "event"},
		{
			"attachments beyond the count", p(env(strings.Repeat(`{"type":"attachment","length":1}`+"\na\n", 32), session)), 200, "",
			"2× web/attachment invalid:too_many:attachment, 30× web/attachment accepted, " + kept, strings.Repeat("attachment ", 30) + "session",
		},
		{"attachment too large", p(env(`{"type":"attachment"}`+"\n"+strings.Repeat("a", 600<<10)+"\n", session)), 200, "", "web/attachment invalid:too_large:attachment, " + kept, "session"},
		{
			"attachments too large together", p(env(`{"type":"attachment"}`+"\n"+strings.Repeat("a", 300<<10)+"\n", `{"type":"attachment"}`+"\n"+strings.Repeat("b", 300<<10)+"\n", session)), 200, "",
			"web/attachment accepted, web/attachment invalid:too_large:attachment, " + kept, "attachment session",
		},
		{
			"attachment beyond a limit used up", p(env(`{"type":"attachment"}`+"\n"+strings.Repeat("a", 512<<10)+"\n", `{"type":"attachment"}`+"\nb\n", session)), 200, "",
			"web/attachment accepted, web/attachment invalid:too_large:attachment, " + kept, "attachment session",
		},
		{"sessions beyond the count", p(env(strings.Repeat(session, 102))), 200, "", "100× web/session accepted, 2× web/session invalid:too_many:session", strings.TrimSpace(strings.Repeat("session ", 100))},
		{"client reports too large", p(env(`{"type":"client_report"}`+"\n"+`{"a":"`+strings.Repeat("x", 110<<10)+`"}`+"\n", session)), 200, "", "web/internal invalid:too_large:client_report, " + kept, "session"},
		{"item of Relays", p(env(`{"type":"integration","length":2}`+"\n{}\n", session)), 200, "", "web/session accepted, web/unknown invalid:forbidden_type", "session"},
		{"item of Relays alone", p(env(`{"type":"integration","length":2}` + "\n{}\n")), 400, "invalid event envelope", "web/unknown invalid:forbidden_type", ""},
		{"container that miscounts", p(env(logs("3", `[{},{}]`), session)), 200, "", "2× web/log_item invalid:item_count, " + kept, "session"},
		{"container without a count", p(env(`{"type":"log","content_type":"application/vnd.sentry.items.log+json"}`+"\n"+`{"items":[{}]}`+"\n", session)), 200, "", "web/log_item invalid:item_count, " + kept, "session"},
		{"container with a count as text", p(env(logs(`"2"`, `[{},{}]`), session)), 200, "", "2× web/log_item invalid:item_count, " + kept, "session"},
		{"container of nothing", p(env(logs("1", `{}`), session)), 200, "", "web/log_item invalid:invalid_container, " + kept, "session"},
		{"two containers of a kind", p(env(logs("1", `[{}]`), logs("1", `[{}]`), session)), 200, "", "web/log_item accepted, web/log_item invalid:duplicate_item, " + kept, "log session"},
		{"good container", p(env(logs("2", `[{},{}]`))), 200, "", "2× web/log_item accepted", "log"},
		{"unknown type is kept", p(env(`{"type":"hologram","length":3}`+"\n\x00\n\x01\n", session)), 200, "", "web/session accepted, web/unknown accepted", "hologram session"},
		{"no items", p(eventHead), 200, "", "", ""},
		{"header only", p("{}\n"), 200, "", "", ""},

		// The store endpoint.
		{"store: empty", st(""), 400, "empty request body", "web/unknown invalid:no_data", ""},
		{"store: blanks", st(" \n "), 400, "empty request body", "web/unknown invalid:no_data", ""},
		{"store: not JSON", st("hello world!"), 400, "invalid JSON data", "web/unknown invalid:invalid_json", ""},
		{"store: broken JSON", st(`{"message":`), 400, "invalid JSON data", "web/unknown invalid:invalid_json", ""},
		{"store: a list", st(`[1]`), 400, "invalid JSON data", "web/unknown invalid:invalid_json", ""},
		{"store: text behind", st(`{} {}`), 400, "invalid JSON data", "web/unknown invalid:invalid_json", ""},
		{"store: bad event id", st(`{"event_id":"x"}`), 400, "invalid event id", "web/unknown invalid:invalid_event_id", ""},
		{"store: event id is a list", st(`{"event_id":[]}`), 400, "invalid event id", "web/unknown invalid:invalid_event_id", ""},
		{"store: too large", st(`{"message":"` + big + `"}`), 413, "request body too large", "web/unknown invalid:too_large", ""},
		{"store: bomb in base64", st(base64.StdEncoding.EncodeToString([]byte(zl(`{"message":"` + strings.Repeat("a", 3<<20) + `"}`)))), 413, "request body too large", "web/unknown invalid:too_large", ""},
		{"store: cut zlib", st(base64.StdEncoding.EncodeToString([]byte(zl(`{"message":"abcabc"}`)[:12]))), 400, "request body cannot be decompressed", "web/unknown invalid:invalid_compression", ""},
		{"store: too deep", st(`{"a":` + deep + `}`), 400, "JSON is nested too deeply", "web/unknown invalid:json_depth", ""},
		{"store: get without data", with("GET", st("")), 400, "empty request body", "web/unknown invalid:no_data", ""},

		// What is ours.
		{"protocol panics", at("/api/4201/security/?"+key, "panic"), 500, "internal error", "web/unknown invalid:internal", ""},
		{"recorder panics", at("/api/4201/vitals/?key="+webKey, "recorderpanic"), 500, "internal error", "web/vital invalid:unusable", ""},
		{"nothing usable", at("/api/4201/vitals/?key="+webKey, "bad bad"), 400, "nothing in the request was usable", "2× web/vital invalid:unusable", ""},
		{"something usable", at("/api/4201/vitals/?key="+webKey, "bad LCP"), 204, "", "web/vital accepted, web/vital delivered, web/vital invalid:unusable", ""},
	}
}

func corrupt(s string, at int) string {
	b := []byte(s)
	b[len(b)+at] ^= 0x55
	return string(b)
}

// small makes limits that a test reaches without megabytes.
func small(o *ingest.Options) {
	o.Config.RequestSize = 3 << 20
	o.Config.DecompressedSize = 6 << 20
	o.Config.AttachmentSize = 512 << 10
}

func TestBadInput(t *testing.T) {
	rows := badInputs()
	if len(rows) < 60 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			e := newEdge(t, small)
			w := e.do(row.request)
			if w.Code != row.status {
				t.Errorf("status %d, want %d: %s", w.Code, row.status, w.Body)
			}
			checkAnswer(t, w.Header(), w.Body.Bytes(), w.Code, row.detail, row.request.Method)
			if got := e.ledger.String(); got != row.books && !(strings.HasSuffix(row.books, ":") && strings.HasPrefix(got, row.books)) {
				t.Errorf("books: %s\n want: %s", got, row.books)
			}
			e.ledger.balanced(t)
			if got := e.sink.types(); got != row.sink {
				t.Errorf("sink got %q, want %q", got, row.sink)
			}
			if n := e.spiller.open(); len(e.sink.records) == 0 && n > 0 {
				t.Errorf("%d files left behind", n)
			}
		})
	}
}

// checkAnswer holds every answer to the same manners.
func checkAnswer(t *testing.T, h http.Header, body []byte, status int, detail, method string) {
	t.Helper()
	if h.Get("Access-Control-Allow-Origin") == "" || h.Get("Cross-Origin-Resource-Policy") != "cross-origin" ||
		h.Get("Access-Control-Expose-Headers") != "x-sentry-error, x-sentry-rate-limits, retry-after" {
		t.Errorf("CORS headers are missing: %v", h)
	}
	if status < 400 {
		if h.Get("X-Sentry-Error") != "" {
			t.Error("success with X-Sentry-Error")
		}
		return
	}
	if method == http.MethodHead {
		return
	}
	var answer struct {
		Detail string
		Causes []string
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&answer); err != nil {
		t.Fatalf("error answer %q: %v", body, err)
	}
	if answer.Detail == "" || !strings.HasPrefix(answer.Detail, detail) {
		t.Errorf("detail %q, want %q", answer.Detail, detail)
	}
	if h.Get("X-Sentry-Error") != answer.Detail {
		t.Errorf("X-Sentry-Error %q, detail %q", h.Get("X-Sentry-Error"), answer.Detail)
	}
	if h.Get("Content-Type") != "application/json" {
		t.Errorf("content type %q", h.Get("Content-Type"))
	}
	if bytes.Contains(body, []byte("causes")) && len(answer.Causes) == 0 {
		t.Error("empty causes")
	}
	if status == 405 && h.Get("Allow") == "" {
		t.Error("405 without Allow")
	}
	if (status == 429 || status == 503) && h.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// fullError is what a spool says that has no room.
type fullError struct{}

func (fullError) Error() string             { return "spool is full: /var/lib/secret" }
func (fullError) Reason() string            { return "spool_max_size" }
func (fullError) RetryAfter() time.Duration { return 1500 * time.Millisecond }

func TestSinkRefuses(t *testing.T) {
	for _, c := range []struct {
		name       string
		err        error
		panics     bool
		status     int
		retryAfter string
		books      string
	}{
		{"full", fullError{}, false, 503, "2", "web/error rate_limited:spool_max_size, web/session rate_limited:spool_max_size"},
		{"broken", errors.New("disk on fire"), false, 503, "10", "web/error rate_limited:spool_unavailable, web/session rate_limited:spool_unavailable"},
		{"panics", nil, true, 500, "", "web/error invalid:internal, web/session invalid:internal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t)
			e.sink.err, e.sink.panics = c.err, c.panics
			w := e.do(post(envelopePath, env(goodEvent, session)))
			if w.Code != c.status || w.Header().Get("Retry-After") != c.retryAfter {
				t.Errorf("status %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
			}
			if strings.Contains(w.Body.String(), "secret") || strings.Contains(w.Body.String(), "fire") {
				t.Errorf("answer tells internals: %s", w.Body)
			}
			if got := e.ledger.String(); got != c.books {
				t.Errorf("books: %s\n want: %s", got, c.books)
			}
			e.ledger.balanced(t)
		})
	}
}
