package sentry

import (
	"bytes"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"breakwater/schemas"
)

// header is the envelope's header as the upstream must see it; all bytes but
// these stay:
//
//   - dsn is removed: it names the gateway's project, and an upstream answers
//     400 when it disagrees with the request's own. The request carries
//     X-Sentry-Auth, so none is needed.
//   - trace.public_key, when there, becomes the upstream's key: dynamic
//     sampling looks the root project up by it.
//   - sent_at moves forward by the time the gateway held the envelope. A
//     server takes received − sent_at for the error of the client's clock and,
//     from 55 minutes on, shifts every timestamp inside by it. Without the
//     move an outage of an hour would shift every event into the present; with
//     it, the difference is the one the gateway itself saw at intake: zero for
//     good clocks, and still the true error for bad ones. (What no header can
//     save: a clock that is fast by less than 55 minutes. Live, the server cuts
//     such times to its own; an hour later they no longer look like the future.)
func (d *Destination) header(h schemas.EnvelopeHeader, receivedAt, now time.Time) schemas.EnvelopeHeader {
	var out schemas.EnvelopeHeader
	if h.Object != nil {
		out.Object = h.Clone() // the caller's own stays as it is
	} else {
		out = schemas.EmptyHeader()
	}
	out.Delete("dsn")
	if trace, ok := out.Trace(); ok {
		if key, ok := trace.Get("public_key"); ok && !bytes.Equal(key, d.key) {
			trace.Set("public_key", d.key)
			out.Set("trace", trace.Bytes())
		}
	}
	if moved, ok := moveSentAt(out.SentAt(), now.Sub(receivedAt)); ok {
		out.SetString("sent_at", moved)
	}
	return out
}

// moveSentAt adds the time held to an RFC 3339 time, in its zone and with at
// least its digits. ok is false where there is nothing to move.
func moveSentAt(s string, held time.Duration) (moved string, ok bool) {
	if s == "" || held <= 0 {
		return "", false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return "", false
	}
	digits := 3
	if _, frac, found := strings.Cut(s, "."); found {
		n := len(frac) - len(strings.TrimLeft(frac, "0123456789"))
		digits = min(max(digits, n), 9)
	}
	return t.Add(held).Format("2006-01-02T15:04:05." + strings.Repeat("0", digits) + "Z07:00"), true
}

// requestHeader makes the HTTP header. What it does not name is not sent:
// no cookie, no Authorization, nothing a client chose but its User-Agent.
func (d *Destination) requestHeader(meta *schemas.Meta) http.Header {
	h := make(http.Header, len(d.constant)+2)
	for name, values := range d.constant { // shared: a transport does not change them
		h[name] = values
	}
	if ua := headerText(meta.UserAgent); ua != "" {
		h["User-Agent"] = []string{ua} // Sentry reads browser and device from it where the event does not say
	}
	if ip, err := netip.ParseAddr(meta.ClientIP); err == nil {
		h["X-Forwarded-For"] = []string{ip.WithZone("").String()}
	}
	return h
}

// maxUserAgent bounds the User-Agent passed on, in bytes.
const maxUserAgent = 512

// headerText makes any text safe as the value of a header.
func headerText(s string) string {
	if len(s) > maxUserAgent {
		s = s[:maxUserAgent]
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return -1
		}
		return r
	}, s))
}
