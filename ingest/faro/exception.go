package faro

import (
	"errors"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/ingest"
	"breakwater/schemas"
)

// maxCrumbs is how many breadcrumbs an event gets of its payload.
const maxCrumbs = 30

// exception makes one event.
func (d *decoder) exception(i int, raw jsontext.Value) error {
	var ex exception
	switch {
	case i >= maxExceptions:
		d.drop("event", schemas.Invalid, reasonTooMany)
		return nil
	case !read(raw, &ex) || ex.Type == "" && ex.Value == "" && len(ex.Stacktrace.Frames) == 0:
		d.drop("event", schemas.Invalid, reasonInvalid)
		return nil
	}
	at := when(ex.Timestamp, d.req.ReceivedAt)
	r := &schemas.CrashReport{
		Platform: "javascript", Release: string(d.meta.App.Version), Dist: d.meta.App.Release, Environment: string(d.meta.App.Environment),
		Timestamp: ex.Timestamp, Breadcrumbs: d.breadcrumbs(at),
		Exceptions: []schemas.CrashException{{Type: cut(string(ex.Type), 256), Value: cut(string(ex.Value), maxText), Mechanism: "faro", Frames: d.frames(&ex)}},
		Contexts:   d.contexts(&ex), Tags: map[string]schemas.Text{},
	}
	if d.meta.native() {
		r.Platform = "react-native"
	}
	if u := (schemas.CrashUser{ID: d.meta.User.ID, Email: string(d.meta.User.Email), Username: string(d.meta.User.Username), Name: string(d.meta.User.FullName)}); u.ID != "" || u.Email != "" || u.Username != "" || u.Name != "" {
		r.User = &u
	}
	for tag, value := range map[string]schemas.Text{"app.name": d.meta.App.Name, "session.id": d.meta.Session.ID, "view.name": d.meta.View.Name} {
		if value != "" {
			r.Tags[tag] = schemas.Text(cut(string(value), 190))
		}
	}
	agent := string(d.meta.Browser.UserAgent)
	if agent == "" {
		agent = d.req.UserAgent
	}
	o := ingest.Origin{Protocol: "faro", Received: d.req.ReceivedAt, UserAgent: cut(agent, maxKey*2), URL: cut(string(d.meta.Page.URL), maxText)}
	if ex.Fingerprint != "" {
		o.Fingerprint = []string{cut(string(ex.Fingerprint), maxText)}
	}
	id := ingest.DerivedID(d.req.Project.Name, "faro", d.id, strconv.Itoa(i))
	it, err := ingest.NewEventItem(r, id, o)
	if err != nil {
		return err
	}
	payload, _ := it.Item.InMemory()
	switch err := d.spend(len(payload)); {
	case errors.Is(err, errSpent):
		d.drop("event", schemas.Invalid, reasonTooLarge)
		return nil
	case err != nil:
		return err
	}
	if d.batch.EventID == "" {
		d.batch.EventID = id
	}
	d.batch.Items = append(d.batch.Items, it)
	return nil
}

// frames are Faro's in Sentry's order: the oldest call first.
func (d *decoder) frames(ex *exception) []schemas.CrashFrame {
	list := ex.Stacktrace.Frames
	list = list[:min(len(list), ingest.MaxFrames)]
	frames := make([]schemas.CrashFrame, 0, len(list))
	for i := range list {
		f := &list[i]
		name, abs := ingest.FileNames(cut(string(f.Filename), maxText), d.meta.native())
		function := string(f.Function)
		if function == "" {
			function = "?"
		}
		frames = append(frames, schemas.CrashFrame{
			Function: cut(function, 1024), Module: cut(string(f.Module), 1024), Filename: name, AbsPath: abs, Lineno: place(f.Lineno), Colno: place(f.Colno),
		})
	}
	slices.Reverse(frames)
	return frames
}

func place(n float64) int {
	if n > 0 && n < 1<<31 {
		return int(n)
	}
	return 0
}

// crumb is a breadcrumb with its time, which is read once for all exceptions.
type crumb struct {
	at time.Time
	schemas.CrashBreadcrumb
}

// breadcrumbs are the logs and events of the same payload that came before.
func (d *decoder) breadcrumbs(at time.Time) []schemas.CrashBreadcrumb {
	n := sort.Search(len(d.crumbs), func(i int) bool { return d.crumbs[i].at.After(at) })
	var list []schemas.CrashBreadcrumb
	for _, c := range d.crumbs[max(n-maxCrumbs, 0):n] {
		list = append(list, c.CrashBreadcrumb)
	}
	return list
}

func (d *decoder) contexts(ex *exception) map[string]map[string]jsontext.Value {
	out := map[string]map[string]jsontext.Value{}
	put := func(context, name, value string) {
		if value == "" {
			return
		}
		if out[context] == nil {
			out[context] = map[string]jsontext.Value{}
		}
		out[context][name] = schemas.QuoteString(cut(value, maxValue))
	}
	m := &d.meta
	put("app", "app_name", string(m.App.Name))
	put("app", "app_version", string(m.App.Version))
	put("browser", "name", string(m.Browser.Name))
	put("browser", "version", string(m.Browser.Version))
	put("os", "name", string(m.OS.Name))
	put("os", "version", string(m.OS.Version))
	put("culture", "locale", string(m.Browser.Language))
	put("faro", "session_id", string(m.Session.ID))
	put("faro", "page_id", string(m.Page.ID))
	traceID, spanID := ex.Trace.ids()
	put("trace", "trace_id", traceID)
	put("trace", "span_id", spanID)
	for _, a := range attributes(nil, "", ex.Context) {
		if out["faro_context"] == nil {
			out["faro_context"] = map[string]jsontext.Value{}
		}
		out["faro_context"][a.Key] = a.Value
	}
	return out
}
