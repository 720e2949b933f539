package relay

import (
	"fmt"
	"path"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/schemas"
)

// documentsOf reads one item with a JSON payload. A payload that is no JSON
// object, or was too large to read (nil), makes a document of what the record
// itself knows.
func documentsOf(it *schemas.Item, payload []byte, base Document, m *schemas.Meta) []Document {
	switch it.Header.Type {
	case "log", "otel_log":
		return logDocuments(payload, base)
	case "security", "raw_security", "nel":
		return []Document{securityDocument(payload, base)}
	case "user_report":
		return []Document{userReport(payload, base)}
	}
	base.Kind = "error"
	if it.Header.Type == "feedback" {
		base.Kind = "feedback"
	}
	// One event of a project is one document, however many records bring it.
	if m.EventID != "" {
		base.ID = fmt.Sprintf("%d-%s", m.ProjectID, m.EventID)
	}
	ev, err := schemas.ParseEvent(payload)
	if err != nil {
		return []Document{base}
	}
	readEvent(&base, ev)
	return []Document{base}
}

// readEvent fills a document from an event or a feedback.
func readEvent(d *Document, ev *schemas.Event) {
	if t, ok := ev.Timestamp(); ok {
		d.Timestamp = t.Format(documentTime)
	}
	if d.EventID == "" {
		d.EventID = clipDoc(ev.EventID(), maxShort)
	}
	if r := ev.Release(); r != "" {
		d.Release = clipDoc(r, maxShort)
	}
	d.Level, d.Dist = ev.Level(), clipDoc(ev.Dist(), maxShort)
	d.Environment, d.Platform, d.Logger = clipDoc(ev.Environment(), maxShort), clipDoc(ev.Platform(), maxShort), clipDoc(ev.Logger(), maxShort)
	d.Transaction, d.URL = clipDoc(ev.Transaction(), maxShort), clipDoc(ev.RequestURL(), maxURL)
	d.Message = clipDoc(ev.Message(), maxLong)
	d.UserID = clipDoc(textAt(ev, "user", "id"), maxShort)
	d.TraceID, d.SpanID = clipDoc(textAt(ev, "contexts", "trace", "trace_id"), 64), clipDoc(textAt(ev, "contexts", "trace", "span_id"), 64)
	d.SDK = clipDoc(strings.Trim(ev.SDKName()+"/"+ev.SDKVersion(), "/"), maxShort)
	if handled, known := ev.Handled(); known {
		d.Handled = &handled
	}
	if list := ev.Exceptions(); len(list) > 0 {
		last := list[len(list)-1]
		d.Type, d.Value, d.Culprit = clipDoc(last.Type, maxShort), clipDoc(last.Value, maxLong), clipDoc(culprit(last.Stack), maxShort)
	} else if d.Kind == "error" && d.Message != "" {
		d.Kind = "message"
	}
	if d.Kind == "feedback" {
		d.Level = "info"
		d.Message = clipDoc(textAt(ev, "contexts", "feedback", "message"), maxLong)
		if url := textAt(ev, "contexts", "feedback", "url"); url != "" {
			d.URL = clipDoc(url, maxURL)
		}
	}
	v, _ := ev.Get("tags")
	d.Tags = tagList(v)
}

// culprit names the frame that threw: the last one of the application's own
// code, else the last.
func culprit(stack schemas.Stack) string {
	if stack.Len() == 0 {
		return ""
	}
	at := stack.Len() - 1
	for i := at; i >= 0; i-- {
		if stack.InApp(i) {
			at = i
			break
		}
	}
	f := stack.Frame(at)
	where := f.Filename
	if where == "" {
		where = f.AbsPath
	}
	if where == "" {
		where = f.Module
	}
	if strings.Contains(where, "://") {
		where = path.Base(where)
	}
	if f.Lineno > 0 {
		where = fmt.Sprintf("%s:%d", where, f.Lineno)
	}
	switch {
	case f.Function == "":
		return where
	case where == "":
		return f.Function
	}
	return f.Function + " (" + where + ")"
}

// tagList reads tags as an object or as an array of pairs.
func tagList(v jsontext.Value) []string {
	var tags []string
	add := func(key, value string) {
		if key != "" && value != "" && len(tags) < maxTags {
			tags = append(tags, clipDoc(key+":"+value, maxTag))
		}
	}
	for key, value := range schemas.Members(v) {
		add(string(key), plainText(value))
	}
	for pair := range schemas.Elements(v) {
		var parts []string
		for part := range schemas.Elements(pair) {
			parts = append(parts, plainText(part))
		}
		if len(parts) == 2 {
			add(parts[0], parts[1])
		}
	}
	return tags
}

// logDocuments reads a container of logs, or one log.
func logDocuments(payload []byte, base Document) []Document {
	base.Kind, base.Level = "log", "info"
	c, err := schemas.ParseContainer(payload)
	if err != nil {
		o, err := schemas.ParseObject(payload)
		if err != nil {
			return []Document{base}
		}
		return []Document{logDocument(jsontext.Value(o.Bytes()), base)}
	}
	var docs []Document
	for n, member := range c.Items {
		if n >= maxLogs {
			break
		}
		d := logDocument(member, base)
		d.ID = fmt.Sprintf("%s-%d", base.ID, n)
		docs = append(docs, d)
	}
	return docs
}

func logDocument(v jsontext.Value, d Document) Document {
	at := func(path ...string) string { f, _ := schemas.Lookup(v, path...); return plainText(f) }
	attribute := func(name string) string { return at("attributes", name, "value") }
	if f, ok := schemas.Lookup(v, "timestamp"); ok {
		if t, ok := schemas.ParseTimestamp(f); ok {
			d.Timestamp = t.Format(documentTime)
		}
	}
	d.EventID = ""
	d.Level = logLevel(at("level") + at("severity_text"))
	if d.Message = clipDoc(at("body"), maxLong); d.Message == "" {
		d.Message = clipDoc(at("body", "stringValue"), maxLong)
	}
	d.TraceID, d.SpanID = clipDoc(at("trace_id"), 64), clipDoc(at("span_id"), 64)
	d.Release, d.Environment = clipDoc(attribute("sentry.release"), maxShort), clipDoc(attribute("sentry.environment"), maxShort)
	d.UserID = clipDoc(attribute("user.id"), maxShort)
	d.SDK = clipDoc(strings.Trim(attribute("sentry.sdk.name")+"/"+attribute("sentry.sdk.version"), "/"), maxShort)
	attributes, _ := schemas.Lookup(v, "attributes")
	for key, a := range schemas.Members(attributes) {
		if len(d.Tags) >= maxTags {
			break
		}
		value, _ := schemas.Lookup(a, "value")
		if text := plainText(value); text != "" && !strings.HasPrefix(string(key), "sentry.") && string(key) != "user.id" {
			d.Tags = append(d.Tags, clipDoc(string(key)+":"+text, maxTag))
		}
	}
	return d
}

// logLevel says a log's level in the words of events.
func logLevel(s string) string {
	switch strings.ToLower(s) {
	case "fatal":
		return "fatal"
	case "error":
		return "error"
	case "warn", "warning":
		return "warning"
	case "debug", "trace":
		return "debug"
	}
	return "info"
}

// securityDocument reads a report of a browser: CSP in its old form, or a
// report of the Reporting API.
func securityDocument(payload []byte, d Document) Document {
	d.Kind, d.Level, d.Type = "security", "info", "security"
	o, err := schemas.ParseObject(payload)
	if err != nil {
		return d
	}
	at := func(name string, rest ...string) string { v, _ := o.Path(name, rest...); return plainText(v) }
	either := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	if _, ok := o.Get("csp-report"); ok {
		d.Type, d.URL = "csp", clipDoc(at("csp-report", "document-uri"), maxURL)
		directive := either(at("csp-report", "effective-directive"), at("csp-report", "violated-directive"))
		d.Value = clipDoc(strings.TrimSpace(directive+" blocked "+at("csp-report", "blocked-uri")), maxLong)
		return d
	}
	if _, ok := o.Get("logentry"); ok { // already an event
		readEvent(&d, &schemas.Event{Object: o})
		d.Kind = "security"
		return d
	}
	d.Type, d.URL = clipDoc(either(at("type"), d.Type), maxShort), clipDoc(at("url"), maxURL)
	directive := either(at("body", "effectiveDirective"), at("body", "type"))
	d.Value = clipDoc(strings.TrimSpace(directive+" "+at("body", "blockedURL")), maxLong)
	return d
}

// userReport reads the comment a user gave to an event.
func userReport(payload []byte, d Document) Document {
	d.Kind, d.Level = "feedback", "info"
	o, err := schemas.ParseObject(payload)
	if err != nil {
		return d
	}
	if id, _ := o.String("event_id"); id != "" {
		d.EventID = clipDoc(id, maxShort)
	}
	comments, _ := o.String("comments")
	d.Message = clipDoc(comments, maxLong)
	return d
}

// textAt is a string's text or a number or boolean as it stands, below an
// event's field; "" for all else.
func textAt(ev *schemas.Event, name string, rest ...string) string {
	v, _ := ev.Path(name, rest...)
	return plainText(v)
}

func plainText(v jsontext.Value) string {
	switch v.Kind() {
	case '"':
		s, _ := schemas.UnquoteString(v)
		return s
	case '0', 't', 'f':
		return strings.TrimSpace(string(v))
	}
	return ""
}
