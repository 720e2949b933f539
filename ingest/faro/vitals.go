package faro

import (
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/schemas"
)

// meaningless stands for a measurement that cannot be read: it is counted.
var meaningless = schemas.Vital{Rejected: schemas.RejectedNotObject}

// webVitals are Faro's names of the vitals and ours.
var webVitals = [...][2]string{{"ttfb", "TTFB"}, {"fcp", "FCP"}, {"lcp", "LCP"}, {"cls", "CLS"}, {"inp", "INP"}, {"fid", "FID"}}

// explains are Faro's names of a vital's parts, in values and in context, and
// those of the web-vitals library.
var explains = map[string]string{
	"element": "target", "url": "url", "time_to_first_byte": "timeToFirstByte", "resource_load_delay": "resourceLoadDelay",
	"resource_load_duration": "resourceLoadDuration", "element_render_delay": "elementRenderDelay",
	"interaction_target": "interactionTarget", "interaction_type": "interactionType", "input_delay": "inputDelay",
	"processing_duration": "processingDuration", "presentation_delay": "presentationDelay", "total_script_duration": "totalScriptDuration",
	"largest_shift_target": "largestShiftTarget", "largest_shift_value": "largestShiftValue", "largest_shift_time": "largestShiftTime",
	"first_byte_to_fcp": "firstByteToFCP", "load_state": "loadState", "waiting_duration": "waitingDuration", "cache_duration": "cacheDuration",
	"dns_duration": "dnsDuration", "connection_duration": "connectionDuration", "request_duration": "requestDuration",
}

// webVital reads {"values": {"lcp": 468, "delta": 468, …}, "context": {"id": …,
// "navigation_type": …}}: the name of the vital is that of a value.
func (d *decoder) webVital(m *measurement) {
	in := func(v jsontext.Value, name string) jsontext.Value {
		found, _ := schemas.Lookup(v, name)
		return found
	}
	word := func(name string) string {
		s, _ := schemas.UnquoteString(in(m.Context, name))
		return s
	}
	v := schemas.Vital{ID: word("id"), NavigationType: cut(word("navigation_type"), 60)}
	for _, names := range webVitals {
		if raw := in(m.Values, names[0]); raw != nil {
			v.Name = names[1]
			v.Value, v.HasValue = number(raw)
			break
		}
	}
	switch {
	case v.Name == "":
		v.Rejected = schemas.RejectedNoName
	case len(v.ID) > 128:
		v = schemas.Vital{Name: v.Name, Rejected: schemas.RejectedBadID}
	}
	v.Delta, _ = number(in(m.Values, "delta"))
	v.Attribution = attribution(m)
	d.vital(v)
	if b := d.batch.Beacons[0]; b.TraceID == "" {
		b.TraceID, _ = m.Trace.ids()
	}
}

func attribution(m *measurement) string {
	var out []byte
	for _, from := range []jsontext.Value{m.Values, m.Context} {
		for name, value := range schemas.Members(from) {
			ours, ok := explains[string(name)]
			if !ok || len(value) > maxValue || value.Kind() != '"' && value.Kind() != '0' {
				continue
			}
			if out == nil {
				out = append(out, '{')
			} else {
				out = append(out, ',')
			}
			out = append(append(append(out, `"`+ours...), `":`...), value...)
		}
	}
	if out == nil {
		return ""
	}
	return string(append(out, '}'))
}

// vital adds an entry to the payload's one beacon.
func (d *decoder) vital(v schemas.Vital) {
	b := d.batch
	if len(b.Beacons) == 0 {
		m := &d.meta
		bc := &schemas.Beacon{Source: "faro", Route: m.route(), URL: cut(string(m.Page.URL), maxText), OS: cut(string(m.OS.Name), 60)}
		if r := string(m.App.Version); schemas.ValidRelease(r) {
			bc.Release = r
		}
		if e := string(m.App.Environment); schemas.ValidEnvironment(e) {
			bc.Environment = e
		}
		if m.Browser.Mobile {
			bc.Device = "mobile"
		}
		b.Beacons = []*schemas.Beacon{bc}
	}
	bc := b.Beacons[0]
	if len(bc.Vitals) >= schemas.MaxBeaconEntries {
		v = schemas.Vital{Name: v.Name, Rejected: schemas.RejectedTooMany}
	}
	bc.Vitals = append(bc.Vitals, v)
}

// number reads a JSON number, or one in a string.
func number(v jsontext.Value) (f float64, ok bool) {
	s := string(v)
	if v.Kind() == '"' {
		s, _ = schemas.UnquoteString(v)
	} else if v.Kind() != '0' {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
}
