package schemas

import (
	"strconv"
	"time"
	"unicode/utf8"

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

// LogItem is a container of logs, as SDKs send it. Its memory is asked for
// once, as much as LogEntry.Size says: a buffer that doubles as it grows would
// leave several times as much behind.
func LogItem(entries []LogEntry) Item {
	size := logsAround
	for i := range entries {
		size += entries[i].Size()
	}
	b := append(make([]byte, 0, size), `{"items":[`...)
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

// What stands around the members, in bytes.
const (
	logsAround      = len(`{"items":[]}`)
	logAround       = len(`{"timestamp":-9223372036854.775807,"trace_id":,"span_id":,"level":,"severity_number":-9223372036854775808,"body":,"attributes":{}},`)
	attributeAround = len(`:{"value":,"type":"boolean"},`)
)

// Size is how many bytes the entry takes in a container, or a few more: what
// may be asked for before it is written.
func (e *LogEntry) Size() int {
	size := logAround + quotedSize(e.TraceID) + quotedSize(e.SpanID) + quotedSize(e.Level) + quotedSize(e.Body)
	for i := range e.Attributes {
		size += e.Attributes[i].size()
	}
	return size
}

func (a *Attribute) size() int {
	value := len(a.Value)
	switch a.Value.Kind() {
	case '"', 't', 'f', '0':
	default:
		value = quotedSize(string(a.Value))
	}
	return quotedSize(a.Key) + value + attributeAround
}

// quotedSize is the most bytes that s takes as a JSON string.
func quotedSize(s string) int {
	n, high := len(s)+2, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ':
			n += len(`\u001f`) - 1
		case c == '"' || c == '\\':
			n++
		case c >= utf8.RuneSelf:
			high++
		}
	}
	if high > 0 && !utf8.ValidString(s) {
		n += high * (len("\uFFFD") - 1)
	}
	return n
}

func (e *LogEntry) append(b []byte) []byte {
	b = append(b, `{"timestamp":`...)
	b = strconv.AppendFloat(b, float64(e.Time.UnixMicro())/1e6, 'f', 6, 64)
	b = appendQuote(append(b, `,"trace_id":`...), e.TraceID)
	if e.SpanID != "" {
		b = appendQuote(append(b, `,"span_id":`...), e.SpanID)
	}
	b = appendQuote(append(b, `,"level":`...), e.Level)
	if e.Severity > 0 {
		b = strconv.AppendInt(append(b, `,"severity_number":`...), int64(e.Severity), 10)
	}
	b = appendQuote(append(b, `,"body":`...), e.Body)
	if len(e.Attributes) > 0 {
		b = append(b, `,"attributes":{`...)
		for i, a := range e.Attributes {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendQuote(b, a.Key), ':')
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
