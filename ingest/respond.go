package ingest

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"breakwater/schemas"
)

// respond answers success.
func (d *door) respond(c echo.Context, r Reply, eventID string) error {
	c.Response().Header()["Date"] = d.dates.at(d.opts.Now())
	status := r.Status
	if status == 0 {
		status = http.StatusOK
	}
	if r.RetryAfter > 0 {
		c.Response().Header()["Retry-After"] = []string{seconds(r.RetryAfter)}
	}
	switch {
	case r.ContentType != "":
		return c.Blob(status, r.ContentType, r.Body)
	case r.Empty || status != http.StatusOK:
		return c.NoContent(status)
	}
	c.Response().Header()["Content-Type"] = contentJSON
	c.Response().WriteHeader(status)
	_, err := c.Response().Write(appendID(make([]byte, 0, 48), eventID))
	return err
}

// contentJSON is a header's value; shared, never changed.
var contentJSON = []string{echo.MIMEApplicationJSON}

// appendID is the answer to a taken event: its id, where it has one.
func appendID(b []byte, eventID string) []byte {
	b = append(b, '{')
	if eventID != "" {
		b = append(append(append(b, `"id":"`...), eventID...), '"')
	}
	return append(b, '}')
}

// respondError is the only writer of error answers: {"detail", "causes"},
// X-Sentry-Error, Retry-After, and the limits where there are some.
func (d *door) respondError(err error, c echo.Context) {
	rej := refusalOf(err)
	v := visitOf(c)
	v.refused, v.outcome = rej, rej.Outcome
	if c.Response().Committed {
		return
	}
	h := c.Response().Header()
	h["X-Sentry-Error"] = []string{headerText(rej.Detail)}
	if rej.RetryAfter > 0 {
		d.announceRefusal(h, rej)
	}
	if rej.Status == http.StatusRequestTimeout {
		h.Set("Connection", "close")
	}
	answer := Reply{ContentType: echo.MIMEApplicationJSON, Body: rej.JSON("")}
	if v.refuse != nil {
		if own := v.refuse(c.Request().Header, rej); own != nil {
			answer = *own
		}
	}
	if err := c.Blob(rej.Status, answer.ContentType, answer.Body); err != nil {
		d.opts.Logger.Debug().Err(err).Msg("client went away before the answer")
	}
}

// members are the members of a refusal's JSON object.
func (r *Rejection) members() []byte {
	body := append([]byte(`"detail":`), schemas.QuoteString(r.Detail)...)
	for i, cause := range r.Causes {
		if i == 0 {
			body = append(body, `,"causes":[`...)
		} else {
			body = append(body, ',')
		}
		body = append(body, schemas.QuoteString(cause)...)
	}
	if len(r.Causes) > 0 {
		body = append(body, ']')
	}
	return body
}

// JSON is a refusal's object with further members in front, such as
// `"code":3,`.
func (r *Rejection) JSON(more string) []byte {
	return append(append([]byte("{"+more), r.members()...), '}')
}

// refusalOf is the answer to whatever a handler or the router returned. Only
// rejections carry words for a client; anything else is our fault.
func refusalOf(err error) *Rejection {
	var rej *Rejection
	if errors.As(err, &rej) {
		return rej
	}
	var he *echo.HTTPError
	if errors.As(err, &he) {
		switch he.Code {
		case http.StatusNotFound:
			return RejectNotFound
		case http.StatusMethodNotAllowed:
			return RejectMethod
		}
	}
	return RejectInternal.With(err)
}

// announceRefusal says when to come back. A 429 says it also as a limit over
// all categories, which browsers' SDKs read before Retry-After.
func (d *door) announceRefusal(h http.Header, rej *Rejection) {
	secs := seconds(rej.RetryAfter)
	h["Retry-After"] = []string{secs}
	if rej.Status == http.StatusTooManyRequests && h["X-Sentry-Rate-Limits"] == nil {
		h["X-Sentry-Rate-Limits"] = []string{secs + "::key:" + rej.Reason}
	}
}

// seconds is a wait in whole seconds, one at least.
func seconds(d time.Duration) string { return strconv.Itoa(max(1, int(math.Ceil(d.Seconds())))) }

// announce writes the limits a client should know, whatever the status, and
// returns the longest wait.
func announce(h http.Header, limits []schemas.RateLimit, now time.Time) time.Duration {
	line, wait := schemas.FormatRateLimits(limits, now)
	if line != "" {
		h["X-Sentry-Rate-Limits"] = []string{line}
	}
	return time.Duration(wait) * time.Second
}

// headerText makes one line of printable ASCII.
func headerText(s string) string {
	clean := func(c byte) bool { return c >= ' ' && c < 0x7f }
	for i := 0; i < len(s); i++ {
		if !clean(s[i]) {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				if !clean(b[j]) {
					b[j] = '?'
				}
			}
			return string(b)
		}
	}
	return s
}
