package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of one beacon. A page has five vitals; 200 leaves room for a client
// that batches soft navigations.
const (
	MaxBeaconEntries = 200
	MaxBeaconDepth   = 100
)

// Rejected is one entry of a beacon that cannot be read at all. Name is what
// it called itself, at most 64 bytes, "" when it has no name.
type Rejected struct {
	Name   string
	Reason string
}

// Reasons of a Rejected: a closed list, for metrics.
const (
	RejectedNotObject = "not_object" // an entry that is not a JSON object
	RejectedNoName    = "no_name"    // an entry without a name
	RejectedBadID     = "bad_id"     // an id of more than 128 bytes
	RejectedTooMany   = "too_many"   // each entry beyond MaxBeaconEntries
)

// Errors of DecodeBeacon.
var (
	ErrBeaconEmpty = errors.New("empty beacon")
	ErrBeaconForm  = errors.New("beacon is neither JSON nor a form")
	ErrBeaconDepth = errors.New("beacon is nested too deeply")
)

// DecodeBeacon reads a Web Vitals beacon: the web-vitals library's metric
// object as it is, alone, in an array or in a wrapper's "vitals"; or one
// metric as form fields (multipart, URL-encoded). The body decides which, not
// the content type: navigator.sendBeacon says text/plain for JSON. The
// wrapper's fields may stand in the wrapper, beside a lone metric, or in the
// query, in this order of trust. Unknown fields are ignored, wrapper fields
// that break the schema too (Beacon.Ignored names them).
//
// Entries that cannot be read come back as Rejected, their neighbours are
// kept. Whether a name is known and a value is plausible is not decided here,
// since measurements come by other routes too: look at KnownVital and
// Vital.HasValue. Errors: ErrBeaconEmpty, ErrBeaconForm, ErrBeaconDepth, or a
// JSON error; then there is no beacon.
//
// The texts of a Beacon share one copy of its body: whoever keeps one of them
// beyond the request keeps the whole body, and had better clone it.
//
// A body is gone through twice: once for its syntax, once for what it says. That
// makes 2 allocations for a metric with a wrapper; BenchmarkDecodeBeaconGoccy
// shows what decoding into structs with goccy/go-json costs: less time, 11 allocations, and
// no word for the forms and the bad neighbours.
func DecodeBeacon(body []byte, contentType string, query url.Values) (*Beacon, []Rejected, error) {
	made := &madeBeacon{Beacon: Beacon{Source: "beacon"}}
	d := beaconDecoder{b: &made.Beacon, room: made.room[:0]}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	switch {
	case len(body) == 0:
		if !query.Has("name") {
			return nil, nil, ErrBeaconEmpty
		}
		d.form(query)
	case body[0] == '{' || body[0] == '[':
		deepest, valid := nesting(body)
		switch {
		case valid && deepest <= MaxBeaconDepth:
		case valid || TooDeep(body, MaxBeaconDepth):
			return nil, nil, ErrBeaconDepth
		default:
			return nil, nil, whyInvalid(body, "a beacon")
		}
		d.json(body)
	default:
		fields, err := parseForm(body, contentType)
		if err != nil {
			return nil, nil, err
		}
		d.form(fields)
	}
	d.query(query)
	return d.b, d.rejected, nil
}

// whyInvalid reads text that is not valid JSON again, with a decoder that
// knows the place of the fault.
func whyInvalid(raw []byte, what string) error {
	dec := jsontext.NewDecoder(bytes.NewReader(raw), jsonLenient...)
	if _, err := dec.ReadValue(); err != nil {
		return fmt.Errorf("reading %s: %w", what, err)
	}
	return fmt.Errorf("reading %s: %w", what, ErrTrailing)
}

// madeBeacon has room for the one entry that most beacons hold.
type madeBeacon struct {
	Beacon
	room [1]Vital
}

type beaconDecoder struct {
	b        *Beacon
	room     []Vital
	rejected []Rejected
	raw      []byte // the JSON that is read; places are offsets in it
	copied   string // the same as text, made when first needed
}

// scalar is the function of that name, but takes plain texts out of the one
// copy of the body.
func (d *beaconDecoder) scalar(at, end int) string {
	if end-at > 2 && d.raw[at] == '"' && isPlain(d.raw[at+1:end-1]) {
		if d.copied == "" {
			d.copied = string(d.raw)
		}
		return d.copied[at+1 : end-1]
	}
	return scalar(d.raw[at:end])
}

// isPlain tells whether the inside of a JSON string is the text as it is.
func isPlain(inside []byte) bool {
	for _, c := range inside {
		if c == '\\' || c >= 0x80 {
			return false
		}
	}
	return true
}

// json reads a whole text: entries, or one object, which is a wrapper when it
// has "vitals" and else a metric. Where "vitals" stands twice the last one counts.
func (d *beaconDecoder) json(text []byte) {
	d.raw, d.copied = text, ""
	if text[0] == '[' {
		d.entries(0)
		return
	}
	var lone Vital
	wrapper := false
	walkObject(text, 0, func(name []byte, at int) (end int) {
		if string(name) == "vitals" {
			wrapper = true
			d.b.Vitals, d.rejected = nil, nil
			if text[at] == '[' {
				return d.entries(at)
			}
			return d.entry(at)
		}
		end = skipValue(text, at)
		d.field(name, at, end)
		d.member(&lone, &noVital, name, at, end)
		return end
	})
	if !wrapper {
		d.add(lone)
	}
}

// entries reads the array at an offset, and returns where it ends.
func (d *beaconDecoder) entries(at int) (end int) {
	d.b.Vitals = d.room
	i := 0
	return walkArray(d.raw, at, func(at int) (end int) {
		if i++; i > MaxBeaconEntries {
			end = skipValue(d.raw, at)
			name, _ := Lookup(d.raw[at:end], "name")
			d.reject(vitalName(name), RejectedTooMany)
			return end
		}
		return d.entry(at)
	})
}

func (d *beaconDecoder) reject(name, reason string) {
	d.rejected = append(d.rejected, Rejected{name, reason})
}

var noVital Vital

// entry reads one entry, and returns where it ends.
func (d *beaconDecoder) entry(at int) (end int) {
	if d.raw[at] != '{' {
		d.reject("", RejectedNotObject)
		return skipValue(d.raw, at)
	}
	var m Vital
	last := &noVital
	if n := len(d.b.Vitals); n > 0 {
		last = &d.b.Vitals[n-1]
	}
	end = walkObject(d.raw, at, func(name []byte, at int) (end int) {
		end = skipValue(d.raw, at)
		d.member(&m, last, name, at, end)
		return end
	})
	d.add(m)
	return end
}

// member takes one member of a metric; last is the entry before it.
func (d *beaconDecoder) member(m, last *Vital, name []byte, at, end int) {
	v := jsontext.Value(d.raw[at:end])
	switch string(name) {
	case "name":
		m.Name = vitalName(v)
	case "value":
		m.Value, m.HasValue = number(v)
	case "delta":
		m.Delta, _ = number(v)
	case "id":
		m.ID = d.again(last.ID, at, end)
	case "rating":
		m.Rating = word(v, ratings)
	case "navigationType":
		m.NavigationType = word(v, navigationTypes)
	case "navigationId":
		m.NavigationID = d.again(last.NavigationID, at, end)
	case "navigationURL":
		m.NavigationURL = d.again(last.NavigationURL, at, end)
	case "navigationStartTime":
		m.NavigationStartTime, _ = number(v)
	case "attribution":
		if m.Attribution = nil; v.Kind() == '{' {
			m.Attribution = v
		}
	}
}

func (d *beaconDecoder) add(m Vital) {
	if len(m.NavigationID) > 128 {
		m.NavigationID = ""
	}
	if len(m.NavigationURL) > maxBeaconURL {
		m.NavigationURL = ""
	}
	switch {
	case m.Name == "":
		d.reject("", RejectedNoName)
	case len(m.ID) > 128:
		d.reject(m.Name, RejectedBadID)
	default:
		switch len(d.b.Vitals) {
		case 0:
			d.b.Vitals = d.room
		case cap(d.room): // a page has five vitals, some of them twice
			d.b.Vitals = append(make([]Vital, 0, 8), d.b.Vitals...)
		}
		d.b.Vitals = append(d.b.Vitals, m)
	}
}

// form reads one metric from form fields; a field "vitals" may hold JSON.
func (d *beaconDecoder) form(f url.Values) {
	for name := range f {
		d.text(name, f.Get(name), true)
	}
	slices.Sort(d.b.Ignored)
	if v := jsontext.Value(strings.TrimSpace(f.Get("vitals"))); len(v) > 0 && !TooDeep(v, MaxBeaconDepth) && v.IsValid(jsonLenient...) {
		if d.raw, d.copied = v, ""; v[0] == '[' {
			d.entries(0)
		} else {
			d.entry(0)
		}
		return
	}
	m := Vital{
		Name: vitalName(QuoteString(f.Get("name"))), ID: f.Get("id"), Rating: word(QuoteString(f.Get("rating")), ratings),
		NavigationType: word(QuoteString(f.Get("navigationType")), navigationTypes),
		NavigationID:   f.Get("navigationId"), NavigationURL: f.Get("navigationURL"),
	}
	m.Value, m.HasValue = number(formNumber(f.Get("value")))
	m.Delta, _ = number(formNumber(f.Get("delta")))
	m.NavigationStartTime, _ = number(formNumber(f.Get("navigationStartTime")))
	if a := jsontext.Value(f.Get("attribution")); a.Kind() == '{' && !TooDeep(a, MaxBeaconDepth) && a.IsValid(jsonLenient...) {
		m.Attribution = a
	}
	d.add(m)
}

// query fills what the body left open.
func (d *beaconDecoder) query(q url.Values) {
	if len(q) == 0 {
		return
	}
	for _, name := range beaconFields {
		if vs := q[name]; len(vs) > 0 {
			d.text(name, vs[0], false)
		}
	}
}

var beaconFields = []string{"route", "url", "release", "environment", "device", "os", "sample_rate", "trace_id"}

var (
	ratings         = []string{"good", "needs-improvement", "poor"}
	navigationTypes = []string{"navigate", "reload", "back-forward", "back-forward-cache", "prerender", "restore", "soft-navigation"}
)

// word returns a string, without an allocation when it is a known one; ""
// when it is not a string or longer than any word.
func word(v jsontext.Value, known []string) string {
	if len(v) < 2 || v[0] != '"' || len(v) > 66 {
		return ""
	}
	for _, k := range known {
		if string(v[1:len(v)-1]) == k {
			return k
		}
	}
	s, _ := UnquoteString(v)
	return s
}

// vitalName is a vital's name, cut to 64 bytes.
func vitalName(v jsontext.Value) string {
	if len(v) > 66 && v[0] == '"' {
		s, _ := UnquoteString(v)
		return strings.ToValidUTF8(s[:min(len(s), 64)], "")
	}
	return word(v, VitalNames)
}

// again is scalar, but uses the last entry's string when it says the same.
func (d *beaconDecoder) again(last string, at, end int) string {
	if v := d.raw[at:end]; last != "" {
		if string(v) == last || len(v) > 1 && v[0] == '"' && string(v[1:len(v)-1]) == last {
			return last
		}
	}
	return d.scalar(at, end)
}

// number reads a JSON number; one beyond float64 becomes the largest.
func number(v jsontext.Value) (f float64, ok bool) {
	if v.Kind() != '0' {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if errors.Is(err, strconv.ErrRange) && math.IsInf(f, 0) {
		return math.Copysign(math.MaxFloat64, f), true
	}
	return f, err == nil || errors.Is(err, strconv.ErrRange)
}

// formNumber is a form field as JSON number; nil when it is not one.
func formNumber(s string) jsontext.Value {
	if v := jsontext.Value(strings.TrimSpace(s)); v.Kind() == '0' && v.IsValid() {
		return v
	}
	return nil
}
