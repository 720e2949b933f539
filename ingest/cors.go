package ingest

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// Header values that stand on every answer; shared, never changed. What Sentry
// allows, and what our own beacon, Faro and tracing clients add.
var (
	corsAny     = []string{"*"}
	corsTrue    = []string{"true"}
	corsVary    = []string{"Origin"}
	corsExpose  = []string{"x-sentry-error, x-sentry-rate-limits, retry-after"}
	corsPolicy  = []string{"cross-origin"}
	corsMethods = []string{"POST, GET, OPTIONS"}
	corsHeaders = []string{"x-sentry-auth, x-requested-with, x-forwarded-for, origin, referer, accept, content-type, authentication, " +
		"authorization, content-encoding, transfer-encoding, x-breakwater-key, x-api-key, x-faro-session-id, idempotency-key, " +
		"sentry-trace, baggage, traceparent"}
	corsMaxAge = []string{"3600"}
)

// cors decorates the answer before anything can fail. Without these headers a
// browser hides the status and the limits from the SDK, which then takes an
// answer for a dead network and sends again and again.
//
// No page can read what is answered to a request in mode no-cors, as most of
// sendBeacon's are (Fetch: "opaque filtered response"). Such an answer names the
// origin it allows, as every one does, but exposes nothing.
func cors(c echo.Context) {
	v, h := visitOf(c), c.Response().Header()
	v.opaque = headerOf(c.Request().Header, "Sec-Fetch-Mode") == "no-cors"
	h["Access-Control-Allow-Origin"] = corsAny
	h["Cross-Origin-Resource-Policy"] = corsPolicy
	if !v.opaque {
		h["Access-Control-Expose-Headers"] = corsExpose
	}
}

// preflight answers OPTIONS on a known route: no authentication, no look at
// the project. 200, not 204: what Sentry's own servers say.
func (d *door) preflight(ep *Endpoint) echo.HandlerFunc {
	return func(c echo.Context) error {
		visitOf(c).endpoint = ep.Name
		h, r := c.Response().Header(), c.Request()
		if ep.Credentials {
			echoOrigin(h, r, false)
		}
		h["Access-Control-Allow-Methods"] = corsMethods
		h["Access-Control-Allow-Headers"] = corsHeaders
		h["Access-Control-Max-Age"] = corsMaxAge
		if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
			h["Access-Control-Allow-Private-Network"] = corsTrue
		}
		return c.NoContent(http.StatusOK)
	}
}

// echoOrigin answers a browser that sends credentials: * is not an answer to
// those. Nothing is given away by it, for nothing here depends on them. An opaque
// answer needs no leave for credentials, and as one to a POST no word to caches,
// which keep none of those (RFC 9110, 9.3.3).
func echoOrigin(h http.Header, r *http.Request, opaque bool) {
	if !opaque || r.Method != http.MethodPost {
		h["Vary"] = corsVary
	}
	if origin := r.Header["Origin"]; len(origin) == 1 && origin[0] != "" {
		h["Access-Control-Allow-Origin"] = origin
		if !opaque {
			h["Access-Control-Allow-Credentials"] = corsTrue
		}
	}
}

// keepOriginOut takes the echo back, for an origin that the project does not allow.
func keepOriginOut(h http.Header) {
	h["Access-Control-Allow-Origin"] = corsAny
	delete(h, "Access-Control-Allow-Credentials")
}
