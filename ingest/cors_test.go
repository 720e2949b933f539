package ingest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const beaconPath = "/api/4201/vitals/?key=" + webKey

func TestPreflight(t *testing.T) {
	for _, c := range []struct {
		name, path, origin, headers string
		wantOrigin, credentials     string
	}{
		{"envelope", "/api/4201/envelope/", "https://shop.example", "content-type", "*", ""},
		{"unknown project", "/api/999/envelope/", "https://evil.example", "content-type", "*", ""},
		{"project is no number", "/api/x/store/", "null", "x-sentry-auth", "*", ""},
		{"tunnel", "/t", "https://shop.example", "content-type", "*", ""},
		{"beacon as JSON blob", "/api/4201/vitals/", "https://shop.example", "content-type", "https://shop.example", "true"},
		{"beacon from a sandbox", "/api/4201/vitals/", "null", "content-type", "null", "true"},
		{"beacon by a tool", "/api/4201/vitals/", "", "", "*", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t)
			r := httptest.NewRequest(http.MethodOptions, c.path, nil)
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			r.Header.Set("Access-Control-Request-Method", "POST")
			r.Header.Set("Access-Control-Request-Headers", c.headers)
			r.Header.Set("Access-Control-Request-Private-Network", "true")
			w := e.do(r)
			h := w.Header()
			if w.Code != 200 || w.Body.Len() != 0 {
				t.Errorf("status %d, body %q", w.Code, w.Body)
			}
			if got := h.Get("Access-Control-Allow-Origin"); got != c.wantOrigin {
				t.Errorf("allow origin %q, want %q", got, c.wantOrigin)
			}
			if got := h.Get("Access-Control-Allow-Credentials"); got != c.credentials {
				t.Errorf("allow credentials %q, want %q", got, c.credentials)
			}
			if !strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") || h.Get("Access-Control-Max-Age") != "3600" ||
				h.Get("Access-Control-Allow-Private-Network") != "true" {
				t.Errorf("headers %v", h)
			}
			if got := e.ledger.String(); got != "" {
				t.Errorf("a preflight was counted: %s", got)
			}
		})
	}
}

// Every header that a captured preflight asks for is allowed.
func TestPreflightFixtures(t *testing.T) {
	e, seen := newEdge(t), 0
	for _, sdk := range []string{"sentry-browser", "web-vitals", "faro"} {
		for _, c := range loadFixtures(t, sdk) {
			if c.Method != http.MethodOptions {
				continue
			}
			seen++
			r := c.request()
			r.URL.Path = "/api/4201/vitals/"
			w := e.do(r)
			allowed := "," + strings.ReplaceAll(w.Header().Get("Access-Control-Allow-Headers"), " ", "") + ","
			for _, want := range strings.Split(r.Header.Get("Access-Control-Request-Headers"), ",") {
				if !strings.Contains(allowed, ","+strings.ToLower(strings.TrimSpace(want))+",") {
					t.Errorf("%s: %q is not allowed", c.name, want)
				}
			}
			if w.Header().Get("Access-Control-Allow-Origin") != r.Header.Get("Origin") {
				t.Errorf("%s: origin not echoed", c.name)
			}
		}
	}
	if seen == 0 {
		t.Fatal("no preflight among the fixtures")
	}
}

func TestBeaconOrigin(t *testing.T) {
	for _, c := range []struct {
		name, path, origin string
		status             int
		want, credentials  string
	}{
		{"allowed", "/api/5102/vitals/?key=" + appKey, "https://www.shop.example", 204, "https://www.shop.example", "true"},
		{"not allowed", "/api/5102/vitals/?key=" + appKey, "https://evil.example", 403, "*", ""},
		{"no origin", "/api/5102/vitals/?key=" + appKey, "", 204, "*", ""},
		{"app shell", "/api/5102/vitals/?key=" + appKey, "capacitor://localhost", 204, "capacitor://localhost", "true"},
		{"error before the project is known", "/api/5102/vitals/", "https://www.shop.example", 401, "https://www.shop.example", "true"},
		{"sentry route never echoes", envelopePath, "https://shop.example", 200, "*", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t)
			body := "LCP"
			if c.path == envelopePath {
				body = env(goodEvent)
			}
			r := post(c.path, body, "Cookie", "session=secret", "Authorization", "Bearer secret")
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			w := e.do(r)
			if w.Code != c.status {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != c.want {
				t.Errorf("allow origin %q, want %q", got, c.want)
			}
			if got := w.Header().Get("Access-Control-Allow-Credentials"); got != c.credentials {
				t.Errorf("allow credentials %q, want %q", got, c.credentials)
			}
			if c.path != envelopePath && w.Header().Get("Vary") != "Origin" {
				t.Error("no Vary: Origin")
			}
			if r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" {
				t.Error("the page's credentials are still on the request")
			}
		})
	}
}

// What no page can read exposes nothing, whatever is answered; a browser that
// checks for leave says so by another mode.
func TestOpaqueAnswers(t *testing.T) {
	for _, c := range []struct {
		mode, path string
		status     int
		opaque     bool
	}{
		{"no-cors", beaconPath, 204, true},
		{"no-cors", "/api/4201/vitals/", 401, true},
		{"cors", beaconPath, 204, false},
		{"cors", "/api/4201/vitals/", 401, false},
		{"", beaconPath, 204, false},
	} {
		w := newEdge(t).do(post(c.path, "LCP", "Origin", "https://shop.example", "Sec-Fetch-Mode", c.mode))
		h := w.Header()
		if w.Code != c.status || h.Get("Access-Control-Allow-Origin") != "https://shop.example" || h.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
			t.Errorf("mode %q, %s: status %d, headers %v", c.mode, c.path, w.Code, h)
		}
		for _, name := range []string{"Access-Control-Expose-Headers", "Access-Control-Allow-Credentials", "Vary"} {
			if c.opaque != (h.Get(name) == "") {
				t.Errorf("mode %q, %s: %s is %q", c.mode, c.path, name, h[name])
			}
		}
	}
}
