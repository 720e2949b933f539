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
// The walk over checked bytes makes 2 allocations for a metric with a wrapper;
// BenchmarkDecodeBeaconGoccy shows what decoding into structs with goccy/go-json
// costs: less time, 11 allocations, and no word for the forms and the bad neighbours.
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
		if TooDeep(body, MaxBeaconDepth) {
			return nil, nil, ErrBeaconDepth
		}
		if !Valid(body) {
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
	raw      []byte // the body
	copied   string // the same as text, made when first needed
}

// scalar is the function of that name, but takes plain texts out of the one
// copy of the body.
func (d *beaconDecoder) scalar(v jsontext.Value) string {
	if n := len(v); n > 2 && v[0] == '"' && isPlain(v[1:n-1]) {
		if d.copied == "" {
			d.copied = string(d.raw)
		}
		// v is a piece of raw, so what lies behind both ends at the same place.
		at := cap(d.raw) - cap(v) + 1
		if at >= 0 && at+n-2 <= len(d.copied) && d.copied[at:at+n-2] == string(v[1:n-1]) {
			return d.copied[at : at+n-2]
		}
	}
	return scalar(v)
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

func (d *beaconDecoder) json(v jsontext.Value) {
	d.raw = v
	if v[0] == '[' {
		d.entries(v)
		return
	}
	var vitals jsontext.Value
	for name, value := range Members(v) {
		if string(name) == "vitals" {
			vitals = value
			continue
		}
		d.field(name, value)
	}
	switch {
	case vitals == nil:
		d.entry(v)
	case vitals.Kind() == '[':
		d.entries(vitals)
	default:
		d.entry(vitals)
	}
}

func (d *beaconDecoder) entries(list jsontext.Value) {
	d.b.Vitals = d.room
	i := 0
	for el := range Elements(list) {
		if i++; i > MaxBeaconEntries {
			name, _ := Lookup(el, "name")
			d.reject(vitalName(name), RejectedTooMany)
			continue
		}
		d.entry(el)
	}
}

func (d *beaconDecoder) reject(name, reason string) {
	d.rejected = append(d.rejected, Rejected{name, reason})
}

func (d *beaconDecoder) entry(v jsontext.Value) {
	if v.Kind() != '{' {
		d.reject("", RejectedNotObject)
		return
	}
	var m, last Vital
	if n := len(d.b.Vitals); n > 0 {
		last = d.b.Vitals[n-1]
	}
	for name, value := range Members(v) {
		switch string(name) {
		case "name":
			m.Name = vitalName(value)
		case "value":
			m.Value, m.HasValue = number(value)
		case "delta":
			m.Delta, _ = number(value)
		case "id":
			m.ID = d.again(last.ID, value)
		case "rating":
			m.Rating = word(value, ratings)
		case "navigationType":
			m.NavigationType = word(value, navigationTypes)
		case "navigationId":
			m.NavigationID = d.again(last.NavigationID, value)
		case "navigationURL":
			m.NavigationURL = d.again(last.NavigationURL, value)
		case "navigationStartTime":
			m.NavigationStartTime, _ = number(value)
		case "attribution":
			if m.Attribution = nil; value.Kind() == '{' {
				m.Attribution = value
			}
		}
	}
	d.add(m)
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
		if v[0] == '[' {
			d.entries(v)
		} else {
			d.entry(v)
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
func (d *beaconDecoder) again(last string, v jsontext.Value) string {
	if last != "" {
		if string(v) == last || len(v) > 1 && v[0] == '"' && string(v[1:len(v)-1]) == last {
			return last
		}
	}
	return d.scalar(v)
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
