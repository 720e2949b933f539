package faro

import (
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/ingest"
	"breakwater/schemas"
)

// share prepares what every log says of the payload it came in.
func (d *decoder) share() {
	m := &d.meta
	var list []schemas.Attribute
	for _, a := range [...]struct {
		key  string
		text schemas.Text
	}{
		{"sentry.release", m.App.Version},
		{"sentry.environment", m.App.Environment},
		{"service.name", m.App.Name},
		{"service.namespace", m.App.Namespace},
		{"session.id", m.Session.ID},
		{"user.id", m.User.ID},
		{"user.name", m.User.Username},
		{"user.email", m.User.Email},
		{"url.full", m.Page.URL},
		{"browser.name", m.Browser.Name},
		{"browser.version", m.Browser.Version},
		{"user_agent.original", m.Browser.UserAgent},
		{"os.name", m.OS.Name},
		{"view.name", m.View.Name},
		{"page.id", m.Page.ID},
		{"sentry.sdk.name", m.SDK.Name},
		{"sentry.sdk.version", m.SDK.Version},
	} {
		list = text(list, a.key, cut(string(a.text), maxShared))
	}
	d.common = list
	d.session = ingest.DerivedID(d.req.Project.Name, "session", string(m.Session.ID))
}

// crowded counts an entry that may become a log, and ends it unread when there
// are enough.
func (d *decoder) crowded() bool {
	switch d.entries++; {
	case d.entries > maxEntries:
		d.drop("log", schemas.Invalid, reasonTooMany)
	case d.spent:
		d.drop("log", schemas.Invalid, reasonTooLarge)
	default:
		return false
	}
	return true
}

// keep adds a log and a breadcrumb. kind is Faro's word for the signal.
func (d *decoder) keep(kind string, e schemas.LogEntry, t trace, c schemas.CrashBreadcrumb) error {
	size := len(e.Body) + 256
	e.Attributes = append(text(e.Attributes, "faro.kind", kind), d.common...)
	for _, a := range e.Attributes {
		size += len(a.Key) + len(a.Value) + 40
	}
	switch err := d.spend(size); {
	case errors.Is(err, errSpent):
		d.spent = true
		d.drop("log", schemas.Invalid, reasonTooLarge)
		return nil
	case err != nil:
		return err
	}
	if e.TraceID, e.SpanID = t.ids(); e.TraceID == "" {
		e.TraceID = d.session
	}
	d.logs = append(d.logs, e)
	if at, ok := schemas.ParseTimestamp(c.Timestamp); ok {
		d.crumbs = append(d.crumbs, crumb{at, c})
	}
	return nil
}

func (d *decoder) log(_ int, raw jsontext.Value) error {
	if d.crowded() {
		return nil
	}
	var l logEntry
	if !read(raw, &l) {
		d.drop("log", schemas.Invalid, reasonInvalid)
		return nil
	}
	level := schemas.LogLevel(0, strings.ToLower(string(l.Level)))
	if l.Level == "log" {
		level = "info"
	}
	e := schemas.LogEntry{Time: when(l.Timestamp, d.req.ReceivedAt), Level: level, Body: cut(string(l.Message), maxBody), Attributes: attributes(nil, "", l.Context)}
	return d.keep("log", e, l.Trace, schemas.CrashBreadcrumb{
		Timestamp: stamp(e), Category: "console", Level: crumbLevel(level), Message: cut(e.Body, maxText), Data: data(l.Context),
	})
}

func (d *decoder) event(_ int, raw jsontext.Value) error {
	if d.crowded() {
		return nil
	}
	var ev event
	if !read(raw, &ev) || ev.Name == "" {
		d.drop("log", schemas.Invalid, reasonInvalid)
		return nil
	}
	list := text(text(nil, "event.name", string(ev.Name)), "event.domain", string(ev.Domain))
	e := schemas.LogEntry{Time: when(ev.Timestamp, d.req.ReceivedAt), Level: "info", Body: cut(string(ev.Name), maxBody), Attributes: attributes(list, "", ev.Attributes)}
	category := "faro"
	if ev.Domain != "" {
		category = cut(string(ev.Domain), 100)
	}
	return d.keep("event", e, ev.Trace, schemas.CrashBreadcrumb{
		Timestamp: stamp(e), Category: category, Level: "info", Message: cut(e.Body, maxText), Data: data(ev.Attributes),
	})
}

// measurement is a vital, or a log of its values.
func (d *decoder) measurement(_ int, raw jsontext.Value) error {
	if len(d.batch.Beacons) > 0 && len(d.batch.Beacons[0].Vitals) > maxEntries {
		d.drop("", schemas.Invalid, reasonTooMany) // one by one they would cost memory
		return nil
	}
	var m measurement
	if !read(raw, &m) || m.Values.Kind() != '{' {
		d.vital(meaningless)
		return nil
	}
	if m.Type == "web-vitals" {
		d.webVital(&m)
		return nil
	}
	if d.crowded() {
		return nil
	}
	list := attributes(text(nil, "measurement.type", string(m.Type)), "measurement.", m.Values)
	e := schemas.LogEntry{Time: when(m.Timestamp, d.req.ReceivedAt), Level: "info", Body: cut("measurement "+string(m.Type), maxText), Attributes: attributes(list, "", m.Context)}
	return d.keep("measurement", e, m.Trace, schemas.CrashBreadcrumb{
		Timestamp: stamp(e), Category: "measurement", Level: "info", Message: e.Body, Data: data(m.Values),
	})
}

// stamp is a log's time as a breadcrumb has it.
func stamp(e schemas.LogEntry) jsontext.Value {
	return strconv.AppendFloat(nil, float64(e.Time.UnixMicro())/1e6, 'f', 6, 64)
}

func crumbLevel(level string) string {
	switch level {
	case "warn":
		return "warning"
	case "trace":
		return "debug"
	}
	return level
}

// data are the members of an object for a breadcrumb: the first few, short.
func data(v jsontext.Value) map[string]jsontext.Value {
	var out map[string]jsontext.Value
	for _, a := range attributes(nil, "", v) {
		if out == nil {
			out = map[string]jsontext.Value{}
		}
		if len(out) < 20 && len(a.Value) <= 1024 {
			out[a.Key] = a.Value
		}
	}
	return out
}
