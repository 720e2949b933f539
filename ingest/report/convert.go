package report

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/ingest"
	"breakwater/schemas"
)

// bounds on what a log entry takes of a report's body.
const (
	maxAttributes = 32
	maxText       = 8192
	// maxAge is the oldest a report may say it is; browsers keep them for minutes.
	maxAge = 24 * time.Hour
)

// happened is when a report was made, by the gateway's clock: browsers say how
// long ago, not when.
func (d *decoder) happened(o *schemas.Object) time.Time {
	at := d.req.ReceivedAt
	if v, ok := o.Get("age"); ok && v.Kind() == '0' {
		ms, err := strconv.ParseFloat(string(v), 64)
		if age := time.Duration(ms * 1e6); err == nil && ms > 0 && ms < float64(maxAge/time.Millisecond) {
			at = at.Add(-age)
		}
	}
	return at
}

func seconds(t time.Time) json.Number {
	return json.Number(strconv.FormatFloat(float64(t.UnixMilli())/1e3, 'f', 3, 64))
}

// userAgent is the browser's: a report's own, because it may be older than the
// request.
func (d *decoder) userAgent(o *schemas.Object) string {
	if ua, _ := o.String("user_agent"); ua != "" {
		return cut(ua)
	}
	return d.req.UserAgent
}

func cut(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// attribute is a value as Sentry's logs have it (protocol §2.5).
type attribute struct {
	Value any    `json:"value"`
	Type  string `json:"type"`
}

type logEntry struct {
	Timestamp  json.Number          `json:"timestamp"`
	TraceID    string               `json:"trace_id"`
	Level      string               `json:"level"`
	Body       string               `json:"body"`
	Attributes map[string]attribute `json:"attributes"`
}

// logEntry makes an entry of a deprecation and the like.
func (d *decoder) logEntry(o *schemas.Object) jsontext.Value {
	typ, _ := o.String("type")
	body, _ := o.Object("body")
	attrs := map[string]attribute{}
	text := func(name, value string) {
		if value != "" {
			attrs[name] = attribute{cut(value), "string"}
		}
	}
	number := func(name string, v jsontext.Value) {
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			attrs[name] = attribute{n, "integer"}
		}
	}
	text("browser.report.type", typ)
	url, _ := o.String("url")
	text("url.full", url)
	text("user_agent.original", d.userAgent(o))
	text("sentry.release", d.query("sentry_release"))
	text("sentry.environment", d.query("sentry_environment"))
	text("sentry.origin", "auto.browser.report")
	message := typ + " at " + url
	names := body.Names()
	for _, name := range names[:min(len(names), maxAttributes)] { // the reports of browsers have at most ten
		v, _ := body.Get(name)
		s, isText := schemas.UnquoteString(v)
		switch {
		case name == "message":
			if isText && s != "" {
				message = s
			}
		case name == "sourceFile":
			text("code.file.path", s)
		case name == "lineNumber":
			number("code.line.number", v)
		case name == "columnNumber":
			number("code.column.number", v)
		case len(name) > 100:
		case isText:
			text("browser.report."+name, s)
		case v.Kind() == 't' || v.Kind() == 'f':
			attrs["browser.report."+name] = attribute{v.Kind() == 't', "boolean"}
		case v.Kind() == '0':
			number("browser.report."+name, v)
		}
	}
	level := "warn"
	if typ == "integrity-violation" {
		level = "error"
	}
	raw, err := json.Marshal(logEntry{seconds(d.happened(o)), schemas.NewEventID(), level, cut(message), attrs})
	if err != nil {
		panic(err) // strings, numbers and truth values only
	}
	return raw
}

// addLogs makes the one container that an envelope may hold. It counts in the
// budget of browsers' reports, not in that of the application's logs.
func (d *decoder) addLogs() {
	payload := append(append([]byte(`{"items":[`), bytes.Join(d.logs, []byte{','})...), `]}`...)
	it := ingest.NewItem(schemas.Item{
		Header:  schemas.NewItemHeader("log", "content_type", "application/vnd.sentry.items.log+json"),
		Payload: schemas.Bytes(payload),
	})
	it.Header.SetItemCount(len(d.logs))
	it.Category, it.Quantity = schemas.CategorySecurity, len(d.logs)
	d.batch.Items = append(d.batch.Items, it)
}

// crashEvent is the error a page's crash becomes. Only the browser can tell of
// it: the script that would have done so has died with the page.
type crashEvent struct {
	EventID     string         `json:"event_id"`
	Timestamp   json.Number    `json:"timestamp"`
	Platform    string         `json:"platform"`
	Level       string         `json:"level"`
	Logger      string         `json:"logger"`
	Release     string         `json:"release,omitempty"`
	Environment string         `json:"environment,omitempty"`
	Exception   []exception    `json:"exception"`
	Request     pageRequest    `json:"request"`
	Contexts    map[string]any `json:"contexts"`
	SDK         map[string]any `json:"sdk"`
}

type exception struct {
	Type      string         `json:"type"`
	Value     string         `json:"value"`
	Mechanism map[string]any `json:"mechanism"`
}

type pageRequest struct {
	URL     string            `json:"url,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

// crash adds the error for a report of type crash.
func (d *decoder) crash(o *schemas.Object) {
	body, _ := o.Object("body")
	reason, _ := body.String("reason")
	level := "fatal"
	if reason == "unresponsive" {
		level = "error" // the page may have come back
	}
	if reason == "" {
		reason = "unknown reason" // a fault of the browser itself
	}
	ev := crashEvent{
		EventID: schemas.NewEventID(), Timestamp: seconds(d.happened(o)), Platform: "javascript", Level: level, Logger: "browser.crash",
		Release: d.query("sentry_release"), Environment: d.query("sentry_environment"),
		Exception: []exception{{"BrowserCrash", cut(reason), map[string]any{"type": "browser_report", "handled": false, "synthetic": true}}},
		Contexts:  map[string]any{"browser_report": json.RawMessage(body.Bytes())},
		SDK:       map[string]any{"name": "breakwater.report", "version": "1"},
	}
	ev.Request.URL, _ = o.String("url")
	if ua := d.userAgent(o); ua != "" {
		ev.Request.Headers = map[string]string{"User-Agent": ua}
	}
	raw, err := json.Marshal(ev)
	if err != nil { // the body was taken by a reader that forgives more
		d.dead(schemas.Invalid, ReasonInvalid)
		return
	}
	d.add("event", raw)
}
