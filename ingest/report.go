package ingest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/getsentry/sentry-go"
	"github.com/go-json-experiment/json/jsontext"

	"breakwater/schemas"
)

// Bounds of what an event carries.
const (
	maxBreadcrumbs = 100      // the newest; as many as SDKs keep
	maxRawStack    = 16 << 10 // bytes of a stack text that could not be read
	firstYear      = 2000     // a clock that says less was never set
	maxAhead       = time.Minute
)

// Origin is what an event's protocol knows beside the report.
type Origin struct {
	// Protocol becomes the sdk's name: breakwater.<protocol>.
	Protocol string
	// Received is when the report came.
	Received time.Time
	// UserAgent of the browser and URL of the page, "" when unknown.
	UserAgent, URL string
	// Platform is Sentry's word, where the report's own says too little.
	Platform string
	// Fingerprint is the client's own grouping.
	Fingerprint []string
}

// NewEventItem makes an item of NewEvent. The error is a fault of ours.
func NewEventItem(r *schemas.CrashReport, id string, o Origin) (*Item, error) {
	payload, err := json.Marshal(NewEvent(r, id, o))
	if err != nil {
		return nil, RejectInternal.With(fmt.Errorf("writing an event: %w", err))
	}
	return NewItem(schemas.Item{Header: schemas.NewItemHeader("event", "content_type", "application/json"), Payload: schemas.Bytes(payload)}), nil
}

// NewEvent makes the Sentry event of a report, for the protocols whose clients
// speak no Sentry: the crash API, Faro, OpenTelemetry. id is the event id.
//
// A report keeps its own time however old it is. Without one, with one before
// the year 2000 (a clock that was never set) or more than a minute after its
// arrival it gets the time of arrival, as Sentry does with those of the future;
// what it said stays in the context "crash_report".
func NewEvent(r *schemas.CrashReport, id string, o Origin) *sentry.Event {
	at := o.Received
	ev := &sentry.Event{
		EventID: sentry.EventID(id), Timestamp: at.UTC(), Platform: platform(r.Platform), Level: level(r),
		Sdk:     sentry.SdkInfo{Name: "breakwater." + o.Protocol, Version: "1"},
		Release: r.Release, Dist: string(r.Dist), Environment: r.Environment, Message: r.Message, Fingerprint: o.Fingerprint,
		Tags: words(r.Tags), Contexts: contexts(r), Breadcrumbs: breadcrumbs(r.Breadcrumbs),
	}
	if o.Platform != "" {
		ev.Platform = o.Platform
	}
	if t, ok := r.Time(); ok {
		if t.Year() < firstYear || t.After(at.Add(maxAhead)) {
			keep(ev, "timestamp", t.Format(time.RFC3339Nano))
		} else {
			ev.Timestamp = t
		}
	}
	if u := r.User; u != nil {
		ev.User = sentry.User{ID: string(u.ID), Email: u.Email, Username: u.Username, Name: u.Name, IPAddress: u.IPAddress, Data: words(u.Data)}
	}
	agent := o.UserAgent != "" && ev.Platform == "javascript"
	if agent || o.URL != "" {
		ev.Request = &sentry.Request{URL: o.URL}
	}
	if agent {
		ev.Request.Headers = map[string]string{"User-Agent": o.UserAgent}
	}
	exceptions(ev, r)
	return ev
}

// platform is Sentry's word for where it crashed.
func platform(p string) string {
	switch p {
	case "javascript", "react-native":
		return "javascript"
	case "ios":
		return "cocoa"
	case "android":
		return "java"
	}
	return "other"
}

// level is the report's, else fatal for an app that went down, else error.
func level(r *schemas.CrashReport) sentry.Level {
	switch {
	case r.Level != "":
		return sentry.Level(r.Level)
	case r.Platform == "react-native" || r.Platform == "ios" || r.Platform == "android":
		for i := range r.Exceptions {
			if h := r.Exceptions[i].Handled; h != nil && !*h {
				return sentry.LevelFatal
			}
		}
	}
	return sentry.LevelError
}

func exceptions(ev *sentry.Event, r *schemas.CrashReport) {
	engine := ""
	for i := range r.Exceptions {
		in := &r.Exceptions[i]
		ex := sentry.Exception{Type: in.Type, Value: in.Value, Module: in.Module, Mechanism: mechanism(in, i, len(r.Exceptions))}
		switch {
		case len(in.Frames) > 0:
			ex.Stacktrace = &sentry.Stacktrace{Frames: frames(in.Frames, r.Platform == "react-native")}
		case in.Stack != "":
			s := ParseStack(in.Stack, in.Value, r.Platform == "react-native")
			if ex.Type == "" {
				ex.Type = s.Type
			}
			if ex.Value == "" {
				ex.Value = s.Value
			}
			if len(s.Frames) > 0 {
				ex.Stacktrace = &sentry.Stacktrace{Frames: s.Frames}
			} else {
				keepRaw(ev, in.Stack)
			}
			if s.Engine != "" {
				engine = s.Engine
			}
		}
		if ex.Type == "" {
			ex.Type = "Error"
		}
		ev.Exception = append(ev.Exception, ex)
	}
	if r.Platform == "react-native" {
		nativeContext(ev, engine)
	}
}

// mechanism says who caught the error. Several exceptions are a chain: the
// last was thrown, each one before it is the cause of the next.
func mechanism(in *schemas.CrashException, i, n int) *sentry.Mechanism {
	m := &sentry.Mechanism{Type: in.Mechanism, Handled: in.Handled}
	if id := n - 1 - i; id > 0 {
		parent := id - 1
		m.ExceptionID, m.ParentID, m.Source = id, &parent, "cause"
		if m.Type == "" {
			m.Type = "chained"
		}
	}
	if m.Type == "" {
		m.Type = "generic"
		if in.Handled != nil && !*in.Handled {
			m.Type = "onerror"
		}
	}
	return m
}

// frames are the client's own, in their order; of too many the oldest go.
func frames(list []schemas.CrashFrame, native bool) []sentry.Frame {
	list = list[max(len(list)-MaxFrames, 0):]
	out := make([]sentry.Frame, len(list))
	for i := range list {
		in := &list[i]
		path := in.AbsPath
		if path == "" {
			path = in.Filename
		}
		f := &out[i]
		*f = sentry.Frame{Function: in.Function, Module: in.Module, Filename: in.Filename, AbsPath: in.AbsPath, Lineno: in.Lineno, Colno: in.Colno}
		if strings.HasSuffix(path, "bundle") && native {
			f.Filename, f.AbsPath = FileNames(path, true)
		}
		if f.InApp = inApp(path, in.Module); in.InApp != nil {
			f.InApp = *in.InApp
		}
	}
	return out
}

// keepRaw keeps a stack text that no engine is known to write.
func keepRaw(ev *sentry.Event, text string) {
	if len(text) > maxRawStack {
		text = strings.ToValidUTF8(text[:maxRawStack], "") + "…"
	}
	keep(ev, "stack", text)
}

// keep notes in the context "crash_report" what found no place of its own.
func keep(ev *sentry.Event, name, value string) {
	if ev.Contexts == nil {
		ev.Contexts = map[string]sentry.Context{}
	}
	if ev.Contexts["crash_report"] == nil {
		ev.Contexts["crash_report"] = sentry.Context{}
	}
	ev.Contexts["crash_report"][name] = value
}

// nativeContext is what makes Sentry treat the event as React Native's.
func nativeContext(ev *sentry.Event, engine string) {
	if ev.Contexts == nil {
		ev.Contexts = map[string]sentry.Context{}
	}
	c := ev.Contexts["react_native_context"]
	if c == nil {
		c = sentry.Context{}
		ev.Contexts["react_native_context"] = c
	}
	if _, ok := c["js_engine"]; !ok && (engine == "hermes" || engine == "jsc") {
		c["js_engine"] = engine
	}
	if len(c) == 0 {
		c["js_engine"] = "unknown"
	}
}

// contexts are the client's, with its device; values stay as they were written.
func contexts(r *schemas.CrashReport) map[string]sentry.Context {
	out := make(map[string]sentry.Context, len(r.Contexts)+3)
	for name, members := range r.Contexts {
		out[name] = values(members)
	}
	system := sentry.Context{}
	device := sentry.Context{}
	for name, v := range r.Device {
		switch name {
		case "os":
			if v.Kind() == '"' {
				system["name"] = v
				continue
			}
		case "os_version":
			system["version"] = v
			continue
		}
		device[name] = v
	}
	merge(out, "device", device)
	merge(out, "os", system)
	if len(out) == 0 {
		return nil
	}
	return out
}

// merge adds members that the named context does not have yet.
func merge(out map[string]sentry.Context, name string, add sentry.Context) {
	if len(add) == 0 {
		return
	}
	if out[name] == nil {
		out[name] = sentry.Context{}
	}
	for k, v := range add {
		if _, ok := out[name][k]; !ok {
			out[name][k] = v
		}
	}
}

func breadcrumbs(list []schemas.CrashBreadcrumb) []*sentry.Breadcrumb {
	list = list[max(len(list)-maxBreadcrumbs, 0):]
	out := make([]*sentry.Breadcrumb, 0, len(list))
	for i := range list {
		in := &list[i]
		t, _ := schemas.ParseTimestamp(in.Timestamp)
		out = append(out, &sentry.Breadcrumb{Timestamp: t, Type: in.Type, Category: in.Category, Level: sentry.Level(in.Level), Message: in.Message, Data: values(in.Data)})
	}
	return out
}

// values keeps raw JSON as it is: large integers stay exact.
func values(in map[string]jsontext.Value) map[string]any {
	if in == nil {
		return nil
	}
	out := make(map[string]any, len(in))
	for k, v := range in {
		out[k] = v
	}
	return out
}

func words(in map[string]schemas.Text) map[string]string {
	if in == nil {
		return nil
	}
	out := make(map[string]string, len(in))
	for k, v := range in {
		out[k] = string(v)
	}
	return out
}
