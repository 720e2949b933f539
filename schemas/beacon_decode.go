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
// The body stays the caller's. The texts of a Beacon are copies that share
// memory with each other: whoever keeps one of them beyond the request keeps
// its neighbours, and had better clone it.
//
// One pass checks the syntax and takes what is said; only a text that turns out
// to be no JSON is gone through again, for the place of its fault. A metric with a
// wrapper makes 2 allocations. BenchmarkDecodeBeaconGoccy decodes into structs with
// goccy/go-json: as much time, 11 allocations, and no word for lone
// metrics, forms and bad neighbours.
func DecodeBeacon(body []byte, contentType string, query url.Values) (*Beacon, []Rejected, error) {
	return new(BeaconRoom).Decode(body, contentType, query)
}

// BeaconRoom is memory for a beacon of one entry, as most are; longer ones make
// their own. The zero value is ready.
type BeaconRoom struct {
	beacon Beacon
	one    [1]Vital
}

// Decode is DecodeBeacon; the beacon is gone with the next one.
func (r *BeaconRoom) Decode(body []byte, contentType string, query url.Values) (*Beacon, []Rejected, error) {
	*r = BeaconRoom{beacon: Beacon{Source: "beacon"}}
	d := beaconDecoder{b: &r.beacon, room: r.one[:0]}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	switch {
	case len(body) == 0:
		if !query.Has("name") {
			return nil, nil, ErrBeaconEmpty
		}
		d.form(query)
	case body[0] == '{' || body[0] == '[':
		switch valid := d.json(body); {
		case valid && d.deepest <= MaxBeaconDepth:
		case TooDeep(body, MaxBeaconDepth):
			return nil, nil, ErrBeaconDepth
		default:
			return nil, nil, whyInvalid(body, "a beacon")
		}
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

// beaconDecoder makes one beacon. Of JSON it is the checker, too.
type beaconDecoder struct {
	checker
	b        *Beacon
	room     []Vital
	rejected []Rejected
	kept     strings.Builder // the texts so far, or the latest of them
}

func (d *beaconDecoder) reject(name, reason string) {
	d.rejected = append(d.rejected, Rejected{name, reason})
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
		d.set(name, f.Get(name), true)
	}
	slices.Sort(d.b.Ignored)
	if v := jsontext.Value(strings.TrimSpace(f.Get("vitals"))); len(v) > 0 && !TooDeep(v, MaxBeaconDepth) && v.IsValid(jsonLenient...) {
		if d.text = v; v[0] == '[' {
			d.entries(0)
		} else {
			d.entry(0)
		}
		return
	}
	m := Vital{
		Name: vitalName(QuoteString(f.Get("name"))), ID: f.Get("id"), Rating: anyWord(QuoteString(f.Get("rating")), ratings),
		NavigationType: anyWord(QuoteString(f.Get("navigationType")), navigationTypes),
		NavigationID:   f.Get("navigationId"), NavigationURL: f.Get("navigationURL"),
	}
	m.Value, m.HasValue = number(formNumber(f.Get("value")))
	m.Delta, _ = number(formNumber(f.Get("delta")))
	m.NavigationStartTime, _ = number(formNumber(f.Get("navigationStartTime")))
	if a := jsontext.Value(f.Get("attribution")); a.Kind() == '{' && !TooDeep(a, MaxBeaconDepth) && a.IsValid(jsonLenient...) {
		m.Attribution = string(a)
	}
	d.add(m)
}

// query fills what the body left open.
func (d *beaconDecoder) query(q url.Values) {
	if _, key := q["key"]; len(q) == 0 || key && len(q) == 1 {
		return
	}
	for _, name := range beaconFields {
		if vs := q[name]; len(vs) > 0 {
			d.set(name, vs[0], false)
		}
	}
}

var beaconFields = []string{"route", "url", "release", "environment", "device", "os", "sample_rate", "trace_id"}

var (
	ratings         = []string{"good", "needs-improvement", "poor"}
	navigationTypes = []string{"navigate", "reload", "back-forward", "back-forward-cache", "prerender", "restore", "soft-navigation"}
)

// maxWord is how long a word may be, in bytes.
const maxWord = 64

// anyWord returns a string, without an allocation when it is a known one; ""
// when it is not a string or longer than any word.
func anyWord(v jsontext.Value, known []string) string {
	if len(v) < 2 || v[0] != '"' || len(v) > maxWord+2 {
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
	if len(v) > maxWord+2 && v[0] == '"' {
		s, _ := UnquoteString(v)
		return strings.ToValidUTF8(s[:min(len(s), maxWord)], "")
	}
	return anyWord(v, VitalNames)
}

// number reads a JSON number; one beyond float64 becomes the largest.
func number(v jsontext.Value) (f float64, ok bool) {
	if v.Kind() != '0' {
		return 0, false
	}
	if f, ok = shortDecimal(v); ok {
		return f, true
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if errors.Is(err, strconv.ErrRange) && math.IsInf(f, 0) {
		return math.Copysign(math.MaxFloat64, f), true
	}
	return f, err == nil || errors.Is(err, strconv.ErrRange)
}

// shortDecimal reads what most measurements are, a few digits and a point. The
// digits and the power of ten are floats exactly then, and so their quotient is
// the float that is nearest.
func shortDecimal(v []byte) (f float64, ok bool) {
	if len(v) > 17 {
		return 0, false
	}
	digits, point := 0, len(v)-1
	for i, b := range v {
		switch {
		case b-'0' <= 9:
			digits = 10*digits + int(b-'0')
		case b == '.':
			point = i
		default:
			return 0, false
		}
	}
	if digits >= 1<<53 {
		return 0, false
	}
	return float64(digits) / powers[len(v)-1-point], true
}

var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16}

// formNumber is a form field as JSON number; nil when it is not one.
func formNumber(s string) jsontext.Value {
	if v := jsontext.Value(strings.TrimSpace(s)); v.Kind() == '0' && v.IsValid() {
		return v
	}
	return nil
}
