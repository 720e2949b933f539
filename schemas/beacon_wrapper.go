package schemas

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"slices"
	"strings"
)

// Bounds of a beacon's texts, in bytes; the published schema says the same.
const (
	maxBeaconRoute = 2048
	maxBeaconURL   = 8192
	maxBeaconOS    = 64
	maxFormParts   = 64
)

var beaconDevices = []string{"mobile", "tablet", "desktop", "other"}

// fieldNamed is the field of a wrapper that has this name, "" for none.
func fieldNamed(name []byte) string {
	for _, field := range beaconFields {
		if string(name) == field {
			return field
		}
	}
	return ""
}

// field reads one member of a wrapper.
func (d *beaconDecoder) field(name string, at int) (end int) {
	if name == "sample_rate" {
		if rate, ok, end := d.float(at); ok && rate >= 0 && rate <= 1 {
			d.b.SampleRate = rate
			return end
		}
	}
	s := ""
	if name == "device" {
		s, end = d.word(at, beaconDevices)
	} else {
		s, end = d.scalar(at, "")
	}
	switch {
	case end < 0:
	case s != "":
		d.set(name, s, true)
	case d.text[at] != 'n' && d.text[at] != '"':
		d.ignore(name)
	}
	return end
}

// set takes one wrapper field as text; override says whether it replaces
// what is there already.
func (d *beaconDecoder) set(name, s string, override bool) {
	if s == "" {
		return
	}
	b := d.b
	keep := func(field *string, valid bool) {
		switch {
		case !override && *field != "":
		case !valid:
			d.ignore(name)
		default:
			*field = s
		}
	}
	switch name {
	case "route":
		keep(&b.Route, len(s) <= maxBeaconRoute)
	case "url":
		keep(&b.URL, len(s) <= maxBeaconURL)
	case "release":
		keep(&b.Release, ValidRelease(s))
	case "environment":
		keep(&b.Environment, ValidEnvironment(s))
	case "device":
		keep(&b.Device, slices.Contains(beaconDevices, s))
	case "os":
		keep(&b.OS, len(s) <= maxBeaconOS)
	case "trace_id":
		s = strings.ToLower(s)
		keep(&b.TraceID, isHex(s, 32))
	case "sample_rate":
		rate, ok := number(formNumber(s))
		switch {
		case !override && b.SampleRate != 0:
		case !ok || rate < 0 || rate > 1:
			d.ignore(name)
		default:
			b.SampleRate = rate
		}
	}
}

func (d *beaconDecoder) ignore(name string) { d.b.Ignored = append(d.b.Ignored, name) }

func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return true
}

// parseForm reads the two forms a page can send without a preflight.
func parseForm(body []byte, contentType string) (url.Values, error) {
	if bytes.HasPrefix(body, []byte("--")) {
		return parseMultipart(body, contentType)
	}
	if bytes.IndexByte(body, '=') < 0 || bytes.Count(body, []byte("&")) > maxFormParts {
		return nil, ErrBeaconForm
	}
	fields, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errors.Join(ErrBeaconForm, err)
	}
	return fields, nil
}

func parseMultipart(body []byte, contentType string) (url.Values, error) {
	_, params, _ := mime.ParseMediaType(contentType)
	boundary := params["boundary"]
	if boundary == "" { // a proxy may have lost it: it is also the first line
		line, _, _ := bytes.Cut(body, []byte("\n"))
		boundary = strings.TrimRight(string(line[2:]), "\r")
	}
	if boundary == "" {
		return nil, ErrBeaconForm
	}
	fields := url.Values{}
	for r := multipart.NewReader(bytes.NewReader(body), boundary); ; {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) && len(fields) > 0 {
			return fields, nil
		}
		if err != nil || len(fields) >= maxFormParts {
			return nil, errors.Join(ErrBeaconForm, err)
		}
		value, err := io.ReadAll(io.LimitReader(part, int64(len(body))))
		if err != nil {
			return nil, errors.Join(ErrBeaconForm, err)
		}
		fields.Add(part.FormName(), string(value))
	}
}
