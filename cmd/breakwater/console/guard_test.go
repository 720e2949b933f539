package console

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

func markOf(t *testing.T, page string) string {
	t.Helper()
	m := regexp.MustCompile(`name="mark" value="([0-9a-f]{64})"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no mark in\n%s", page)
	}
	return m[1]
}

// signedIn is the cookie of a browser that signed in.
func signedIn(t *testing.T, h http.Handler) *http.Cookie {
	t.Helper()
	w := call(h, http.MethodPost, "/signin", "token="+token+"&next=/spool", form)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/spool" || len(w.Result().Cookies()) != 1 {
		t.Fatalf("signing in: %d %v %s", w.Code, w.Header(), w.Body)
	}
	return w.Result().Cookies()[0]
}

func with(c *http.Cookie) func(*http.Request) { return func(r *http.Request) { r.AddCookie(c) } }

// The token becomes a session once; the cookie is for this site only, and no
// script can read it. It ends with its time, by signing out, and with the token.
func TestSignIn(t *testing.T) {
	f := newFake(1)
	now := token
	h := handler(Options{Token: func() string { return now }, Spool: f, Relay: f, State: f, Now: f.clock})
	w := call(h, http.MethodGet, "/spool?x=1", "", html)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("a stranger is answered %d", w.Code)
	}
	contains(t, w.Body.String(), "Admin token", `name="next" value="/spool?x=1"`)
	if strings.Contains(w.Body.String(), "shop") {
		t.Error("the sign-in page tells of the gateway")
	}
	c := signedIn(t, h)
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || c.Path != "/" || c.MaxAge != 12*3600 {
		t.Errorf("cookie %v", c)
	}
	secureCookie := call(h, http.MethodPost, "/signin", "token="+token, form, header("X-Forwarded-Proto", "https")).Result().Cookies()[0]
	if !secureCookie.Secure {
		t.Error("behind TLS the cookie may travel without")
	}
	if w = call(h, http.MethodGet, "/spool", "", html, with(c)); w.Code != 200 {
		t.Errorf("signed in: %d", w.Code)
	}
	if w = call(h, http.MethodGet, "/api/v1/spool", "", with(c)); w.Code != 200 {
		t.Errorf("the API of a session: %d", w.Code)
	}
	mark := markOf(t, call(h, http.MethodGet, "/", "", html, with(c)).Body.String())
	if w = call(h, http.MethodPost, "/signout", "mark="+mark, form, with(c)); w.Code != http.StatusSeeOther {
		t.Errorf("signing out: %d", w.Code)
	}
	if w = call(h, http.MethodGet, "/spool", "", html, with(c)); w.Code != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", w.Code)
	}
	c = signedIn(t, h)
	f.now.Add(int64((sessionLife + time.Second).Seconds()))
	if w = call(h, http.MethodGet, "/spool", "", html, with(c)); w.Code != http.StatusUnauthorized {
		t.Errorf("after twelve hours: %d", w.Code)
	}
	c = signedIn(t, h)
	now = "another-token-of-letters"
	if w = call(h, http.MethodGet, "/spool", "", html, with(c)); w.Code != http.StatusUnauthorized {
		t.Errorf("after the token changed: %d", w.Code)
	}
}

// Sessions are bounded: the oldest goes.
func TestSessionsAreBounded(t *testing.T) {
	s := newSessions(func() time.Time { return time.Unix(1, 0) })
	for range 3 * maxSessions {
		s.start(token, false)
	}
	if n := len(s.open); n != maxSessions {
		t.Errorf("%d sessions", n)
	}
}

// Guessing is slow: an address has a few wrong tokens and then one a second,
// by header and by form together; others are not touched.
func TestAttemptsAreRationed(t *testing.T) {
	f := newFake(0)
	h := handler(Options{Spool: f, Relay: f, State: f, Now: f.clock})
	wrong := func(i int, from string) int {
		set := func(r *http.Request) { r.RemoteAddr = from + ":1" }
		if i%2 == 0 {
			return call(h, http.MethodPost, "/signin", "token=guess", form, set).Code
		}
		return call(h, http.MethodGet, "/api/v1/spool", "", header("Authorization", "Bearer guess"), set).Code
	}
	for i := range attemptBurst {
		if code := wrong(i, "192.0.2.1"); code != http.StatusUnauthorized {
			t.Fatalf("attempt %d: %d", i, code)
		}
	}
	for i := range 4 {
		if code := wrong(i, "192.0.2.1"); code != http.StatusTooManyRequests {
			t.Errorf("attempt beyond: %d", code)
		}
	}
	w := call(h, http.MethodGet, "/api/v1/spool", "", header("Authorization", "Bearer "+token), func(r *http.Request) { r.RemoteAddr = "192.0.2.1:2" })
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("the right token of a tired address tells that it is right: %d", w.Code)
	}
	if code := wrong(1, "192.0.2.2"); code != http.StatusUnauthorized {
		t.Errorf("another address: %d", code)
	}
	f.now.Add(2)
	if code := wrong(1, "192.0.2.1"); code != http.StatusUnauthorized {
		t.Errorf("two seconds later: %d", code)
	}
	for range 3 * attemptBurst { // the right one costs nothing
		if w := call(h, http.MethodGet, "/api/v1/spool", "", header("Authorization", "Bearer "+token), func(r *http.Request) { r.RemoteAddr = "192.0.2.3:2" }); w.Code != 200 {
			t.Fatalf("the right token: %d", w.Code)
		}
	}
}

// No page of a stranger can act, whatever the way: another origin, a form of
// another session or without a mark, a GET, a name that leads to loopback.
func TestForgery(t *testing.T) {
	f := newFake(3)
	h := handler(Options{Spool: f, Relay: f, State: f, Now: f.clock})
	c := signedIn(t, h)
	other := signedIn(t, h)
	mark := markOf(t, call(h, http.MethodGet, "/act/drop?all=true", "", html, with(c)).Body.String())
	foreignMark := markOf(t, call(h, http.MethodGet, "/act/drop?all=true", "", html, with(other)).Body.String())
	good := url.Values{"all": {"true"}, "mark": {mark}}.Encode()
	for name, w := range map[string]*httptest.ResponseRecorder{
		"another origin":         call(h, http.MethodPost, "/act/drop", good, form, with(c), header("Origin", "https://evil.example")),
		"no origin at all":       call(h, http.MethodPost, "/act/drop", good, form, with(c), header("Origin", "")),
		"a cross-site fetch":     call(h, http.MethodPost, "/act/drop", good, form, with(c), func(r *http.Request) { r.Header.Del("Origin"); r.Header.Set("Sec-Fetch-Site", "cross-site") }),
		"no mark":                call(h, http.MethodPost, "/act/drop", "all=true", form, with(c)),
		"another session's mark": call(h, http.MethodPost, "/act/drop", url.Values{"all": {"true"}, "mark": {foreignMark}}.Encode(), form, with(c)),
		"the API, cross-origin":  call(h, http.MethodPost, "/api/v1/dead-letters/drop", `{"all":true}`, with(c), header("Origin", "https://evil.example")),
		"the API, no origin":     call(h, http.MethodPost, "/api/v1/dead-letters/drop", `{"all":true}`, with(c)),
		"signing out":            call(h, http.MethodPost, "/signout", "", form, with(c)),
	} {
		if w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	if w := call(h, http.MethodGet, "/act/drop?all=true&mark="+mark, "", html, with(c)); w.Code != 200 || len(f.did) > 0 {
		t.Errorf("a GET acted: %d %v", w.Code, f.did)
	}
	if w := call(h, http.MethodPost, "/act/drop", good, form, with(c)); w.Code != http.StatusSeeOther || len(f.did) != 1 {
		t.Errorf("the real form: %d %v", w.Code, f.did)
	}
	for host, want := range map[string]int{"127.0.0.1:8081": 200, "localhost:8081": 200, "[::1]:8081": 200, "evil.example:8081": 403, "127.0.0.1.evil.example": 403, "": 403} {
		if w := call(on(newFake(0)), http.MethodGet, "/api/v1/spool", "", func(r *http.Request) { r.Host = host }); w.Code != want {
			t.Errorf("host %q: %d, want %d", host, w.Code, want)
		}
	}
	if w := call(h, http.MethodGet, "/api/v1/spool", "", header("Authorization", "Bearer "+token), func(r *http.Request) { r.Host = "gateway.internal" }); w.Code != 200 {
		t.Errorf("with a token any name is good: %d", w.Code)
	}
}

// Going back leads to pages of ours only.
func TestLocal(t *testing.T) {
	for path, want := range map[string]string{
		"/spool?a=b": "/spool?a=b", "": "/", "https://evil.example": "/", "//evil.example": "/", "/\\evil.example": "/", "/a\nb": "/", "javascript:alert(1)": "/",
	} {
		if got := local(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// Every answer, also of an error, carries the headers that keep pages inert.
func TestHeaders(t *testing.T) {
	h := handler(Options{})
	for _, path := range []string{"/", "/signin", "/api/v1/spool", "/nothing", "/metrics", "/static/console.css"} {
		w := call(h, http.MethodGet, path, "", html)
		csp := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %v", path, w.Header())
		}
	}
}
