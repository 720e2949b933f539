package sentry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"breakwater/relay"
	"breakwater/schemas"
)

// post is one request and what its answer means.
func (d *Destination) post(ctx context.Context, meta *schemas.Meta, env *schemas.Envelope) *relay.DeliverError {
	out := &schemas.Envelope{Header: d.header(env.Header, meta.ReceivedAt, d.now()), Items: env.Items}

	req := d.request.WithContext(ctx)
	req.Header = d.requestHeader(meta)
	var streamed *stream
	if fitsMemory(out) {
		b, err := d.enc.buffered(out)
		if err != nil {
			return unreadable(err)
		}
		req.ContentLength = int64(len(b))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
		req.Body, _ = req.GetBody() // always nil
		// Says that it may be sent again on a new connection when a kept one
		// broke; a header without a value is not sent.
		req.Header["Idempotency-Key"] = []string{}
	} else {
		streamed = d.enc.stream(out)
		req.Body = streamed
		req.Header.Set("Expect", "100-continue") // a refusal shall not cost 100 MiB
	}
	// The transport itself, not a client around it: redirects are not followed,
	// and there are no cookies to keep.
	resp, err := d.transport.RoundTrip(req)
	if streamed != nil {
		// With an answer the transport may still be sending; it is done with
		// the envelope only when the stream is.
		defer func() { _ = streamed.finish() }()
	}
	if err != nil {
		if streamed != nil {
			if cause := streamed.finish(); cause != nil {
				return unreadable(cause)
			}
		}
		return relay.NetworkError(d.redact(err))
	}
	stop := time.AfterFunc(maxAnswerTime, func() { _ = resp.Body.Close() }) // the status is known: a slow body is not worth a worker
	defer stop.Stop()
	defer resp.Body.Close()
	answer := io.LimitReader(resp.Body, maxAnswerBody)
	if resp.StatusCode/100 == 2 {
		_, _ = io.Copy(io.Discard, answer) // so that the connection can be used again
		return d.judge(resp, nil)
	}
	text, _ := io.ReadAll(answer) // what could be read of a text for people
	return d.judge(resp, text)
}

// judge reads an answer.
func (d *Destination) judge(resp *http.Response, text []byte) *relay.DeliverError {
	now := d.now()
	learned := schemas.ParseRateLimits(resp.StatusCode, resp.Header, now)
	d.limits.Learn(d.dsn, learned, now)
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	de := relay.StatusError(resp.StatusCode, resp.Header, now, d.explain(resp, text))
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		de.Alert = "DSN rejected"
	case http.StatusUnsupportedMediaType:
		de.Alert = "encoding " + d.enc.name + " refused"
	}
	return de
}

func unreadable(err error) *relay.DeliverError {
	return &relay.DeliverError{Class: relay.Bounded, Reason: "unreadable", Err: fmt.Errorf("reading the stored envelope: %w", err)}
}

// explain is the upstream's own word on an error, made safe to show.
func (d *Destination) explain(resp *http.Response, text []byte) error {
	said := resp.Header.Get("X-Sentry-Error")
	var body struct {
		Detail  json.RawMessage `json:"detail"`
		Message string          `json:"message"` // Bugsink
		Causes  []string        `json:"causes"`
	}
	if json.Unmarshal(text, &body) == nil {
		if detail, ok := schemas.UnquoteString([]byte(body.Detail)); ok && detail != "" {
			said = detail
		} else if body.Message != "" {
			said = body.Message
		}
		if len(body.Causes) > 0 {
			said += " (" + strings.Join(body.Causes, "; ") + ")"
		}
	}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		said = "redirect to " + resp.Header.Get("Location") + " not followed; correct the DSN"
	}
	msg := fmt.Sprintf("upstream answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if said = headerText(said); said != "" {
		msg += ": " + said
	}
	return d.redact(errors.New(strings.TrimSpace(msg)))
}

var userInfo = regexp.MustCompile(`://[^/@\s"]*@`)

// redacted shows an error without secrets and keeps it for errors.Is and As.
type redacted struct {
	text string
	err  error
}

func (r *redacted) Error() string { return r.text }
func (r *redacted) Unwrap() error { return r.err }

// redact hides the DSN's key and secret, and user and password of any address
// (of a proxy, of a redirect).
func (d *Destination) redact(err error) error {
	text := userInfo.ReplaceAllString(err.Error(), "://***@")
	if d.dsn.Secret != "" {
		text = strings.ReplaceAll(text, d.dsn.Secret, "***")
	}
	if len(d.dsn.PublicKey) >= 16 { // a short one is a word like any other
		text = strings.ReplaceAll(text, d.dsn.PublicKey, "***")
	}
	return &redacted{text, err}
}
