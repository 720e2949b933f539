package schemas

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// LogEntry is one member of a "log" container (protocol §2.5).
type LogEntry struct {
	Time time.Time
	// TraceID is required by Sentry: 32 hex digits. SpanID may be "".
	TraceID, SpanID string
	// Level is trace, debug, info, warn, error or fatal.
	Level string
	// Severity is OpenTelemetry's number, 0 for unknown.
	Severity   int
	Body       string
	Attributes []Attribute
}

// Attribute is one attribute of a log. Value is a JSON value: a text, a number
// or a boolean goes as it is, all else as its text.
type Attribute struct {
	Key   string
	Value jsontext.Value
}

// TextAttribute is an attribute of a text.
func TextAttribute(key, text string) Attribute { return Attribute{key, QuoteString(text)} }

// LogItem is a container of logs, as SDKs send it.
func LogItem(entries []LogEntry) Item {
	b := append([]byte(nil), `{"items":[`...)
	for i := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = entries[i].append(b)
	}
	h := NewItemHeader("log", "content_type", "application/vnd.sentry.items.log+json")
	h.SetItemCount(len(entries))
	return Item{Header: h, Payload: Bytes(append(b, "]}"...))}
}

func (e *LogEntry) append(b []byte) []byte {
	b = append(b, `{"timestamp":`...)
	b = strconv.AppendFloat(b, float64(e.Time.UnixMicro())/1e6, 'f', 6, 64)
	b = append(append(b, `,"trace_id":`...), QuoteString(e.TraceID)...)
	if e.SpanID != "" {
		b = append(append(b, `,"span_id":`...), QuoteString(e.SpanID)...)
	}
	b = append(append(b, `,"level":`...), QuoteString(e.Level)...)
	if e.Severity > 0 {
		b = strconv.AppendInt(append(b, `,"severity_number":`...), int64(e.Severity), 10)
	}
	b = append(append(b, `,"body":`...), QuoteString(e.Body)...)
	if len(e.Attributes) > 0 {
		b = append(b, `,"attributes":{`...)
		for i, a := range e.Attributes {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, QuoteString(a.Key)...), ':')
			b = a.append(b)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func (a Attribute) append(b []byte) []byte {
	v, typ := a.Value, "string"
	switch v.Kind() {
	case '"':
	case 't', 'f':
		typ = "boolean"
	case '0':
		typ = "double"
		if _, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			typ = "integer"
		}
	default:
		v = QuoteString(string(v))
	}
	b = append(append(b, `{"value":`...), v...)
	return append(append(b, `,"type":"`...), typ+`"}`...)
}

// LogLevel is Sentry's word for OpenTelemetry's severity number; text, the
// client's own word, counts when there is no number.
func LogLevel(severity int, text string) string {
	switch {
	case severity >= 21:
		return "fatal"
	case severity >= 17:
		return "error"
	case severity >= 13:
		return "warn"
	case severity >= 9:
		return "info"
	case severity >= 5:
		return "debug"
	case severity >= 1:
		return "trace"
	}
	switch text {
	case "trace", "debug", "info", "warn", "error", "fatal":
		return text
	case "warning":
		return "warn"
	}
	return "info"
}
