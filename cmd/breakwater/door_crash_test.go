package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

const crashPath = "/api/1/crash/?key=" + testKey

// Bad crash reports: see badRow.
func TestBadCrashReports(t *testing.T) {
	a, _ := inProcess(t, oneProject+"    storm: {then_one_in: 1}\n")
	js := []string{"Content-Type", "application/json"}
	with := func(more ...string) []string { return slices.Concat(js, more) }
	deep := `{"message":"x","contexts":{"a":{"b":` + strings.Repeat("[", 101) + strings.Repeat("]", 101) + `}}}`
	const unauthorized, bad = "unknown unauthorized:", "error invalid:invalid_report"
	const good = `{"message":"out of memory"}`
	runBadRows(t, a, []badRow{
		{"no key", "/api/1/crash/", good, js, "", 401, "missing authorization information", unauthorized + "missing_auth"},
		{"key that is no key", "/api/1/crash/?key=abc", good, js, "", 400, "bad sentry DSN public key", unauthorized + "bad_key"},
		{"unknown key", "/api/1/crash/", good, with("X-Breakwater-Key", strings.Repeat("f", 32)), "", 403, "event submission rejected", unauthorized + "project_id"},
		{"two keys", crashPath, good, with("X-Api-Key", strings.Repeat("f", 32)), "", 401, "multiple authorization payloads", unauthorized + "multiple_auth"},
		{"project is a word", "/api/shop/crash/?key=" + testKey, good, js, "", 400, "bad project path parameter", "unknown invalid:project_id"},
		{"get", crashPath, "", js, "GET", 405, "method not allowed", ""},
		{"empty", crashPath, "", js, "", 400, "empty request body", "unknown invalid:no_data"},
		{"blanks", crashPath, "\r\n ", js, "", 400, "empty request body", "unknown invalid:no_data"},
		{"not JSON", crashPath, "message=x", js, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"cut short", crashPath, good[:15], js, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"two reports in a row", crashPath, good + good, js, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"too deep", crashPath, deep, js, "", 400, "JSON is nested too deeply", "unknown invalid:json_depth"},
		{"too large", crashPath, `{"message":"x","contexts":{"a":{"b":"` + strings.Repeat("x", 1<<20) + `"}}}`, js, "", 413, "request body too large", "unknown invalid:too_large"},
		{"unknown encoding", crashPath, good, with("Content-Encoding", "lzma"), "", 415, "unsupported content encoding", "unknown invalid:content_encoding"},
		{"broken gzip", crashPath, good, with("Content-Encoding", "gzip"), "", 400, "request body cannot be decompressed", "unknown invalid:invalid_compression"},
		{"a number", crashPath, "7", js, "", 400, "invalid crash report", bad},
		{"nothing to tell", crashPath, `{"platform":"ios"}`, js, "", 400, "invalid crash report", bad},
		{"message is a number", crashPath, `{"message":1}`, js, "", 400, "invalid crash report", bad},
		{"id that is none", crashPath, `{"message":"x","id":"7"}`, js, "", 400, "invalid crash report", bad},
		{"time that is none", crashPath, `{"message":"x","timestamp":"soon"}`, js, "", 400, "invalid crash report", bad},
		{"level that is none", crashPath, `{"message":"x","level":"loud"}`, js, "", 400, "invalid crash report", bad},
		{"frames before the first line", crashPath, `{"exceptions":[{"type":"E","frames":[{"lineno":-1}]}]}`, js, "", 400, "invalid crash report", bad},
		{"empty list", crashPath, `{"reports":[]}`, js, "", 400, "nothing in the request was usable", "unknown invalid:no_data"},
		{"list of rubbish", crashPath, `[1,null,{}]`, js, "", 400, "invalid crash report", "3× " + bad},
		{"rubbish beside a good one", crashPath, `{"sent_at":7,"reports":[1,` + good + `,{}]}`, js, "", 200, "", "2× " + bad + ", error accepted"},
		{"more than a list may have", crashPath, "[" + strings.Repeat(good+",", 52) + good + "]", js, "", 200, "", "3× error invalid:too_many_reports, 50× error accepted"},
		{"an id twice in a list", crashPath, `[{"message":"a","id":"00000000000000000000000000000001"},{"message":"b","id":"00000000000000000000000000000001"}]`, js, "", 200, "", "error accepted, error filtered:duplicate"},
		{"an id again", crashPath, `{"message":"a","id":"00000000-0000-0000-0000-000000000001"}`, js, "", 200, "", "error filtered:duplicate"},
	})
}

// An offline queue in a real process: a list with a bad report says which, what
// was taken is a duplicate when it comes again, a limit holds back the rest until
// there is room, and every report arrives once with its own id and time.
func TestCrashQueue(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "    storm: {then_one_in: 1}\n    limits: {categories: {error: {rate: 30/m, burst: 2}}}\n")).start()
	post := func(body string) (int, http.Header, string) {
		resp, err := http.Post("http://"+g.public+crashPath, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header, string(answer)
	}
	id := func(n int) string { return fmt.Sprintf("%032x", n) }
	report := func(n int) string {
		return fmt.Sprintf(`{"id":%q,"message":"crash %s","platform":"android","timestamp":"2026-01-0%dT10:00:00Z"}`, id(n), letters(n), n)
	}
	if status, _, answer := post(report(1)); status != 200 || answer != `{"id":"`+id(1)+`"}` {
		t.Fatalf("%d %s", status, answer)
	}
	if status, _, answer := post(report(1)); status != 200 || answer != `{"id":"`+id(1)+`"}` {
		t.Fatalf("again: %d %s", status, answer)
	}
	// The clock of this phone is two hours ahead: its times are moved by that.
	sentAt := time.Now().Add(2 * time.Hour).UTC().Format(time.RFC3339)
	list := `{"sent_at":"` + sentAt + `","reports":[` + strings.Join([]string{report(1), report(2), `{"level":"loud"}`, report(3), report(4), report(5)}, ",") + `]}`
	want := `{"reports":[{"id":"` + id(1) + `","status":"duplicate"},{"id":"` + id(2) + `","status":"%s"},{"status":"invalid","detail":"level: one of fatal error warning info debug"},` +
		`{"id":"` + id(3) + `","status":"%s"},{"id":"` + id(4) + `","status":"%s"},{"id":"` + id(5) + `","status":"%s"}]}`
	tries := 0
	eventually(t, 90*time.Second, func() error {
		tries++
		status, h, answer := post(list)
		if status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
		plain := strings.NewReplacer("accepted", "%s", "duplicate", "%s", "limited", "%s").Replace(answer)
		if plain != strings.Replace(want, "duplicate", "%s", 1) {
			t.Fatalf("%s\nwant %s", answer, want)
		}
		limited := strings.Count(answer, `"limited"`)
		if told := h.Get("Retry-After") != "" && strings.Contains(h.Get("X-Sentry-Rate-Limits"), ":error:"); told != (limited > 0) {
			t.Fatalf("%d are limited, headers %v", limited, h)
		}
		if limited > 0 {
			return fmt.Errorf("%d still limited after %d tries", limited, tries)
		}
		return nil
	})
	if tries < 2 {
		t.Error("the list was never limited")
	}
	// More than there can be room for: nothing of this one is kept, or a part.
	if status, h, answer := post(`[` + report(6) + `,` + report(7) + `,` + report(8) + `]`); status == 429 {
		if h.Get("Retry-After") == "" || !strings.HasPrefix(answer, `{"detail":"event rejected by a rate limit"`) {
			t.Errorf("%v %s", h, answer)
		}
	} else if !strings.Contains(answer, `"limited"`) {
		t.Errorf("%d %s", status, answer)
	}
	eventually(t, 20*time.Second, g.emptySpool)
	times := map[string]string{}
	for _, r := range up.Taken() {
		for _, it := range r.Items {
			if it.Header.Type != "event" {
				continue
			}
			ev, err := schemas.ParseEvent(it.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if r.EventID != ev.EventID() || times[ev.EventID()] != "" {
				t.Errorf("event %s came as %s, before at %q", ev.EventID(), r.EventID, times[ev.EventID()])
			}
			at, _ := ev.Timestamp()
			times[ev.EventID()] = at.Format(time.RFC3339)
		}
	}
	for n := 1; n <= 5; n++ {
		happened := time.Date(2026, 1, n, 10, 0, 0, 0, time.UTC)
		if n > 1 {
			happened = happened.Add(-2 * time.Hour)
		}
		at, err := time.Parse(time.RFC3339, times[id(n)])
		if err != nil || at.Sub(happened).Abs() > time.Minute {
			t.Errorf("crash %d happened at %q, want %v", n, times[id(n)], happened)
		}
	}
	g.closed(t)
}

// While the first request with an id is being decided the same id is answered
// 503 with Retry-After; the answers can be read by a page.
func TestCrashAnswersCarryRetryAfter(t *testing.T) {
	a, _ := inProcess(t, oneProject)
	claim, _ := a.crashes.Begin("shop", []byte(strings.Repeat("a", 32)))
	r := httptest.NewRequest(http.MethodPost, crashPath, strings.NewReader(`{"message":"x","id":"`+strings.Repeat("a", 32)+`"}`))
	w := httptest.NewRecorder()
	a.edge.ServeHTTP(w, r)
	var answer struct{ Detail string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 503 || w.Header().Get("Retry-After") != "1" || answer.Detail == "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	claim.GiveBack()
	w = httptest.NewRecorder()
	a.edge.ServeHTTP(w, httptest.NewRequest(http.MethodPost, crashPath, strings.NewReader(`{"message":"x","id":"`+strings.Repeat("a", 32)+`"}`)))
	if w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
