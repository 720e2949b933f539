package console

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
)

// Who acts, as the audit history names them.
const (
	actorLoopback = "loopback"
	actorToken    = "token"
	actorSession  = "session"
)

// keys of what guard learned, in the request's context.
const (
	keyActor   = "actor"
	keySession = "session"
)

// open routes are read by machines that hold no token, or by browsers that do
// not hold it yet.
func open(path string) bool {
	return machines(path) || path == "/signin" || path == "/static/console.css"
}

func machines(path string) bool {
	return path == "/metrics" || path == "/-/healthy" || path == "/-/ready"
}

// foreign tells whether a page of another origin sends the request: on loopback
// there is no token, but every page a person visits can reach it.
func foreign(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		site := r.Header.Get("Sec-Fetch-Site") // not a browser, or one that says it here
		return site != "" && site != "same-origin" && site != "none"
	}
	_, host, _ := strings.Cut(origin, "://")
	return host != r.Host
}

// rebound tells whether a name of somebody else's leads here: a page that
// makes its own name point at 127.0.0.1 would be of the same origin. Without a
// token the listener answers to addresses and to localhost only.
func rebound(r *http.Request) bool {
	host := r.Host
	if u, err := url.Parse("http://" + host); err == nil {
		host = u.Hostname()
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return false
	}
	_, err := netip.ParseAddr(host)
	return err != nil
}

// guard lets in who may: with the token, a session that the token opened, or
// on loopback where no token is configured.
func (s *server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		reading := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !reading && foreign(r) {
			return echo.NewHTTPError(http.StatusForbidden, "a page of another origin may not act here")
		}
		want := s.o.Token()
		if want == "" {
			if !machines(r.URL.Path) && rebound(r) {
				return echo.NewHTTPError(http.StatusForbidden, "without server.admin_token this listener answers to localhost and to addresses only, not to the name "+Visible(r.Host, 100))
			}
			c.Set(keyActor, actorLoopback)
			return next(c)
		}
		if open(r.URL.Path) {
			return next(c)
		}
		if have, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && have != "" {
			right, tired := s.sessions.try(peer(r), have, want)
			if tired {
				return s.tired(c)
			}
			if right {
				c.Set(keyActor, actorToken)
				return next(c)
			}
			s.metrics.refused.Inc()
		} else if id := s.sessions.find(r, want); id != "" {
			if !reading && r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" {
				return echo.NewHTTPError(http.StatusForbidden, "a session may act from a browser only; scripts send the token")
			}
			c.Set(keyActor, actorSession)
			c.Set(keySession, id)
			return next(c)
		}
		return s.stranger(c)
	}
}

// stranger asks a person to sign in, at the address they wanted, and tells a
// script what to send.
func (s *server) stranger(c echo.Context) error {
	r := c.Request()
	c.Response().Header().Set("WWW-Authenticate", `Bearer realm="breakwater"`)
	if r.Method == http.MethodGet && wantsPage(r) {
		return s.signInPage(c, http.StatusUnauthorized, r.URL.RequestURI(), "")
	}
	return echo.NewHTTPError(http.StatusUnauthorized, "send the admin token: Authorization: Bearer <server.admin_token>")
}

func (s *server) tired(c echo.Context) error {
	s.metrics.refused.Inc()
	c.Response().Header().Set("Retry-After", "1")
	return echo.NewHTTPError(http.StatusTooManyRequests, "too many wrong tokens from this address: wait a second")
}

func wantsPage(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/api/")
}

func word(c echo.Context, key string) string { w, _ := c.Get(key).(string); return w }

// actor names who acts, for the audit history.
func actor(c echo.Context) string {
	if id := word(c, keySession); id != "" {
		return actorSession + " " + id[:8]
	}
	return word(c, keyActor)
}

// secure are the headers of every answer: nothing inline, nothing from
// elsewhere, no frame around it, nothing kept by caches on the way.
func secure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin") // with no-referrer browsers send forms with "Origin: null"
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		return next(c)
	}
}
