package ingest

import (
	"io/fs"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// routeHealth adds what carries no items: health as Relay answers it, so that
// probes made for Relay fit, and so that a Relay in front of the gateway can
// use it as its upstream; and the published schemas.
func (d *door) routeHealth(e *echo.Echo) {
	live := d.plain("health", func(c echo.Context) error { return healthy(c, true) })
	ready := d.plain("health", func(c echo.Context) error { return healthy(c, d.ready()) })
	for path, h := range map[string]echo.HandlerFunc{
		"/api/relay/healthcheck/live":  live,
		"/api/relay/healthcheck/ready": ready,
		"/api/0/relays/live":           live,
		"/schemas/:name":               d.plain("schemas", d.schema),
	} {
		e.GET(path, h)
		e.HEAD(path, h)
		e.OPTIONS(path, d.preflight(&Endpoint{Name: "health"}))
	}
}

// plain names the endpoint for the metrics.
func (d *door) plain(name string, h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		visitOf(c).endpoint = name
		return h(c)
	}
}

func healthy(c echo.Context, yes bool) error {
	if !yes {
		return c.Blob(http.StatusServiceUnavailable, echo.MIMEApplicationJSON, []byte(`{"is_healthy":false}`))
	}
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, []byte(`{"is_healthy":true}`))
}

// schema serves one published JSON Schema by its file name.
func (d *door) schema(c echo.Context) error {
	name := c.Param("name")
	if d.opts.Schemas == nil || !strings.HasSuffix(name, ".schema.json") || !fs.ValidPath(name) || strings.ContainsRune(name, '/') {
		return RejectNotFound
	}
	text, err := fs.ReadFile(d.opts.Schemas, name)
	if err != nil {
		return RejectNotFound.With(err)
	}
	return c.Blob(http.StatusOK, "application/schema+json", text)
}
