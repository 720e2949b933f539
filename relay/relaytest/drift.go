package relaytest

import (
	"math"
	"strconv"
	"time"

	"breakwater/schemas"
)

// MinDrift is the difference between a server's clock and sent_at from which
// Sentry takes the client's clock for wrong.
const MinDrift = 55 * time.Minute

// StoredTime is the time Sentry would store for an event or transaction of
// this request: the payload's timestamp, moved by the drift when that is large,
// and the time of receipt when there is none or it lies in the future. ok is
// false when the request has no such item.
func (r *Request) StoredTime() (t time.Time, ok bool) {
	for i := range r.Items {
		info, _ := schemas.LookupItemType(r.Items[i].Header.Type)
		if !info.Main {
			continue
		}
		ev, err := schemas.ParseEvent(r.Items[i].Payload)
		if err != nil {
			return time.Time{}, false
		}
		t, ok := timestamp(ev)
		if !ok {
			return r.At, true
		}
		t = t.Add(r.Drift())
		if t.After(r.At.Add(time.Minute)) {
			t = r.At
		}
		return t, true
	}
	return time.Time{}, false
}

// Drift is by how much Sentry would move the timestamps of this request.
func (r *Request) Drift() time.Duration {
	if r.Envelope.Object == nil {
		return 0
	}
	sent, err := time.Parse(time.RFC3339Nano, r.Envelope.SentAt())
	if err != nil {
		return 0
	}
	if d := r.At.Sub(sent); d >= MinDrift || d <= -MinDrift {
		return d
	}
	return 0
}

// timestamp reads seconds since 1970 or RFC 3339.
func timestamp(ev *schemas.Event) (time.Time, bool) {
	v, ok := ev.Get("timestamp")
	if !ok {
		return time.Time{}, false
	}
	if s, ok := schemas.UnquoteString(v); ok {
		t, err := time.Parse(time.RFC3339Nano, s)
		return t, err == nil
	}
	secs, err := strconv.ParseFloat(string(v), 64)
	if err != nil || math.IsNaN(secs) || math.Abs(secs) > 1e12 {
		return time.Time{}, false
	}
	whole, frac := math.Modf(secs)
	return time.Unix(int64(whole), int64(math.Round(frac*1e6))*1000), true
}
