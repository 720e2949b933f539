package schemas

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// plainBeacon reads a beacon's JSON in the plain way, one rule after the other,
// with nothing but jsontext: it says what DecodeBeacon must say.
func plainBeacon(body []byte) (*Beacon, []Rejected, error) {
	if TooDeep(body, MaxBeaconDepth) {
		return nil, nil, ErrBeaconDepth
	}
	if !jsontext.Value(body).IsValid(jsonLenient...) {
		return nil, nil, whyInvalid(body, "a beacon")
	}
	p := plain{Beacon: &Beacon{Source: "beacon"}}
	if entries := jsontext.Value(body); entries.Kind() == '[' {
		p.entries(entries)
		return p.Beacon, p.rejected, nil
	}
	members := plainMembers(body)
	for _, m := range members {
		p.field(m.name, m.value)
	}
	switch vitals := plainMember(members, "vitals"); {
	case vitals == nil:
		p.entry(body)
	case vitals.Kind() == '[':
		p.entries(vitals)
	default:
		p.entry(vitals)
	}
	return p.Beacon, p.rejected, nil
}

type plain struct {
	*Beacon
	rejected []Rejected
}

func (p *plain) entries(v jsontext.Value) {
	p.Vitals = []Vital{}
	dec := jsontext.NewDecoder(bytes.NewReader(v), jsonLenient...)
	_, _ = dec.ReadToken()
	for i := 0; dec.PeekKind() != ']'; i++ {
		v, _ := dec.ReadValue()
		if v = v.Clone(); i < MaxBeaconEntries {
			p.entry(v)
			continue
		}
		name := ""
		if v.Kind() == '{' {
			name = plainName(plainMember(plainMembers(v), "name"))
		}
		p.rejected = append(p.rejected, Rejected{name, RejectedTooMany})
	}
}

func (p *plain) entry(v jsontext.Value) {
	if v.Kind() != '{' {
		p.rejected = append(p.rejected, Rejected{"", RejectedNotObject})
		return
	}
	members := plainMembers(v)
	get := func(name string) jsontext.Value { return plainMember(members, name) }
	m := Vital{
		Name: plainName(get("name")), ID: plainText(get("id")), Rating: plainWord(get("rating")), NavigationType: plainWord(get("navigationType")),
		NavigationID: plainText(get("navigationId")), NavigationURL: plainText(get("navigationURL")),
	}
	m.Value, m.HasValue = plainNumber(get("value"))
	m.Delta, _ = plainNumber(get("delta"))
	m.NavigationStartTime, _ = plainNumber(get("navigationStartTime"))
	if a := get("attribution"); a.Kind() == '{' {
		m.Attribution = string(a)
	}
	if len(m.NavigationID) > 128 {
		m.NavigationID = ""
	}
	if len(m.NavigationURL) > 8192 {
		m.NavigationURL = ""
	}
	switch {
	case m.Name == "":
		p.rejected = append(p.rejected, Rejected{"", RejectedNoName})
	case len(m.ID) > 128:
		p.rejected = append(p.rejected, Rejected{m.Name, RejectedBadID})
	default:
		p.Vitals = append(p.Vitals, m)
	}
}

// field takes one member of the outer object; of several with one name the last
// that says something counts.
func (p *plain) field(name string, v jsontext.Value) {
	if !slices.Contains([]string{"route", "url", "release", "environment", "device", "os", "sample_rate", "trace_id"}, name) {
		return
	}
	text := plainText(v)
	if name == "device" {
		text = plainWord(v)
	}
	if text == "" {
		if v.Kind() == '"' || v.Kind() == 'n' {
			return
		}
		p.Ignored = append(p.Ignored, name)
		return
	}
	var into *string
	valid := false
	switch name {
	case "route":
		into, valid = &p.Route, len(text) <= 2048
	case "url":
		into, valid = &p.URL, len(text) <= 8192
	case "release":
		into, valid = &p.Release, ValidRelease(text)
	case "environment":
		into, valid = &p.Environment, ValidEnvironment(text)
	case "device":
		into, valid = &p.Device, slices.Contains([]string{"mobile", "tablet", "desktop", "other"}, text)
	case "os":
		into, valid = &p.OS, len(text) <= 64
	case "trace_id":
		text = strings.ToLower(text)
		into, valid = &p.TraceID, len(text) == 32 && strings.Trim(text, "0123456789abcdef") == ""
	case "sample_rate":
		number := jsontext.Value(strings.TrimSpace(text))
		rate, ok := 0.0, false
		if number.IsValid() {
			rate, ok = plainNumber(number)
		}
		if ok && rate >= 0 && rate <= 1 {
			p.SampleRate = rate
			return
		}
	}
	if !valid {
		p.Ignored = append(p.Ignored, name)
		return
	}
	*into = text
}

type plainField struct {
	name  string
	value jsontext.Value
}

func plainMembers(object jsontext.Value) (members []plainField) {
	dec := jsontext.NewDecoder(bytes.NewReader(object), jsonLenient...)
	_, _ = dec.ReadToken()
	for dec.PeekKind() != '}' {
		name, _ := dec.ReadToken()
		text := name.String()
		value, _ := dec.ReadValue()
		members = append(members, plainField{text, value.Clone()})
	}
	return members
}

// plainMember is the last one of that name, nil when there is none.
func plainMember(members []plainField, name string) (v jsontext.Value) {
	for _, m := range members {
		if m.name == name {
			v = m.value
		}
	}
	return v
}

func plainText(v jsontext.Value) string {
	switch v.Kind() {
	case '"':
		text, _ := jsontext.AppendUnquote(nil, v)
		return string(text)
	case '0', 't', 'f':
		return string(v)
	}
	return ""
}

// plainWord is a string that takes at most 64 bytes where it stands.
func plainWord(v jsontext.Value) string {
	if v.Kind() != '"' || len(v) > 66 {
		return ""
	}
	return plainText(v)
}

func plainName(v jsontext.Value) string {
	if v.Kind() != '"' {
		return ""
	}
	name := plainText(v)
	if len(v) > 66 {
		name = strings.ToValidUTF8(name[:min(len(name), 64)], "")
	}
	return name
}

func plainNumber(v jsontext.Value) (float64, bool) {
	if v.Kind() != '0' {
		return 0, false
	}
	f, _ := strconv.ParseFloat(string(v), 64)
	return max(-math.MaxFloat64, min(f, math.MaxFloat64)), true
}
