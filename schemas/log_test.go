package schemas

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

// What is asked for before a log is written is never less than what it takes:
// control characters, quotes, text that is not UTF-8, values of every kind.
func TestLogSize(t *testing.T) {
	texts := rapid.OneOf(
		rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("\x00\x01\n\"\\/\u2028é漢😀<>&\x7f"))),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
	values := rapid.OneOf(
		rapid.Map(texts, QuoteString), rapid.Map(texts, func(s string) jsontext.Value { return jsontext.Value(`{"a":` + string(QuoteString(s)) + `}`) }),
		rapid.SampledFrom([]jsontext.Value{jsontext.Value("true"), jsontext.Value("-1.5e300"), jsontext.Value("123456789012345678901234567890"), jsontext.Value("null"), jsontext.Value(`["\u0001"]`), nil}),
	)
	rapid.Check(t, func(t *rapid.T) {
		var entries []LogEntry
		size := 0
		for range rapid.IntRange(1, 4).Draw(t, "entries") {
			e := LogEntry{
				Time: time.UnixMicro(rapid.Int64().Draw(t, "time")), TraceID: texts.Draw(t, "trace"), SpanID: texts.Draw(t, "span"), Level: texts.Draw(t, "level"),
				Severity: rapid.Int().Draw(t, "severity"), Body: texts.Draw(t, "body"),
			}
			for range rapid.IntRange(0, 4).Draw(t, "attributes") {
				e.Attributes = append(e.Attributes, Attribute{Key: texts.Draw(t, "key"), Value: values.Draw(t, "value")})
			}
			entries = append(entries, e)
			size += e.Size()
		}
		raw, _ := new(Item{Payload: LogItem(entries).Payload}).InMemory()
		if len(raw) > size+len(`{"items":[]}`) {
			t.Fatalf("%d bytes, of which %d were asked for: %s", len(raw), size, raw)
		}
	})
	plain := LogEntry{Body: strings.Repeat("text ", 100), Attributes: []Attribute{TextAttribute("key", strings.Repeat("v", 1000))}}
	item := LogItem([]LogEntry{plain})
	if written, size := int(item.Payload.Size()), plain.Size(); size > written+written/5 {
		t.Errorf("%d bytes are asked for %d", size, written)
	}
}
