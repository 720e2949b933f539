package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/getsentry/sentry-go"
	"github.com/rs/zerolog"
	tokens "golang.org/x/time/rate"
)

// newHub reports the gateway's own panics and errors to self_monitoring.dsn,
// with a share of its requests as traces. Without a DSN it returns nil: the
// log still has everything. What is sent holds no payload, no header, no query
// and no client address.
func newHub(dsn string, tracesSampleRate float64, release string) (*sentry.Hub, error) {
	if dsn == "" {
		return nil, nil
	}
	client, err := sentry.NewClient(sentry.ClientOptions{
		Dsn: dsn, Release: "breakwater@" + release, AttachStacktrace: true,
		EnableTracing: tracesSampleRate > 0, TracesSampleRate: tracesSampleRate,
		BeforeSend:            func(e *sentry.Event, _ *sentry.EventHint) *sentry.Event { return withoutRequest(e) },
		BeforeSendTransaction: func(e *sentry.Event, _ *sentry.EventHint) *sentry.Event { return withoutRequest(e) },
	})
	if err != nil {
		return nil, fmt.Errorf("self_monitoring.dsn: %w", err)
	}
	return sentry.NewHub(client, sentry.NewScope()), nil
}

// withoutRequest keeps what a client sent out of our own reports: its URL
// carries keys, its headers may carry worse.
func withoutRequest(e *sentry.Event) *sentry.Event {
	if e.Request != nil {
		e.Request = &sentry.Request{Method: e.Request.Method}
	}
	e.User = sentry.User{}
	return e
}

// flushHub gives reports of the last moments time to leave.
func flushHub(h *sentry.Hub) {
	if h != nil {
		h.Flush(2 * time.Second)
	}
}

const (
	// reportsPerMinute and reportsAtOnce bound how many lines of the log become
	// events: a disk that fails at every write must not become a storm of ours.
	reportsPerMinute = 6
	reportsAtOnce    = 20
)

// errorReports is one more output of the log: lines of level error and above
// become events of self_monitoring.dsn. A line holds neither payload nor
// secret, so neither does the event.
type errorReports struct {
	hub   *sentry.Hub
	limit *tokens.Limiter
}

var _ zerolog.LevelWriter = (*errorReports)(nil)

// reportsOf is the output for a hub, nil for none.
func reportsOf(hub *sentry.Hub) io.Writer {
	if hub == nil {
		return nil
	}
	return &errorReports{hub: hub, limit: tokens.NewLimiter(tokens.Every(time.Minute/reportsPerMinute), reportsAtOnce)}
}

// Write takes a line of unknown level and reports nothing.
func (r *errorReports) Write(p []byte) (int, error) { return len(p), nil }

// WriteLevel reports a line of level error or above.
func (r *errorReports) WriteLevel(level zerolog.Level, p []byte) (int, error) {
	if level < zerolog.ErrorLevel || level > zerolog.PanicLevel {
		return len(p), nil
	}
	var fields map[string]any
	if json.Unmarshal(p, &fields) != nil || fields["panic"] != nil || !r.limit.Allow() { // panics were reported where they were caught
		return len(p), nil
	}
	e := sentry.NewEvent()
	e.Level, e.Logger = sentry.LevelError, "breakwater"
	e.Message, _ = fields[zerolog.MessageFieldName].(string)
	if text, ok := fields[zerolog.ErrorFieldName].(string); ok {
		e.Exception = []sentry.Exception{{Type: e.Message, Value: text}}
	}
	e.Tags = map[string]string{}
	for _, name := range []string{"part", "stage", "project", "destination", "reason"} {
		if text, ok := fields[name].(string); ok {
			e.Tags[name] = text
		}
	}
	r.hub.Clone().CaptureEvent(e)
	return len(p), nil
}
