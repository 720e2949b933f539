package main

import (
	"fmt"
	"time"

	"github.com/getsentry/sentry-go"
)

// newHub reports the gateway's own panics and errors to self_monitoring.dsn,
// with a share of its requests as traces. Without a DSN it returns nil: the
// log still has everything. What is sent holds no payload, no header and no
// client address.
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
