package otlp

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"

	"breakwater/ingest"
	"breakwater/schemas"
)

// webVital is the event name of the conventions for browsers.
const webVital = "browser.web_vital"

// log sorts one log record. An error is one of reading it.
func (d *decoder) log(rec *schemas.OTLPRecord) error {
	var l logspb.LogRecord
	if err := rec.Decode(&l); err != nil {
		return err
	}
	a := of(rec, l.GetAttributes())
	name := l.GetEventName()
	if name == "" {
		name = schemas.OTLPText(schemas.OTLPAttribute(a.own, "event.name"))
	}
	at, known := schemas.OTLPTime(l.GetTimeUnixNano())
	if !known {
		at, known = schemas.OTLPTime(l.GetObservedTimeUnixNano())
	}
	level := schemas.LogLevel(int(l.GetSeverityNumber()), strings.ToLower(l.GetSeverityText()))
	if name == webVital {
		return d.vital(a, &l)
	}
	if e, ok := exceptionOf(a.own); ok {
		o := occasion{about: a, trace: id(l.GetTraceId(), 16), span: id(l.GetSpanId(), 8), level: eventLevel(level, l.GetSeverityNumber()), index: ordinal(d.records)}
		if known {
			o.at = at
		}
		if body := schemas.OTLPText(l.GetBody()); body != "" && body != e.message {
			o.details = []schemas.Attribute{schemas.TextAttribute("body", cut(body, maxText))}
		}
		return d.event(e, o)
	}
	if !known {
		at = d.req.ReceivedAt
	}
	more, _ := d.attributes(a, "event.name")
	entry := schemas.LogEntry{
		Time: at, TraceID: id(l.GetTraceId(), 16), SpanID: id(l.GetSpanId(), 8), Level: level, Severity: int(l.GetSeverityNumber()),
		Body: cut(schemas.OTLPText(l.GetBody()), maxBody), Attributes: more,
	}
	if entry.Body == "" {
		entry.Body = name
	}
	for _, known := range [...][2]string{{"event.name", cut(name, maxKey)}, {"sentry.release", a.release()}, {"sentry.environment", a.environment()}} {
		if known[1] != "" {
			entry.Attributes = append(entry.Attributes, schemas.TextAttribute(known[0], known[1]))
		}
	}
	if entry.TraceID == "" { // Sentry wants one: that of the session, or of the request
		entry.TraceID = ingest.DerivedID(d.req.Project.Name, "trace", a.session())
		if a.session() == "" {
			entry.TraceID = ingest.DerivedID("trace", d.id)
		}
	}
	if err := d.spend(entry.Size()); err != nil {
		return err
	}
	d.logs = append(d.logs, entry)
	return nil
}

// eventLevel is the level of an exception: an error, unless the record says
// something else.
func eventLevel(level string, severity logspb.SeverityNumber) string {
	switch {
	case severity == 0:
		return "error"
	case level == "warn":
		return "warning"
	case level == "trace":
		return "debug"
	}
	return level
}

// vital takes one web vital, as attributes browser.web_vital.*, or, as older
// conventions had it, as members of the body. The errors are those of remember.
func (d *decoder) vital(a about, l *logspb.LogRecord) error {
	find := func(name string) *commonpb.AnyValue {
		if v := schemas.OTLPAttribute(a.own, webVital+"."+name, name); v != nil {
			return v
		}
		return schemas.OTLPAttribute(l.GetBody().GetKvlistValue().GetValues(), name)
	}
	text := func(name string) string { return schemas.OTLPText(find(name)) }
	v := schemas.Vital{
		Name: cut(text("name"), 60), ID: text("id"), NavigationType: cut(text("navigation_type"), 60), NavigationURL: cut(text("navigation_url"), maxText),
	}
	v.Value, v.HasValue = schemas.OTLPNumber(find("value"))
	v.Delta, _ = schemas.OTLPNumber(find("delta"))
	if raw := jsontext.Value(l.GetBody().GetStringValue()); raw.Kind() == '{' && !schemas.TooDeep(raw, schemas.MaxBeaconDepth) && raw.IsValid() {
		v.Attribution = string(raw)
	}
	if len(v.ID) > 128 {
		v.Rejected = schemas.RejectedBadID
	}
	return d.measured(a, id(l.GetTraceId(), 16), v)
}

// What a vital and a beacon take in memory, about, in bytes, without texts.
const (
	vitalSize  = 256
	beaconSize = 512
)

// maxMeasured bounds what the vitals of one request take, in bytes.
const maxMeasured = 4 << 20

// remember asks for n bytes of vitals. Errors: errSpent and RejectOverload.
func (d *decoder) remember(n int) error {
	if d.measurements += n; d.measurements > maxMeasured {
		d.measurements -= n
		return errSpent
	}
	return d.req.Reserve(int64(n))
}

// measured adds vitals, all alike but for their ids, to the beacon of their
// page. The errors are those of remember.
func (d *decoder) measured(a about, trace string, vitals ...schemas.Vital) error {
	if err := d.remember(vitalSize * len(vitals)); err != nil {
		return err
	}
	for i := range vitals {
		vitals[i].Name = vitalName(vitals[i].Name)
	}
	b := &schemas.Beacon{
		Source: "otlp", Route: cut(a.route(), 2000), URL: a.url(), Release: a.release(), Environment: a.environment(), TraceID: trace, OS: cut(a.get("os.name"), 60),
	}
	if a.get("browser.mobile") == "true" {
		b.Device = "mobile"
	}
	if !schemas.ValidRelease(b.Release) {
		b.Release = ""
	}
	if !schemas.ValidEnvironment(b.Environment) {
		b.Environment = ""
	}
	key := strings.Join([]string{b.Route, b.URL, b.Release, b.Environment, b.TraceID, b.OS, b.Device, a.session()}, "\x00")
	if have := d.beacons[key]; have != nil {
		b = have
	} else {
		if err := d.remember(beaconSize + len(key)); err != nil {
			return err
		}
		d.beacons[key] = b
		d.batch.Beacons = append(d.batch.Beacons, b)
	}
	b.Vitals = append(b.Vitals, vitals...)
	return nil
}

// vitalName is our word for a vital, whatever its case.
func vitalName(s string) string {
	for _, name := range schemas.VitalNames {
		if strings.EqualFold(s, name) {
			return name
		}
	}
	return s
}
