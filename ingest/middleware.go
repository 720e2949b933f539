package ingest

import (
	"errors"
	"fmt"
	stdlog "log"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/oklog/ulid/v2"
	"github.com/rs/zerolog"
)

// middleware is what every request passes, in this order, before its route is
// looked up.
func (d *door) middleware() []echo.MiddlewareFunc {
	return []echo.MiddlewareFunc{
		d.observe,  // first in and last out: counts and logs every answer, whoever gave it
		d.rescue,   // a panic becomes an error here, so that observe still sees an answer
		d.cors,     // before anything can fail: errors need these headers most
		d.deadline, // the clock runs before the first byte of the body is asked for
		d.forget,   // nobody behind this line sees a cookie
		d.slashes,  // last: the router compares clean paths, and a redirect would lose the report
	}
}

// visit is what observe must know of a request in the end. It travels as the
// answer's writer: the router's own store would cost a map per request.
type visit struct {
	http.ResponseWriter
	id       ulid.ULID
	start    time.Time
	endpoint string
	project  string
	bytes    int64
	refused  *Rejection
}

var visits = sync.Pool{New: func() any { return new(visit) }}

// Unwrap lets http.ResponseController reach the connection.
func (v *visit) Unwrap() http.ResponseWriter { return v.ResponseWriter }

// visitOf finds the visit that observe began.
func visitOf(c echo.Context) *visit { return c.Response().Writer.(*visit) }

// observe begins the visit and, when the answer is written, counts it and
// writes one line: refusals at info (a bounded number each second), the rest
// at debug. Never a payload, never a query: it holds the key.
func (d *door) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		v := visits.Get().(*visit)
		*v = visit{ResponseWriter: c.Response().Writer, id: ulid.Make(), start: d.opts.Now(), endpoint: "none"}
		c.Response().Writer = v
		d.metrics.inFlight.Inc()
		if err := next(c); err != nil {
			d.respondError(err, c)
		}
		d.metrics.inFlight.Dec()
		status, took := c.Response().Status, d.opts.Now().Sub(v.start)
		d.metrics.answered(v.endpoint, c.Request().Method, status, took)
		d.line(v, status, took)
		c.Response().Writer = v.ResponseWriter
		v.ResponseWriter, v.refused = nil, nil
		visits.Put(v)
		return nil
	}
}

func (d *door) line(v *visit, status int, took time.Duration) {
	var ev *zerolog.Event
	switch {
	case v.refused == nil:
		ev = d.opts.Logger.Debug()
	case status >= http.StatusInternalServerError:
		ev = d.log.Info().Str("reason", v.refused.Reason).AnErr("cause", v.refused.Err)
	default:
		ev = d.log.Info().Str("reason", v.refused.Reason)
	}
	if ev == nil || !ev.Enabled() {
		return
	}
	ev.Stringer("request", v.id).Str("endpoint", v.endpoint).Str("project", v.project).
		Int("status", status).Int64("bytes", v.bytes).Dur("took", took)
	if v.refused != nil {
		ev.Msg("request refused")
		return
	}
	ev.Msg("request answered")
}

// rescue answers 500 for what panicked outside the guarded path of a request.
func (d *door) rescue(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = d.panicked(p)
			}
		}()
		return next(c)
	}
}

// panicked tells the operator of a fault of ours, and gives the client's answer.
func (d *door) panicked(p any) *Rejection {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p) // net/http's own way to cut a connection
	}
	d.metrics.panics.Inc()
	d.opts.Logger.Error().Str("panic", fmt.Sprint(p)).Bytes("stack", debug.Stack()).Msg("request ended by a fault of ours")
	if d.opts.Hub != nil {
		d.opts.Hub.Clone().Recover(p)
	}
	return RejectInternal.With(fmt.Errorf("panic: %v", p))
}

// deadline holds header and body to one absolute time. net/http does so by
// itself under Serve; this line covers other servers and a changed setting.
func (d *door) deadline(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		limit := d.settings.Config.ReadTimeout
		srv, _ := c.Request().Context().Value(http.ServerContextKey).(*http.Server)
		if srv == nil || srv.ReadTimeout != limit {
			err := http.NewResponseController(visitOf(c).ResponseWriter).SetReadDeadline(time.Now().Add(limit))
			if err != nil && !errors.Is(err, http.ErrNotSupported) {
				return RejectBody.With(err)
			}
		}
		return next(c)
	}
}

// forget removes what browsers add to same-origin requests on their own.
func (d *door) forget(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Request().Header
		delete(h, "Cookie")
		delete(h, "Proxy-Authorization")
		return next(c)
	}
}

// slashes makes /api//42/store/ and /api/42/store the same.
func (d *door) slashes(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		u := c.Request().URL
		u.Path = cleanSlashes(u.Path)
		if u.RawPath != "" {
			u.RawPath = cleanSlashes(u.RawPath)
		}
		return next(c)
	}
}

// quietLog passes net/http's own complaints (bad handshakes, scans) on at debug.
func quietLog(l zerolog.Logger) *stdlog.Logger { return stdlog.New(debugWriter{l}, "", 0) }

type debugWriter struct{ log zerolog.Logger }

func (w debugWriter) Write(p []byte) (int, error) {
	w.log.Debug().Msg(strings.TrimSpace(string(p)))
	return len(p), nil
}
