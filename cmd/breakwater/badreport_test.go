package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func apiReport(typ, body string) string {
	return `{"age":1,"type":"` + typ + `","url":"https://shop.example/p","user_agent":"UA","body":` + body + `}`
}

// Bad browser reports: see badRow.
func TestBadReports(t *testing.T) {
	a, _ := inProcess(t, oneProject)
	csp := []string{"Content-Type", "application/csp-report"}
	api := []string{"Content-Type", "application/reports+json; charset=utf-8"}
	with := func(headers []string, more ...string) []string { return slices.Concat(headers, more) }
	const unauthorized = "unknown unauthorized:"
	invalid := func(n int) string {
		if n == 1 {
			return "security invalid:invalid_report"
		}
		return fmt.Sprintf("%d× security invalid:invalid_report", n)
	}
	deep := strings.Repeat("[", 101) + strings.Repeat("]", 101)
	runBadRows(t, a, []badRow{
		{"no key", "/api/1/security/", aCSP, csp, "", 401, "missing authorization information", unauthorized + "missing_auth"},
		{"unknown key", "/api/1/security/?sentry_key=" + strings.Repeat("f", 32), aCSP, csp, "", 403, "event submission rejected", unauthorized + "project_id"},
		{"our own spelling of the key", "/api/1/security/?key=" + testKey, aCSP, csp, "", 401, "missing authorization information", unauthorized + "missing_auth"},
		{"project is a word", "/api/shop/security/?sentry_key=" + testKey, aCSP, csp, "", 400, "bad project path parameter", "unknown invalid:project_id"},
		{"get", securityPath, "", csp, "GET", 405, "method not allowed", ""},
		{"no content type", securityPath, aCSP, nil, "", 415, "unsupported content type", "unknown invalid:content_type"},
		{"text", securityPath, aCSP, []string{"Content-Type", "text/plain;charset=UTF-8"}, "", 415, "unsupported content type", "unknown invalid:content_type"},
		{"content type in pieces", securityPath, aCSP, []string{"Content-Type", ";;"}, "", 415, "unsupported content type", "unknown invalid:content_type"},
		{"csp at the other door", nelPath, aCSP, csp, "", 415, "unsupported content type", "unknown invalid:content_type"},
		{"empty", securityPath, "", csp, "", 400, "empty request body", "unknown invalid:no_data"},
		{"blanks", securityPath, " \r\n ", csp, "", 400, "empty request body", "unknown invalid:no_data"},
		{"not JSON", securityPath, "csp-report=1", csp, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"cut short", securityPath, aCSP[:50], csp, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"a text", securityPath, `"csp"`, csp, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"two texts", securityPath, aCSP + aCSP, csp, "", 400, "invalid JSON data", "unknown invalid:invalid_json"},
		{"empty array", securityPath, "[]", api, "", 400, "nothing in the request was usable", "unknown invalid:no_data"},
		{"too deep", securityPath, deep, api, "", 400, "JSON is nested too deeply", "unknown invalid:json_depth"},
		{"too large", securityPath, `{"csp-report":{"effective-directive":"x","script-sample":"` + strings.Repeat("x", 1<<20) + `"}}`, csp, "", 413, "request body too large", "unknown invalid:too_large"},
		{"unknown encoding", securityPath, aCSP, with(csp, "Content-Encoding", "lzma"), "", 415, "unsupported content encoding", "unknown invalid:content_encoding"},
		{"broken gzip", securityPath, aCSP, with(csp, "Content-Encoding", "gzip"), "", 400, "request body cannot be decompressed", "unknown invalid:invalid_compression"},
		{"no kind", securityPath, `{}`, csp, "", 400, "invalid browser report", invalid(1)},
		{"csp-report is a list", securityPath, `{"csp-report":[]}`, csp, "", 400, "invalid browser report", invalid(1)},
		{"csp without a directive", securityPath, `{"csp-report":{"blocked-uri":"inline"}}`, csp, "", 400, "invalid browser report", invalid(1)},
		{"violation without a directive", securityPath, apiReport("csp-violation", `{"blockedURL":"inline"}`), api, "", 400, "invalid browser report", invalid(1)},
		{"violation without a body", securityPath, `{"type":"csp-violation"}`, api, "", 400, "invalid browser report", invalid(1)},
		{"expect-ct is a text", securityPath, `{"expect-ct-report":"x"}`, []string{"Content-Type", "application/expect-ct-report+json"}, "", 400, "invalid browser report", invalid(1)},
		{"pins are a text", securityPath, `{"known-pins":"x"}`, []string{"Content-Type", "application/json"}, "", 400, "invalid browser report", invalid(1)},
		{"type is a number", securityPath, `{"type":7,"body":{}}`, api, "", 400, "invalid browser report", invalid(1)},
		{"network error without a body", nelPath, `[{"type":"network-error","body":7}]`, api, "", 400, "invalid browser report", invalid(1)},
		{"nothing but rubbish", securityPath, `[1,null,"x",[],{}]`, api, "", 400, "invalid browser report", invalid(5)},
		{"rubbish beside a good one", securityPath, `[1,` + apiReport("csp-violation", `{"effectiveDirective":"img-src"}`) + `,{}]`, api, "", 200, "", invalid(2) + ", security accepted"},
		{"a type of the future", securityPath, `[` + apiReport("hologram", `{}`) + `]`, api, "", 200, "", "security filtered:report_type"},
		{"too many", securityPath, "[" + strings.Repeat(aNEL+",", 104) + aNEL + "]", api, "", 200, "", "100× security accepted, 5× security invalid:too_many:report"},
		{"an extension's", securityPath, strings.Replace(aCSP, "https://ads.example/x.gif", "chrome-extension", 1), csp, "", 200, "", "security filtered:invalid-csp"},
		{"a crawler's", securityPath, aCSP, with(csp, "User-Agent", "Googlebot/2.1"), "", 200, "", "security filtered:web-crawlers"},
	})
}

// Browsers ask before they send across origins: without credentials for what
// they report by themselves, with them for a beacon of a script.
func TestReportPreflight(t *testing.T) {
	a, _ := inProcess(t, oneProject)
	for _, path := range []string{"/api/1/security/", "/api/1/csp-report", "/api/1/nel/", "/api/999/security/"} {
		r := httptest.NewRequest(http.MethodOptions, path, nil)
		r.Header.Set("Origin", "https://shop.example")
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Access-Control-Request-Headers", "content-type")
		w := httptest.NewRecorder()
		a.edge.ServeHTTP(w, r)
		h := w.Header()
		if w.Code != 200 || h.Get("Access-Control-Allow-Origin") != "https://shop.example" || h.Get("Access-Control-Allow-Credentials") != "true" ||
			!strings.Contains(h.Get("Access-Control-Allow-Headers"), "content-type") || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") || h.Get("Vary") != "Origin" {
			t.Errorf("%s: %d %v", path, w.Code, h)
		}
	}
}
