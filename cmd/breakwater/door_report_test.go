package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

const (
	securityPath = "/api/1/security/?sentry_key=" + testKey
	nelPath      = "/api/1/nel/?sentry_key=" + testKey
	aCSP         = `{"csp-report":{"document-uri":"https://shop.example/","effective-directive":"img-src","blocked-uri":"https://ads.example/x.gif"}}`
	aNEL         = `{"age":5,"type":"network-error","url":"https://shop.example/","body":{"type":"dns.name_not_resolved","phase":"dns","elapsed_time":3}}`
)

// Every captured report, of every kind and form, goes through a real process:
// each is answered as a browser expects, and each of its reports arrives once,
// in the place that Sentry has for its kind, with the bytes it came with.
func TestReplayOfBrowserReports(t *testing.T) {
	up := startUpstream(t, relaytest.Options{Key: relaytest.TestKey})
	host := strings.TrimPrefix(up.URL(), "http://")
	g := newGateway(t, fmt.Sprintf(plainConfig, relaytest.TestKey, host, relaytest.TestKey, host)).start()
	list := loadFixtures(t, func(f fixture) bool { return strings.HasPrefix(f.Dir, "browser-reports/") })
	if len(list) < 16 {
		t.Fatalf("only %d fixtures", len(list))
	}
	want := map[string]int{}
	send := func(method, path string, h http.Header, body []byte) *http.Response {
		req, err := http.NewRequest(method, "http://"+g.public+path, bytes.NewReader(body))
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
		if resp.StatusCode != 200 || len(answer) > 0 {
			t.Errorf("%s %s: answered %d %s", method, path, resp.StatusCode, answer)
		}
		if h.Get("Origin") != "" && resp.Header.Get("Access-Control-Allow-Origin") != h.Get("Origin") {
			t.Errorf("%s %s: the page's origin is not allowed: %v", method, path, resp.Header)
		}
		return resp
	}
	for _, f := range list {
		path := f.Path
		if !strings.HasPrefix(path, "/api/") { // captured at addresses of the capture server's own
			path = "/api/4201/security/?sentry_key=" + browserKey
		}
		body := f.body(t)
		send(f.Method, path, f.headers(t), body)
		if f.Method == http.MethodOptions {
			continue
		}
		for _, r := range reportsIn(t, body) {
			want[r]++
		}
	}
	// Of what Chromium does not send to a capture, as the specifications have it.
	made := "[" + strings.Join([]string{aNEL, apiReport("crash", `{"reason":"oom"}`), apiReport("intervention", `{"id":"HeavyAd","message":"too heavy","sourceFile":"https://shop.example/ad.js","lineNumber":7,"columnNumber":3}`)}, ",") + "]"
	send("POST", "/api/4201/nel/?sentry_key="+browserKey, http.Header{"Content-Type": {"application/reports+json"}, "User-Agent": {"UA"}}, []byte(made))
	for _, r := range reportsIn(t, []byte(made)) {
		want[r]++
	}
	for _, classic := range []string{
		`{"expect-ct-report":{"date-time":"2026-11-24T03:00:00Z","hostname":"shop.example","port":443,"scts":[]}}`,
		`{"expect-staple-report":{"date-time":"2026-11-24T03:00:00Z","hostname":"shop.example","port":443,"response-status":"MISSING"}}`,
		`{"date-time":"2026-11-24T03:00:00Z","hostname":"shop.example","port":443,"known-pins":["pin-sha256=\"d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=\""]}`,
	} {
		send("POST", "/api/4201/csp-report/?sentry_key="+browserKey, http.Header{"Content-Type": {"application/json"}}, []byte(classic))
		want["raw_security "+classic]++
	}
	total := 0
	for _, n := range want {
		total += n
	}
	got := func() map[string]int {
		seen := map[string]int{}
		for _, r := range up.Taken() {
			for _, it := range r.Items {
				for _, key := range arrived(t, r, it) {
					seen[key]++
				}
			}
		}
		return seen
	}
	eventually(t, 30*time.Second, func() error {
		n := 0
		for _, m := range got() {
			n += m
		}
		if n < total {
			return fmt.Errorf("%d of %d reports arrived", n, total)
		}
		return nil
	})
	seen := got()
	for key, n := range want {
		if seen[key] != n {
			t.Errorf("%d times, want %d: %.300s", seen[key], n, key)
		}
	}
	for key := range seen {
		if want[key] == 0 {
			t.Errorf("nobody sent %.300s", key)
		}
	}
	if p := up.Problems(); len(p) > 0 {
		t.Errorf("the upstream found fault: %v", p)
	}
	kinds := map[string]int{}
	for key, n := range want {
		kind, _, _ := strings.Cut(key, " ")
		kinds[kind] += n
	}
	t.Logf("%d requests, %d reports: %v", len(list), total, kinds)
	g.closed(t)
}

// reportsIn are the reports of a body as they should arrive: the kind, and the
// bytes of what is passed on as it is or the words of what is not.
func reportsIn(t *testing.T, body []byte) (list []string) {
	t.Helper()
	all := [][]byte{body}
	if body[0] == '[' {
		all = nil
		for el := range schemas.Elements(body) {
			all = append(all, el)
		}
	}
	for _, raw := range all {
		var r struct {
			Type string
			Body struct{ Message, Reason string }
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		switch r.Type {
		case "", "csp-violation":
			list = append(list, "raw_security "+string(raw))
		case "network-error":
			list = append(list, "nel "+string(raw))
		case "crash":
			list = append(list, "event BrowserCrash "+r.Body.Reason)
		default:
			list = append(list, "log "+r.Type+" "+r.Body.Message)
		}
	}
	return list
}

// arrived is the same of an item at the upstream; it checks what Sentry needs
// to take it.
func arrived(t *testing.T, r *relaytest.Request, it relaytest.Item) []string {
	t.Helper()
	typ := it.Header.Type
	switch typ {
	case "raw_security", "event":
		if len(r.EventID) != 32 {
			t.Errorf("%s without an event id", typ)
		}
	}
	switch typ {
	case "event":
		ev, err := schemas.ParseEvent(it.Payload)
		if err != nil {
			t.Fatal(err)
		}
		ex := ev.Exceptions()
		if ev.EventID() != r.EventID || len(ex) != 1 || ev.Level() != "fatal" || ev.RequestURL() != "https://shop.example/p" || ev.UserAgent() != "UA" {
			t.Errorf("event %s", it.Payload)
		}
		return []string{typ + " " + ex[0].Type + " " + ex[0].Value}
	case "log":
		c, err := schemas.ParseContainer(it.Payload)
		if n, ok := it.Header.ItemCount(); err != nil || !ok || n != len(c.Items) || !it.Header.IsContainer() {
			t.Fatalf("container %s %s: %v", it.Header.Bytes(), it.Payload, err)
		}
		var keys []string
		for _, raw := range c.Items {
			var e struct {
				Timestamp  float64
				TraceID    string `json:"trace_id"`
				Level      string
				Body       string
				Attributes map[string]struct {
					Value any
					Type  string
				}
			}
			if err := json.Unmarshal(raw, &e); err != nil || e.Timestamp < 1.7e9 || len(e.TraceID) != 32 || e.Level != "warn" || len(e.Attributes) < 3 {
				t.Fatalf("entry %s: %v", raw, err)
			}
			keys = append(keys, fmt.Sprintf("log %v %s", e.Attributes["browser.report.type"].Value, e.Body))
			if url := e.Attributes["url.full"]; url.Type != "string" || url.Value == "" {
				t.Errorf("no page in %s", raw)
			}
		}
		return keys
	}
	return []string{typ + " " + string(it.Payload)}
}

// Release and environment of the address stand in the item's header, where
// Sentry looks for them; wrong ones are replaced by the project's.
func TestReportRelease(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "    release: {default: shop@0, environment: staging}\n")).start()
	for query, want := range map[string]string{
		"&sentry_release=shop%401.4.2&sentry_environment=production": "shop@1.4.2 production",
		"&sentry_release=a/b&sentry_environment=none":                "shop@0 staging",
		"": "shop@0 staging",
	} {
		resp, err := http.Post("http://"+g.public+securityPath+query, "application/csp-report", strings.NewReader(aCSP))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		eventually(t, 20*time.Second, g.emptySpool)
		taken := up.Taken()
		h := taken[len(taken)-1].Items[0].Header
		release, _ := h.String("sentry_release")
		environment, _ := h.String("sentry_environment")
		if got := release + " " + environment; got != want {
			t.Errorf("%q became %q, want %q", query, got, want)
		}
	}
}

// A flood of CSP reports, far over every rate, leaves errors of the same key
// and address alone; and NEL is never told of a limit.
func TestReportsDoNotStarveErrors(t *testing.T) {
	a, _ := inProcess(t, strings.Replace(oneProject, "    vitals:", "    limits: {per_key: {rate: 1/h, burst: 20}}\n    vitals:", 1)+"limits: {per_ip: {rate: 1/h, burst: 40}}\n")
	post := func(path, typ, body string) int {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", typ)
		w := httptest.NewRecorder()
		a.edge.ServeHTTP(w, r)
		return w.Code
	}
	statuses := map[int]int{}
	for range 60 {
		statuses[post(securityPath, "application/csp-report", aCSP)]++
	}
	if !maps.Equal(statuses, map[int]int{200: 20, 429: 40}) {
		t.Errorf("the flood was answered %v", statuses)
	}
	for i := range 20 {
		if got := post(envelopePath, "text/plain", anEnvelope); got != 200 {
			t.Fatalf("error %d beside the flood was answered %d", i, got)
		}
	}
	if got := post(envelopePath, "text/plain", anEnvelope); got != 429 {
		t.Errorf("the errors' own rate does not hold: %d", got)
	}
	before := books(t, a)
	if got := post(nelPath, "application/reports+json", "["+aNEL+"]"); got != 200 {
		t.Errorf("NEL over the rate was answered %d", got)
	}
	if got := booksSince(before, books(t, a)); got != "unknown rate_limited:per_ip" {
		t.Errorf("counted %s", got)
	}
}

// The category has a rate of its own that nobody has to set.
func TestReportsHaveABudget(t *testing.T) {
	a, _ := inProcess(t, oneProject+"limits: {per_ip: {rate: 100000/s, burst: 100000}}\n")
	body := "[" + strings.Repeat(aNEL+",", 99) + aNEL + "]"
	before, began := books(t, a), time.Now()
	for range 10 {
		r := httptest.NewRequest(http.MethodPost, nelPath, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		a.edge.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Errorf("answered %d", w.Code)
		}
	}
	after, meanwhile := books(t, a), 50*time.Since(began).Seconds()
	accepted := after["security accepted"] - before["security accepted"]
	if limited := after["security rate_limited:category"] - before["security rate_limited:category"]; accepted < 500 || accepted > 501+meanwhile || accepted+limited != 1000 {
		t.Errorf("%v accepted, %v limited, want 500 and the %.0f that came back meanwhile", accepted, limited, meanwhile)
	}
}

// What browsers report names addresses with queries, and quotes scripts: it is
// scrubbed like everything else before it rests or leaves.
func TestReportsAreScrubbed(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "    scrub: {email: true}\n")).start()
	const leak = "https://shop.example/p?token=hunter2&mail=ann@shop.example"
	body := "[" + strings.Join([]string{
		apiReport("csp-violation", `{"effectiveDirective":"img-src","blockedURL":"`+leak+`","documentURL":"`+leak+`","sample":"var password='hunter2'"}`),
		`{"type":"network-error","url":"` + leak + `","body":{"referrer":"` + leak + `","phase":"dns","request_headers":{"authorization":["Bearer hunter2"]}}}`,
		`{"type":"deprecation","url":"` + leak + `","body":{"message":"old, says ann@shop.example","apikey":"hunter2"}}`,
		`{"type":"crash","url":"` + leak + `","body":{"reason":"oom","stack":"at x?token=hunter2","password":"hunter2"}}`,
	}, ",") + "]"
	resp, err := http.Post("http://"+g.public+securityPath, "application/reports+json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	eventually(t, 20*time.Second, g.emptySpool)
	items := 0
	for _, r := range up.Taken() {
		for _, it := range r.Items {
			items++
			if s := string(it.Payload); strings.Contains(s, "hunter2") || strings.Contains(s, "ann@") {
				t.Errorf("%s: %s", it.Header.Type, s)
			}
		}
	}
	if items != 4 {
		t.Errorf("%d items arrived", items)
	}
}
