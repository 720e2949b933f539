package console

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Options is what the private listener needs from the rest.
type Options struct {
	// Gatherer is what /metrics shows.
	Gatherer prometheus.Gatherer
	// Exposer writes further families for /metrics, and Pages gathers the same
	// ones for the formats it does not know; nil for none.
	Exposer Exposer
	Pages   prometheus.Gatherer
	// Token guards every route but /metrics, /-/healthy and /-/ready; "" leaves
	// them open, which the configuration allows on loopback only.
	Token func() string
	// Ready tells why the gateway cannot take requests, nil when it can.
	Ready func() error
	// Reload reads the configuration again; its error lists what is wrong.
	Reload func() error
	// Problems takes the list of mistakes out of Reload's error, nil without one.
	Problems func(error) any
	// Status is what the start page and /api/v1/status show, as JSON.
	Status func() any
	// Help are the runbooks shown under /help/alerts/.
	Help []HelpPage
	// Canaries are the probes of doctor; nil offers none.
	Canaries Canaries
	Logger   zerolog.Logger
}

// New builds the private listener's handler.
func New(o Options) http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = func(err error, c echo.Context) { writeError(o.Logger, err, c) }

	e.Use(middleware.Recover()) // a bug in a page must not end the gateway
	e.Use(secure)               // before any answer is written
	e.Use(guard(o.Token))       // before any handler sees the request

	e.GET("/metrics", echo.WrapHandler(metricsHandler(o)))
	e.GET("/-/healthy", func(c echo.Context) error { return c.String(http.StatusOK, "healthy\n") })
	e.GET("/-/ready", func(c echo.Context) error {
		if err := o.Ready(); err != nil {
			return c.String(http.StatusServiceUnavailable, "not ready: "+err.Error()+"\n")
		}
		return c.String(http.StatusOK, "ready\n")
	})
	e.POST("/-/reload", func(c echo.Context) error {
		if err := o.Reload(); err != nil {
			return c.JSON(http.StatusUnprocessableEntity, reloadFault(err, o.Problems))
		}
		return c.JSON(http.StatusOK, map[string]string{"status": "reloaded"})
	})
	e.GET("/api/v1/status", func(c echo.Context) error { return c.JSON(http.StatusOK, o.Status()) })
	canaryRoutes(e, o.Canaries)
	e.StaticFS("/static", echo.MustSubFS(static, "static"))
	e.GET("/", func(c echo.Context) error { return startPage(c, o.Status()) })

	help(e, o.Help)

	profiles := e.Group("/debug/pprof")
	profiles.GET("", func(c echo.Context) error { return c.Redirect(http.StatusFound, "/debug/pprof/") })
	profiles.GET("/cmdline", echo.WrapHandler(http.HandlerFunc(pprof.Cmdline)))
	profiles.GET("/profile", echo.WrapHandler(http.HandlerFunc(pprof.Profile)))
	profiles.GET("/symbol", echo.WrapHandler(http.HandlerFunc(pprof.Symbol)))
	profiles.GET("/trace", echo.WrapHandler(http.HandlerFunc(pprof.Trace)))
	profiles.GET("/*", echo.WrapHandler(http.HandlerFunc(pprof.Index)))
	return e
}

// NewServer is the http.Server around the handler. Profiles and traces run
// for as long as they are asked to, so there is no write timeout.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10}
}

// open routes are read by machines that hold no token.
func open(path string) bool {
	return path == "/metrics" || path == "/-/healthy" || path == "/-/ready"
}

// foreign tells whether a page of another origin sends the request: on loopback
// there is no token, but every page a person visits can reach it.
func foreign(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false // not a browser, or a very old one
	}
	_, host, _ := strings.Cut(origin, "://")
	return host != r.Host
}

func guard(token func() string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if r := c.Request(); r.Method != http.MethodGet && r.Method != http.MethodHead && foreign(r) {
				return echo.NewHTTPError(http.StatusForbidden, "a page of another origin may not act here")
			}
			want := token()
			if want == "" || open(c.Request().URL.Path) {
				return next(c)
			}
			have, ok := strings.CutPrefix(c.Request().Header.Get("Authorization"), "Bearer ")
			if !ok || subtle.ConstantTimeCompare([]byte(have), []byte(want)) != 1 {
				c.Response().Header().Set("WWW-Authenticate", `Bearer realm="breakwater"`)
				return echo.NewHTTPError(http.StatusUnauthorized, "send the admin token: Authorization: Bearer <server.admin_token>")
			}
			return next(c)
		}
	}
}

func secure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		return next(c)
	}
}

func writeError(log zerolog.Logger, err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	status, detail := http.StatusInternalServerError, "internal error"
	var he *echo.HTTPError
	if errors.As(err, &he) {
		status = he.Code
		if s, ok := he.Message.(string); ok {
			detail = s
		}
	} else {
		log.Error().Err(err).Str("path", c.Path()).Msg("private listener failed")
	}
	_ = c.JSON(status, map[string]string{"detail": detail})
}

// reloadFault is the answer to a refused reload: the error's text, and the
// mistakes one by one.
func reloadFault(err error, problems func(error) any) any {
	type fault struct {
		Status   string `json:"status"`
		Detail   string `json:"detail"`
		Problems any    `json:"problems,omitempty"`
	}
	f := fault{Status: "refused", Detail: err.Error()}
	if problems != nil {
		f.Problems = problems(err)
	}
	return f
}

type promLog struct{ l zerolog.Logger }

func (p promLog) Println(v ...any) {
	p.l.Error().Interface("error", v).Msg("metrics could not be gathered")
}
