package minidump

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"breakwater/ingest"
	"breakwater/schemas"
)

// fields are what a form says about the crash, in the spellings of a decade of
// clients (protocol §4.2).
type fields struct {
	packedEvent map[string]any // __sentry-event
	crumbs      [2][]any       // __sentry-breadcrumb1 and 2
	global      string         // sentry___global
	whole       string         // sentry
	chunks      map[int]string // sentry__1, sentry__2, …
	paths       []field        // sentry[user][id]
	others      []field        // anything else
	size        int64          // of all that is held
	values      int            // of JSON and MessagePack that were made of it
}

type field struct {
	name, value string
}

const (
	prefixChunk = "sentry__"
	prefixPath  = "sentry["
	// maxValues bounds the values, of objects and lists at any depth, that the
	// fields of one form may have together: in memory the smallest takes a hundred
	// times its text. Dumps of large programs come with some ten thousand.
	maxValues = 100_000
	// valueSize is about what a value takes in memory, in bytes: it is charged
	// before the value is made.
	valueSize = 128
)

// add reads a field's value. All of them together may be as large as an event.
func (f *fields) add(req *ingest.Request, p *part) error {
	room := req.Settings().EventSize - f.size - int64(len(p.name))
	if room < 0 {
		return ingest.RejectTooLarge.Because("fields above limits.event_size")
	}
	raw, err := req.ReadPart(p.body, room)
	if errors.Is(err, ingest.RejectTooLarge) {
		return ingest.RejectTooLarge.Because("fields above limits.event_size")
	}
	if err != nil {
		return err
	}
	value := strings.ToValidUTF8(string(raw), "\uFFFD")
	f.size += int64(len(value) + len(p.name))
	name := strings.ToValidUTF8(p.name, "\uFFFD")
	switch n, err := strconv.ParseUint(strings.TrimPrefix(name, prefixChunk), 10, 16); {
	case name == "":
	case name == "sentry":
		f.whole = value
	case name == "sentry___global":
		f.global = value
	case strings.HasPrefix(name, prefixChunk) && err == nil:
		if f.chunks == nil {
			f.chunks = map[int]string{}
		}
		f.chunks[int(n)] = value
	case strings.HasPrefix(name, prefixPath) && strings.HasSuffix(name, "]"):
		f.paths = append(f.paths, field{name, value})
	default:
		f.others = append(f.others, field{name, value})
	}
	return nil
}

// isPacked tells whether a part holds MessagePack of sentry-native.
func isPacked(name string) bool {
	return name == "__sentry-event" || name == "__sentry-breadcrumb1" || name == "__sentry-breadcrumb2"
}

// packed reads a part of MessagePack. One that cannot be read stays the
// attachment that Sentry's own servers would look into.
func (f *fields) packed(u *upload, p *part) error {
	typ := "event.breadcrumbs"
	if p.name == "__sentry-event" {
		typ = "event.payload"
	}
	if p.filename == "" {
		p.filename = p.name
	}
	room := max(u.req.Settings().EventSize-f.size, 0)
	raw, err := u.req.ReadPart(p.body, room)
	if errors.Is(err, ingest.RejectTooLarge) {
		return ingest.RejectTooLarge.Because("fields above limits.event_size")
	}
	if err != nil {
		return err
	}
	list, err := unpackMessages(raw, u.req.Settings().JSONDepth, &f.values, func(values, text int) error {
		return u.req.Reserve(int64(values*valueSize + text))
	})
	if errors.Is(err, ingest.RejectOverload) {
		return err
	}
	first, isMap := map[string]any(nil), false
	if len(list) > 0 {
		first, isMap = list[0].(map[string]any)
	}
	switch {
	case err == nil && typ == "event.breadcrumbs":
		f.crumbs[p.name[len(p.name)-1]-'1'] = list
	case err == nil && isMap && len(list) == 1 && f.packedEvent == nil:
		f.packedEvent = first
	case len(raw) == 0:
		return nil
	default:
		p.body = bytes.NewReader(raw)
		return u.attach(p, typ)
	}
	f.size += int64(len(raw))
	return nil
}

// event makes the event of all the fields, and finds the id that the answer
// says: of __sentry-event, of sentry, of its chunks, of sentry[event_id]. A
// form without a field makes none: the dump is an event by itself.
func (f *fields) event(u *upload) error {
	depth := u.req.Settings().JSONDepth
	ev := map[string]any{}
	id := ""
	take := func(layer map[string]any) {
		s, _ := layer["event_id"].(string)
		if own, ok := schemas.ParseEventID(s); ok && id == "" {
			id = own
		}
		merge(ev, layer)
	}
	extra := map[string]any{}
	take(f.packedEvent)
	for _, text := range [...]field{{"sentry___global", f.global}, {"sentry", f.whole}, {"sentry__1", f.joined()}} {
		if text.value == "" {
			continue
		}
		layer, ok, err := f.object(u.req, text.value, depth)
		switch {
		case err != nil:
			return err
		case ok:
			take(layer)
		default:
			extra[text.name] = text.value // nothing that was said is lost
		}
	}
	for _, p := range f.paths {
		if err := u.req.Make(strings.Count(p.name, "[") * valueSize); err != nil {
			return err
		}
		if layer, ok := bracketed(p, depth); ok {
			take(layer)
		} else {
			extra[p.name] = p.value
		}
	}
	for _, o := range f.others {
		extra[o.name] = o.value
	}
	if id == "" {
		id = schemas.NewEventID()
	}
	u.batch.EventID = id
	if len(extra) > 0 {
		merge(extra, asObject(ev["extra"]))
		ev["extra"] = extra
	}
	if crumbs := f.breadcrumbs(); len(crumbs) > 0 {
		ev["breadcrumbs"] = append(listOf(ev["breadcrumbs"]), crumbs...)
	}
	if len(ev) == 0 {
		return nil
	}
	ev["event_id"] = id
	if _, ok := ev["platform"]; !ok {
		ev["platform"] = "native"
	}
	if _, ok := ev["level"]; !ok {
		ev["level"] = "fatal"
	}
	if err := u.req.Make(int(f.size)); err != nil {
		return err
	}
	payload, err := f.fit(ev, u.req.Settings().EventSize)
	if err != nil {
		return err
	}
	it := ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader("event", "content_type", "application/json"), Payload: schemas.Bytes(payload)})
	u.batch.Items = slices.Insert(u.batch.Items, 0, it)
	return nil
}

// fit writes an event. Escapes and MessagePack can make it larger than what was
// sent: then it goes without what is the least missed.
func (f *fields) fit(ev map[string]any, limit int64) ([]byte, error) {
	for _, without := range []string{"", "breadcrumbs", "extra"} {
		delete(ev, without)
		payload, err := json.Marshal(ev)
		if err != nil {
			return nil, ingest.RejectInternal.With(err)
		}
		if int64(len(payload)) <= limit {
			return payload, nil
		}
	}
	return nil, ingest.RejectTooLarge.Because("fields above limits.event_size")
}

// joined are the chunks in their order.
func (f *fields) joined() string {
	numbers := make([]int, 0, len(f.chunks))
	for n := range f.chunks {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	var b strings.Builder
	for _, n := range numbers {
		b.WriteString(f.chunks[n])
	}
	return b.String()
}

// breadcrumbs are both files in the order of time: sentry-native writes to one
// until it is full, then to the other.
func (f *fields) breadcrumbs() []any {
	first, second := f.crumbs[0], f.crumbs[1]
	if lastTime(first) > lastTime(second) {
		first, second = second, first
	}
	return append(slices.Clone(first), second...)
}

// lastTime is the last crumb's timestamp, RFC 3339 as it was written.
func lastTime(crumbs []any) string {
	if len(crumbs) == 0 {
		return ""
	}
	crumb, _ := crumbs[len(crumbs)-1].(map[string]any)
	s, _ := crumb["timestamp"].(string)
	return s
}

// object reads JSON of one object, with exact numbers. Nothing more is read from
// the network by now, so it may wait for the request's turn. The error is
// ingest.RejectOverload.
func (f *fields) object(req *ingest.Request, text string, depth int) (o map[string]any, ok bool, err error) {
	values := valuesOf(text)
	if f.values += values; f.values > maxValues || schemas.TooDeep([]byte(text), depth) {
		return nil, false, nil
	}
	if err := req.Make(values * valueSize); err != nil {
		return nil, false, err
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&o); err != nil || o == nil {
		return nil, false, nil
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, false, nil
	}
	return o, true, nil
}

// valuesOf is at least how many values JSON has: what opens, and what is
// separated outside of strings.
func valuesOf(text string) (n int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '{' || c == '[' || c == ','):
			n++
		}
	}
	return n
}

// bracketed reads sentry[user][id] as {"user": {"id": …}}.
func bracketed(p field, depth int) (map[string]any, bool) {
	keys := strings.Split(strings.TrimSuffix(strings.TrimPrefix(p.name, prefixPath), "]"), "][")
	if len(keys) > depth {
		return nil, false
	}
	var value any = p.value
	for i := len(keys) - 1; i >= 0; i-- {
		if keys[i] == "" || strings.ContainsAny(keys[i], "[]") {
			return nil, false
		}
		value = map[string]any{keys[i]: value}
	}
	o, ok := value.(map[string]any)
	return o, ok
}

// merge puts over on top of o: objects are merged, all else is replaced.
func merge(o, over map[string]any) {
	for k, v := range over {
		below, ok1 := o[k].(map[string]any)
		above, ok2 := v.(map[string]any)
		if ok1 && ok2 {
			merge(below, above)
			continue
		}
		o[k] = v
	}
}

func asObject(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

// listOf are breadcrumbs as events have them, a list or {"values": […]}.
func listOf(v any) []any {
	if o, ok := v.(map[string]any); ok {
		v = o["values"]
	}
	list, _ := v.([]any)
	return list
}
