package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func ask(h http.Handler, method, path, auth string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host = "127.0.0.1:8081"
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Machines read three paths without the token, at exactly these paths; all
// else, profiles and unknown paths too, tells a stranger nothing.
func TestToken(t *testing.T) {
	h := handler(Options{})
	again := func() http.Handler { return handler(Options{}) } // wrong tokens are rationed
	for _, path := range []string{"/metrics", "/-/healthy", "/-/ready"} {
		if w := ask(h, http.MethodGet, path, ""); w.Code != http.StatusOK {
			t.Errorf("%s without token: %d", path, w.Code)
		}
	}
	for _, c := range []struct{ method, path string }{
		{http.MethodGet, "/"},
		{http.MethodGet, "/api/v1/status"},
		{http.MethodPost, "/-/reload"},
		{http.MethodGet, "/static/console.js"},
		{http.MethodGet, "/live?page=overview"},
		{http.MethodGet, "/api/v1/tail"},
		{http.MethodPost, "/act/drop?all=true"},
		{http.MethodPost, "/api/v1/dead-letters/drop"},
		{http.MethodGet, "/debug/pprof"},
		{http.MethodGet, "/debug/pprof/"},
		{http.MethodGet, "/debug/pprof/heap"},
		{http.MethodGet, "/debug/pprof/cmdline"},
		{http.MethodGet, "/debug/pprof/symbol"},
		{http.MethodGet, "/nothing"},
		{http.MethodGet, "/metrics/"},
		{http.MethodGet, "//metrics"},
		{http.MethodGet, "/metrics/../api/v1/status"},
		{http.MethodGet, "/-/ready/"},
	} {
		h := again()
		for _, auth := range []string{"", "Bearer ", "Bearer wrong", "Bearer " + token + "x", "Basic " + token, token, "bearer"} {
			if w := ask(h, c.method, c.path, auth); w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" || strings.Contains(w.Body.String(), "well") {
				t.Errorf("%s %s with %q: %d %s", c.method, c.path, auth, w.Code, w.Body)
			}
		}
		if strings.Contains(c.path, "live") || strings.Contains(c.path, "tail") {
			continue // they would never end
		}
		if w := ask(h, c.method, c.path, "Bearer "+token); w.Code == http.StatusUnauthorized {
			t.Errorf("%s %s with the token: %d", c.method, c.path, w.Code)
		}
	}
}

// A token that a reload changed counts from the next request.
func TestTokenChanges(t *testing.T) {
	now := "first-token-of-all"
	h := handler(Options{Token: func() string { return now }})
	if w := ask(h, http.MethodGet, "/api/v1/status", "Bearer first-token-of-all"); w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	now = "second-token-of-all"
	if w := ask(h, http.MethodGet, "/api/v1/status", "Bearer first-token-of-all"); w.Code != http.StatusUnauthorized {
		t.Errorf("the old token is answered %d", w.Code)
	}
	now = "" // on loopback
	if w := ask(h, http.MethodGet, "/api/v1/status", ""); w.Code != http.StatusOK {
		t.Errorf("without a token configured: %d", w.Code)
	}
}

// Readiness, a refused reload and a wrong method say what is the matter.
func TestAnswers(t *testing.T) {
	type mistake struct {
		Line int `json:"line"`
	}
	h := handler(Options{
		Token:    func() string { return "" },
		Ready:    func() error { return errors.New("shutting down") },
		Reload:   func() error { return errors.New("2 problems") },
		Problems: func(error) any { return []mistake{{3}, {7}} },
	})
	if w := ask(h, http.MethodGet, "/-/ready", ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "shutting down") {
		t.Errorf("ready: %d %s", w.Code, w.Body)
	}
	if w := ask(h, http.MethodGet, "/-/healthy", ""); w.Code != http.StatusOK {
		t.Errorf("healthy while shutting down: %d", w.Code)
	}
	w := ask(h, http.MethodPost, "/-/reload", "")
	var fault struct {
		Status, Detail string
		Problems       []mistake
	}
	if err := json.Unmarshal(w.Body.Bytes(), &fault); err != nil || w.Code != http.StatusUnprocessableEntity || fault.Status != "refused" || fmt.Sprint(fault.Problems) != "[{3} {7}]" {
		t.Errorf("reload: %d %s", w.Code, w.Body)
	}
	if w := ask(h, http.MethodGet, "/-/reload", ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET of a reload, which a page could make a browser do: %d", w.Code)
	}
	if w := ask(h, http.MethodGet, "/", ""); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "<well>") || w.Header().Get("Content-Security-Policy") == "" {
		t.Errorf("start page: %d %s", w.Code, w.Body)
	}
}

// A page the operator happens to visit must not be able to reload the gateway.
func TestForeignPagesMayNotAct(t *testing.T) {
	h := handler(Options{Token: func() string { return "" }})
	for origin, want := range map[string]int{
		"":                       http.StatusOK,
		"http://127.0.0.1:8081":  http.StatusOK,
		"https://evil.example":   http.StatusForbidden,
		"null":                   http.StatusForbidden,
		"http://127.0.0.1:18081": http.StatusForbidden,
	} {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8081/-/reload", nil)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("origin %q: %d, want %d: %s", origin, w.Code, want, w.Body)
		}
	}
}

// The links of alerts lead to a page of their own, behind the token.
func TestHelp(t *testing.T) {
	h := handler(Options{Help: []HelpPage{{Name: "SpoolFull", Title: "It is full.", Severity: "critical", HTML: "<h2>Meaning</h2>"}}})
	bearer := "Bearer " + token
	if w := ask(h, http.MethodGet, "/help/alerts/SpoolFull", bearer); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "<h1>SpoolFull</h1>") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, path := range []string{"/help/alerts", "/help/alerts/"} {
		if w := ask(h, http.MethodGet, path, bearer); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `href="/help/alerts/SpoolFull"`) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := ask(h, http.MethodGet, "/help/alerts/Other", bearer); w.Code != http.StatusNotFound {
		t.Errorf("an alert that is not: %d", w.Code)
	}
	if w := ask(h, http.MethodGet, "/help/alerts/SpoolFull", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("without the token: %d", w.Code)
	}
}
