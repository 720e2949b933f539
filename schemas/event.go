package schemas

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Event is a lenient view of an event payload (also of a transaction or a
// feedback): it reads the few fields the gateway needs and leaves every other
// byte alone. Each method reads on demand and only what it is asked for; only
// Exceptions keeps the answer. Fields of the wrong kind count as absent; nothing
// a client sends is an error here. Sentry's older spellings
// ("sentry.interfaces.Exception", "…Http", "…User", "…Message") are understood.
type Event struct {
	*Object

	exceptions   []Exception
	exceptionsOf jsontext.Value // what they were read from
}

// ParseEvent reads the top level of an event. Errors are those of ParseObject.
func ParseEvent(raw []byte) (*Event, error) {
	o, err := ParseObject(raw)
	if err != nil {
		return nil, err
	}
	return &Event{Object: o}, nil
}

// first returns the first of several spellings that is there and not null.
func (e *Event) first(names ...string) (jsontext.Value, bool) {
	for _, name := range names {
		if v, ok := e.Get(name); ok && v.Kind() != 'n' {
			return v, true
		}
	}
	return nil, false
}

func (e *Event) str(name string) string { s, _ := e.String(name); return s }

func (e *Event) strAt(name string, rest ...string) string {
	v, ok := e.Path(name, rest...)
	if !ok {
		return ""
	}
	s, _ := UnquoteString(v)
	return s
}

// Type is the event's type: "", "default", "error", "transaction", "csp", ….
func (e *Event) Type() string { return e.str("type") }

// EventID is the payload's event_id as it was sent. The envelope header's wins over it.
func (e *Event) EventID() string { return e.str("event_id") }

// Release is the release as it was sent; see ValidRelease.
func (e *Event) Release() string { return e.str("release") }

// Dist is the distribution as it was sent; see ValidDist. A number is taken
// as its digits, as build numbers are sometimes sent.
func (e *Event) Dist() string {
	v, _ := e.Get("dist")
	return scalar(v)
}

// Environment is the environment as it was sent; see ValidEnvironment.
func (e *Event) Environment() string { return e.str("environment") }

// Platform is the platform word: javascript, cocoa, java, native, other, ….
func (e *Event) Platform() string { return e.str("platform") }

// Logger is the logger's name.
func (e *Event) Logger() string { return e.str("logger") }

// Transaction is the route or the name of a transaction.
func (e *Event) Transaction() string { return e.str("transaction") }

// TransactionSource says what Transaction is: url, route, custom, view,
// component, task, sanitized, unknown; "" when absent.
func (e *Event) TransactionSource() string { return e.strAt("transaction_info", "source") }

// Level is fatal, error, warning, info or debug; aliases and Python's numbers
// (10 to 50) are mapped. Absent or unknown ones are error, Sentry's default.
func (e *Event) Level() string {
	v, _ := e.Get("level")
	switch strings.ToLower(scalar(v)) {
	case "fatal", "critical", "50":
		return "fatal"
	case "warning", "warn", "30":
		return "warning"
	case "info", "log", "20":
		return "info"
	case "debug", "10":
		return "debug"
	}
	return "error"
}

// Message is the text of a message event: logentry.formatted, else message,
// else the unformatted logentry.message. Either key may hold a string or an
// object.
func (e *Event) Message() string {
	var plain string
	for _, name := range [...]string{"logentry", "message", "sentry.interfaces.Message"} {
		v, ok := e.Get(name)
		if !ok {
			continue
		}
		switch v.Kind() {
		case '"':
			if s, _ := UnquoteString(v); s != "" {
				return s
			}
		case '{':
			if f, ok := Lookup(v, "formatted"); ok {
				if s, _ := UnquoteString(f); s != "" {
					return s
				}
			}
			if m, ok := Lookup(v, "message"); ok && plain == "" {
				plain, _ = UnquoteString(m)
			}
		}
	}
	return plain
}

// Timestamp is when the event happened; ok is false when it is absent or not
// a time between 1970 and 9999. See ParseTimestamp.
func (e *Event) Timestamp() (t time.Time, ok bool) {
	v, _ := e.Get("timestamp")
	return ParseTimestamp(v)
}

// ParseTimestamp reads a JSON time as SDKs write it: Unix seconds as number
// (or as digits in a string), or RFC 3339 with a "T" or a space and with or
// without a zone; without one it is UTC. Kept to the microsecond.
func ParseTimestamp(v jsontext.Value) (t time.Time, ok bool) {
	s := scalar(v)
	if s == "" || len(s) > 64 {
		return time.Time{}, false
	}
	if secs, err := strconv.ParseFloat(s, 64); err == nil {
		if !(secs >= 0 && secs < 253402300800) {
			return time.Time{}, false
		}
		return time.UnixMicro(int64(secs*1e6 + 0.5)).UTC(), true
	}
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			if t = t.UTC(); t.Year() < 1970 || t.Year() > 9999 {
				return time.Time{}, false
			}
			return t, true
		}
	}
	return time.Time{}, false
}

// UserIP is user.ip_address as it was sent: an address, "{{auto}}" or "".
func (e *Event) UserIP() string {
	v, _ := e.first("user", "sentry.interfaces.User")
	return stringAt(v, "ip_address")
}

// RequestURL is request.url, "" when absent.
func (e *Event) RequestURL() string {
	v, _ := e.first("request", "sentry.interfaces.Http")
	return stringAt(v, "url")
}

// RequestHeader is a header of the request the event is about, by its name in
// any case; headers may be an object or an array of pairs.
func (e *Event) RequestHeader(name string) string {
	v, _ := e.first("request", "sentry.interfaces.Http")
	headers, ok := Lookup(v, "headers")
	if !ok {
		return ""
	}
	for key, value := range Members(headers) {
		if strings.EqualFold(string(key), name) {
			return firstScalar(value)
		}
	}
	for pair := range Elements(headers) {
		i, hit := 0, false
		for part := range Elements(pair) {
			if i == 0 {
				hit = strings.EqualFold(scalar(part), name)
			} else if hit {
				return firstScalar(part)
			}
			i++
		}
	}
	return ""
}

// UserAgent is the User-Agent header of the request the event is about.
func (e *Event) UserAgent() string { return e.RequestHeader("User-Agent") }

// SDKName is sdk.name, "" when absent.
func (e *Event) SDKName() string { return e.strAt("sdk", "name") }

// SDKVersion is sdk.version, "" when absent.
func (e *Event) SDKVersion() string { return e.strAt("sdk", "version") }

// InferIP is sdk.settings.infer_ip: "auto", "never", "legacy", or "" when absent.
func (e *Event) InferIP() string { return e.strAt("sdk", "settings", "infer_ip") }

// Fingerprint is the client's own grouping; numbers and booleans are taken as
// text, a single value as a list of one. nil when absent.
func (e *Event) Fingerprint() []string {
	v, ok := e.Get("fingerprint")
	if !ok {
		return nil
	}
	if s := scalar(v); s != "" {
		return []string{s}
	}
	var parts []string
	for el := range Elements(v) {
		if s := scalar(el); s != "" {
			parts = append(parts, s)
		}
	}
	return parts
}

// stringAt is Lookup for a string; "" when it is not one.
func stringAt(v jsontext.Value, path ...string) string {
	found, ok := Lookup(v, path...)
	if !ok {
		return ""
	}
	s, _ := UnquoteString(found)
	return s
}

// scalar is a string's text, or a number or boolean as it stands; "" for all else.
func scalar(v jsontext.Value) string {
	switch v.Kind() {
	case '"':
		s, _ := UnquoteString(v)
		return s
	case '0', 't', 'f':
		return string(bytes.TrimSpace(v))
	}
	return ""
}

// firstScalar is scalar, or that of the first element of an array.
func firstScalar(v jsontext.Value) string {
	for el := range Elements(v) {
		return scalar(el)
	}
	return scalar(v)
}
