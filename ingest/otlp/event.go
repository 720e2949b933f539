package otlp

import (
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"

	"breakwater/ingest"
	"breakwater/schemas"
)

// exception is what the conventions say of one.
type exception struct {
	typ, message, stack string
	escaped             bool
}

// exceptionOf reads the exception.* attributes; ok is false without a type, a
// message and a stack.
func exceptionOf(list []*commonpb.KeyValue) (e exception, ok bool) {
	text := func(name string) string { return schemas.OTLPText(schemas.OTLPAttribute(list, name)) }
	e = exception{typ: cut(text("exception.type"), 256), message: cut(text("exception.message"), maxText), stack: text("exception.stacktrace")}
	e.escaped = text("exception.escaped") == "true"
	return e, e.typ != "" || e.message != "" || e.stack != ""
}

// occasion is when and where an exception was recorded.
type occasion struct {
	about
	at      time.Time // zero when unknown
	trace   string
	span    string
	level   string
	index   string // tells the exceptions of one request apart
	details []schemas.Attribute
}

// event adds an event to the batch. Errors: errSpent, and faults of ours.
func (d *decoder) event(e exception, o occasion) error {
	if d.events == maxEvents {
		d.drop("event", schemas.Invalid, reasonTooMany, 1)
		if d.signal == schemas.OTLPLogs { // of a span the rest was taken
			d.refused++
		}
		return nil
	}
	more, size := d.attributes(o.about, "exception.", "url.full", "user.id", "enduser.id", "user.email", "user.name")
	if err := d.spend(size + len(e.message) + min(len(e.stack), 64<<10) + 2048); err != nil {
		return err
	}
	d.events++
	r := &schemas.CrashReport{
		Release: o.release(), Environment: o.environment(), Level: o.level,
		Exceptions: []schemas.CrashException{{Type: e.typ, Value: e.message, Stack: e.stack, Mechanism: "otlp"}},
		Tags:       map[string]schemas.Text{}, Contexts: map[string]map[string]jsontext.Value{},
	}
	if e.escaped || unhandled(o.scope) {
		no := false
		r.Exceptions[0].Handled, r.Exceptions[0].Mechanism = &no, "onerror"
	}
	if !o.at.IsZero() {
		r.Timestamp = schemas.QuoteString(o.at.Format(time.RFC3339Nano))
	}
	if o.trace != "" {
		r.Contexts["trace"] = map[string]jsontext.Value{"trace_id": schemas.QuoteString(o.trace)}
		if o.span != "" {
			r.Contexts["trace"]["span_id"] = schemas.QuoteString(o.span)
		}
	}
	for _, tag := range [...]string{"service.name", "session.id"} {
		if text := o.get(tag); text != "" {
			r.Tags[tag] = schemas.Text(cut(text, 190))
		}
	}
	if u := (schemas.CrashUser{ID: schemas.Text(o.get("user.id", "enduser.id")), Email: o.get("user.email"), Username: o.get("user.name")}); u.ID != "" || u.Email != "" || u.Username != "" {
		r.User = &u
	}
	if more = append(more, o.details...); len(more) > 0 {
		r.Contexts["otel"] = map[string]jsontext.Value{}
		for _, a := range more {
			r.Contexts["otel"][a.Key] = a.Value
		}
	}
	agent := o.userAgent()
	if agent == "" && o.browser() {
		agent = d.req.UserAgent
	}
	eventID := ingest.DerivedID(d.req.Project.Name, "otlp", d.id, o.index)
	it, err := ingest.NewEventItem(r, eventID, ingest.Origin{
		Protocol: "otlp", Received: d.req.ReceivedAt, UserAgent: agent, URL: o.url(), Platform: o.platform(),
	})
	if err != nil {
		return err
	}
	if d.batch.EventID == "" {
		d.batch.EventID = eventID
	}
	d.batch.Items = append(d.batch.Items, it)
	return nil
}

// unhandled tells whether an instrumentation records only what nobody caught:
// those of browsers listen to the window's error and unhandledrejection.
func unhandled(scope string) bool {
	return strings.HasSuffix(scope, "browser-instrumentation/errors") || strings.HasSuffix(scope, "instrumentation-web-exception")
}

func ordinal(n ...int) string {
	var b []byte
	for _, i := range n {
		b = append(strconv.AppendInt(b, int64(i), 10), '.')
	}
	return string(b)
}
