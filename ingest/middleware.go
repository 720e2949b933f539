package ingest

import (
	"encoding/binary"
	"errors"
	"fmt"
	stdlog "log"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/oklog/ulid/v2"
	"github.com/rs/zerolog"

	"breakwater/schemas"
)

// serve answers one request. It does what the router's own ServeHTTP does, with
// our steps called one after the other: the router builds a chain of them anew
// for each request, which costs an allocation for each.
func (d *door) serve(w http.ResponseWriter, r *http.Request) {
	c := d.echo.AcquireContext()
	c.Reset(r, w)
	// First in and last out: counts and logs every answer, whoever gave it.
	d.observe(c) //nolint:contextcheck // a trace of ours is sent after the answer, whose client may be gone
	d.echo.ReleaseContext(c)
}

// prepare is what every request passes between observing and the route.
func (d *door) prepare(c echo.Context) error {
	cors(c)                               // before anything can fail: errors need these headers most
	if err := d.deadline(c); err != nil { // the clock runs before the first byte of the body is asked for
		return err
	}
	forget(c)  // nobody behind this line sees a cookie
	slashes(c) // last: the router compares clean paths, and a redirect would lose the report
	return nil
}

// visit is what observe must know of a request in the end, and the request as the
// parts see it. It travels as the answer's writer: the router's own store would
// cost a map per request. It is used again when the answer is written.
type visit struct {
	http.ResponseWriter
	conn     *sender // that it came by
	opaque   bool    // no page can read the answer
	id       ulid.ULID
	start    time.Time
	endpoint string
	usual    *usual // answer of the endpoint
	project  string
	bytes    int64
	outcome  schemas.Outcome      // "" for what carries no items
	marks    [stepCount]time.Time // ends of the steps, for traces
	refused  *Rejection
	canary   string                               // the canary it is part of, "" for all but an operator's probes
	sighting *Sighting                            // what is kept of it; nil likewise
	refuse   func(http.Header, *Rejection) *Reply // the endpoint's own form of refusals
	req      Request                              // of an endpoint that brings items
}

var visits = sync.Pool{New: func() any { return new(visit) }}

// Unwrap lets http.ResponseController reach the connection.
func (v *visit) Unwrap() http.ResponseWriter { return v.ResponseWriter }

// visitOf finds the visit that observe began.
func visitOf(c echo.Context) *visit { return c.Response().Writer.(*visit) }

// observe begins the visit and, when the answer is written, counts it and
// writes one line: refusals at info (a bounded number each second), the rest
// at debug. Never a payload, never a query: it holds the key.
func (d *door) observe(c echo.Context) {
	v := visits.Get().(*visit)
	now := d.opts.Now()
	v.ResponseWriter, v.id, v.start, v.endpoint = c.Response().Writer, newID(now), now, "none"
	c.Response().Writer, v.conn = v, senderUnder(c.Request().Context())
	if v.canary, v.sighting = d.sight(c.Request()); v.sighting != nil {
		canaryHeaders(c.Response().Header())
	}
	d.metrics.inFlight.Add(1)
	if err := d.rescue(c); err != nil {
		d.respondError(err, c)
	}
	d.metrics.inFlight.Add(-1)
	status, took := c.Response().Status, d.opts.Now().Sub(v.start)
	d.metrics.answered(v.usual, v.endpoint, c.Request().Method, status, took)
	d.sighted(v, status)
	d.line(v, status, took)
	d.trace(v, c.Request().Method, status, took)
	c.Response().Writer = v.ResponseWriter
	*v = visit{} // nothing of this request may be seen, or kept alive, by the next one
	visits.Put(v)
}

// newID names a request. It need not be secret, and two of one millisecond
// need no order, so the runtime's own random numbers do.
func newID(now time.Time) (id ulid.ULID) {
	_ = id.SetTime(uint64(max(now.UnixMilli(), 0))) // an error only after the year 10889
	binary.BigEndian.PutUint16(id[6:], uint16(rand.Uint32()))
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	return id
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
	ev.Stringer("request_id", v.id).Str("endpoint", v.endpoint).Str("project", v.project).Str("outcome", string(v.outcome)).
		Int("status", status).Int64("bytes", v.bytes).Dur("took", took)
	if v.refused != nil {
		ev.Msg("request refused")
		return
	}
	ev.Msg("request answered")
}

// rescue answers 500 for what panicked outside the guarded path of a request:
// a panic becomes an error here, so that observe still sees an answer.
func (d *door) rescue(c echo.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = d.panicked(p)
		}
	}()
	if err := d.prepare(c); err != nil {
		return err
	}
	d.echo.Router().Find(c.Request().Method, echo.GetPath(c.Request()), c)
	return c.Handler()(c)
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
func (d *door) deadline(c echo.Context) error {
	limit, v := d.settings.Config.ReadTimeout, visitOf(c)
	if v.conn == nil || d.http.ReadTimeout != limit {
		err := http.NewResponseController(v.ResponseWriter).SetReadDeadline(time.Now().Add(limit))
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return RejectBody.With(err)
		}
	}
	return nil
}

// forget removes what browsers add to same-origin requests on their own.
func forget(c echo.Context) {
	h := c.Request().Header
	delete(h, "Cookie")
	delete(h, "Proxy-Authorization")
}

// slashes makes /api//42/store/ and /api/42/store the same.
func slashes(c echo.Context) {
	u := c.Request().URL
	u.Path = cleanSlashes(u.Path)
	if u.RawPath != "" {
		u.RawPath = cleanSlashes(u.RawPath)
	}
}

// quietLog passes net/http's own complaints (bad handshakes, scans) on at debug.
func quietLog(l zerolog.Logger) *stdlog.Logger { return stdlog.New(debugWriter{l}, "", 0) }

type debugWriter struct{ log zerolog.Logger }

func (w debugWriter) Write(p []byte) (int, error) {
	w.log.Debug().Msg(strings.TrimSpace(string(p)))
	return len(p), nil
}
