package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"breakwater/schemas"
)

// Results is the closed list of how an attempt ends: the label of
// breakwater_relay_attempts_total and the reasons of dead letters.
var Results = append([]string{
	"delivered", "partial", "skipped", // partial: some items were given up on the way; skipped: nothing in it that such a destination keeps
	"rate_limited", "timeout", "connection", "dns", "tls", "redirect", "unauthorized", "too_large",
	"unreadable", "max_attempts", "panic", "cancelled", "error",
}, statusReasons()...)

// statusWords are the HTTP statuses with a word of their own; the others of
// their hundred share one, so that a strange upstream cannot make new labels.
var statusWords = []int{400, 404, 408, 410, 500, 501, 502, 503, 504, 505}

func statusReasons() []string {
	words := []string{"http_4xx", "http_5xx", "http_other"}
	for _, s := range statusWords {
		words = append(words, "http_"+strconv.Itoa(s))
	}
	return words
}

// StatusReason is the closed word for an HTTP status that is not a success.
func StatusReason(status int) string {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "unauthorized"
	case status == http.StatusRequestEntityTooLarge:
		return "too_large"
	case status == http.StatusTooManyRequests:
		return "rate_limited"
	case status >= 300 && status < 400:
		return "redirect"
	case slices.Contains(statusWords, status):
		return "http_" + strconv.Itoa(status)
	case status >= 400 && status < 500:
		return "http_4xx"
	case status >= 500 && status < 600:
		return "http_5xx"
	}
	return "http_other"
}

// StatusError says what an HTTP status other than 2xx means for a record. It
// is the table every HTTP destination starts from:
//
//	3xx                        Bounded, alert: redirects are never followed
//	401 403                    Permanent, alert: our credentials are wrong
//	408 425                    Temporary
//	429                        Held until Retry-After, 60 s without one
//	other 4xx                  Permanent
//	502 503 504, 521–526 529 530   Temporary and down, Retry-After honoured
//	                           (the last ones are a proxy's words for the same)
//	other 5xx                  Bounded
//	anything else              Bounded
func StatusError(status int, h http.Header, now time.Time, err error) *DeliverError {
	de := &DeliverError{Class: Bounded, Reason: StatusReason(status), Status: status, Err: err}
	switch {
	case status >= 300 && status < 400:
		de.Alert = "redirect refused"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		de.Class, de.Alert = Permanent, "credentials rejected"
	case status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		de.Class = Temporary
	case status == http.StatusTooManyRequests:
		de.Class = Held
		wait := schemas.RetryAfter(h, now)
		if wait <= 0 {
			wait = schemas.BareLimit
		}
		de.Until = now.Add(wait)
	case status >= 400 && status < 500:
		de.Class = Permanent
	case status >= 502 && status <= 504 || status >= 521 && status <= 526 || status == 529 || status == 530:
		de.Class, de.Down = Temporary, true
		if wait := schemas.RetryAfter(h, now); wait > 0 {
			de.Until = now.Add(wait)
		}
	}
	return de
}

// NetworkError says what the failure of a request without an answer means:
// temporary and down, whatever it is, with the word that helps to find it.
// err must hold no secrets.
func NetworkError(err error) *DeliverError {
	de := &DeliverError{Class: Temporary, Reason: "connection", Down: true, Err: err}
	var (
		dns     *net.DNSError
		timeout net.Error
		record  tls.RecordHeaderError
		alert   tls.AlertError
		verify  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &dns):
		de.Reason = "dns"
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record), errors.As(err, &alert), errors.As(err, &verify), errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid):
		de.Reason = "tls"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		de.Reason = "timeout"
	}
	return de
}
