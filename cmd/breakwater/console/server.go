package console

import (
	"errors"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/rs/zerolog"
)

// server is the private listener's state.
type server struct {
	o        Options
	src      *source
	live     *live
	audit    *audit
	sessions *sessions
	metrics  *counters
}

// New builds the private listener's handler.
func New(o Options) http.Handler { return build(o).handler() }

func build(o Options) *server {
	o = o.withDefaults()
	s := &server{o: o, src: newSource(o), audit: newAudit(o.AuditFile, o.Logger), sessions: newSessions(o.Now), metrics: newCounters(o.Registerer)}
	s.live = newLive(o.every, func(n int) { s.metrics.viewers.WithLabelValues(streamLive).Set(float64(n)) }, s.frame)
	return s
}

func (s *server) handler() http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.writeError

	e.Use(middleware.Recover()) // a bug in a page must not end the gateway
	e.Use(secure)               // before any answer is written
	e.Use(s.guard)              // before any handler sees the request
	// Forms and selections are small and come at once; who answers in API bounds for himself.
	skip := func(c echo.Context) bool { return s.o.API[c.Path()] != nil }
	e.Use(hurry(skip), middleware.BodyLimitWithConfig(middleware.BodyLimitConfig{Limit: "128K", Skipper: skip}))

	s.machines(e)
	s.api(e)
	canaryRoutes(e, s.o.Canaries)
	s.pages(e)
	s.demo(e)
	profiles(e)
	return e
}

// machines are the routes for Prometheus, the platform and scripts.
func (s *server) machines(e *echo.Echo) {
	e.GET("/metrics", echo.WrapHandler(metricsHandler(s.o)))
	e.GET("/-/healthy", func(c echo.Context) error { return c.String(http.StatusOK, "healthy\n") })
	e.GET("/-/ready", func(c echo.Context) error {
		if err := s.o.Ready(); err != nil {
			return c.String(http.StatusServiceUnavailable, "not ready: "+err.Error()+"\n")
		}
		return c.String(http.StatusOK, "ready\n")
	})
	e.POST("/-/reload", s.reload)
}

func (s *server) reload(c echo.Context) error {
	err := s.o.Reload()
	entry := Entry{At: s.o.Now().UTC(), Actor: actor(c), Address: peer(c.Request()), Action: "reload", Target: "configuration"}
	if err != nil {
		entry.Error = Visible(err.Error(), 300)
	}
	s.metrics.actions.WithLabelValues(entry.Action).Inc()
	s.audit.add(entry)
	s.src.forget()
	if err != nil {
		return c.JSON(http.StatusUnprocessableEntity, reloadFault(err, s.o.Problems))
	}
	return c.JSON(http.StatusOK, map[string]string{"status": "reloaded"})
}

func profiles(e *echo.Echo) {
	g := e.Group("/debug/pprof")
	g.GET("", func(c echo.Context) error { return c.Redirect(http.StatusFound, "/debug/pprof/") })
	g.GET("/cmdline", echo.WrapHandler(http.HandlerFunc(pprof.Cmdline)))
	g.GET("/profile", echo.WrapHandler(http.HandlerFunc(pprof.Profile)))
	g.GET("/symbol", echo.WrapHandler(http.HandlerFunc(pprof.Symbol)))
	g.GET("/trace", echo.WrapHandler(http.HandlerFunc(pprof.Trace)))
	g.GET("/*", echo.WrapHandler(http.HandlerFunc(pprof.Index)))
}

// bodyTime is how long a body may take to arrive. It cannot be the server's
// read timeout: that would end streams and profiles as well.
const bodyTime = 30 * time.Second

func hurry(skip middleware.Skipper) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if c.Request().Method != http.MethodGet && !skip(c) {
				_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(bodyTime)) // recorders of tests have none
			}
			return next(c)
		}
	}
}

// NewServer is the http.Server around the handler. Profiles, traces and
// streams run for as long as they are asked to, so there is no write timeout;
// streams set one for each write.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10}
}

// writeError answers an error: as a page to a browser, as JSON to all else.
func (s *server) writeError(err error, c echo.Context) {
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
		s.o.Logger.Error().Err(err).Str("path", c.Path()).Msg("private listener failed")
	}
	if wantsPage(c.Request()) {
		if s.fault(c, status, http.StatusText(status), detail) == nil {
			return
		}
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
	return fault{Status: "refused", Detail: err.Error(), Problems: problems(err)}
}

type promLog struct{ l zerolog.Logger }

func (p promLog) Println(v ...any) {
	p.l.Error().Interface("error", v).Msg("metrics could not be gathered")
}
