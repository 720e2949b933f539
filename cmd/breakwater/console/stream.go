package console

import (
	"bytes"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	// heartbeat keeps a quiet stream from being taken for dead, and finds out
	// that the other side is.
	heartbeat = 15 * time.Second
	// streamWrite is how long one write may take before the viewer is let go.
	streamWrite = 10 * time.Second
)

// events is a stream of server-sent events.
type events struct {
	c        echo.Context
	rc       *http.ResponseController
	buf      bytes.Buffer
	patience time.Duration
}

// startEvents answers with an empty stream.
func startEvents(c echo.Context, patience time.Duration) (*events, error) {
	h := c.Response().Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // nginx would keep it back
	e := &events{c: c, rc: http.NewResponseController(c.Response()), patience: patience}
	_ = e.rc.SetWriteDeadline(time.Now().Add(e.patience)) // recorders of tests have none
	c.Response().WriteHeader(http.StatusOK)
	return e, e.comment("hello")
}

// send writes one event. Data may have lines.
func (e *events) send(name, id string, data []byte) error {
	e.buf.Reset()
	if name != "" {
		e.buf.WriteString("event: " + name + "\n")
	}
	if id != "" {
		e.buf.WriteString("id: " + id + "\n")
	}
	for line := range bytes.Lines(data) {
		e.buf.WriteString("data: ")
		e.buf.Write(bytes.TrimRight(line, "\r\n"))
		e.buf.WriteByte('\n')
	}
	e.buf.WriteByte('\n')
	return e.write()
}

func (e *events) comment(text string) error {
	e.buf.Reset()
	e.buf.WriteString(": " + text + "\n\n")
	return e.write()
}

func (e *events) write() error {
	_ = e.rc.SetWriteDeadline(time.Now().Add(e.patience))
	if _, err := e.c.Response().Write(e.buf.Bytes()); err != nil {
		return err
	}
	return e.rc.Flush()
}

// still tells whether who began the stream might begin it again: a token that
// changed ends it.
func (s *server) still(c echo.Context) bool {
	want := s.o.Token()
	switch word(c, keyActor) {
	case actorSession:
		return s.sessions.find(c.Request(), want) != ""
	case actorToken:
		return c.Request().Header.Get("Authorization") == "Bearer "+want
	}
	return want == ""
}

// getLive streams a page's live part as HTML while it is looked at.
func (s *server) getLive(c echo.Context) error {
	page := c.QueryParam("page")
	project := c.QueryParam("project")
	if !s.isLive(page, project) {
		return echo.NewHTTPError(http.StatusNotFound, "no such live page")
	}
	v, leave, ok := s.live.join(page + "?" + project)
	if !ok {
		s.metrics.full.Inc()
		return echo.NewHTTPError(http.StatusServiceUnavailable, "too many live pages are open")
	}
	defer leave()
	e, err := startEvents(c, s.o.patience)
	if err != nil {
		return nil //nolint:nilerr // the viewer is gone
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		frame, ok := v.next(c.Request().Context(), beat.C)
		switch {
		case !ok:
			return nil
		case frame != nil:
			err = e.send("frame", "", frame)
		case !s.still(c):
			return nil
		default:
			err = e.comment("still here")
		}
		if err != nil {
			return nil //nolint:nilerr // too slow, or gone
		}
	}
}
