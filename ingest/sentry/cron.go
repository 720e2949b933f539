package sentry

import (
	"context"
	"io"
	"mime"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/ingest"
	"breakwater/schemas"
)

// RejectCheckIn refuses a check-in that no monitor could use.
var RejectCheckIn = &ingest.Rejection{Status: 400, Detail: "invalid check-in", Outcome: schemas.Invalid, Reason: "invalid_check_in"}

// maxCheckIn bounds a check-in, in bytes (protocol §2.4).
const maxCheckIn = 100 << 10

// maxSlug bounds a monitor's name, in bytes; Sentry keeps 50.
const maxSlug = 200

// statuses of a check-in.
var statuses = map[string]bool{"in_progress": true, "ok": true, "error": true, "timeout": true, "missed": true}

// CheckIn decodes the check-ins that cron jobs send by curl: the monitor's name
// in the path, the rest in the query, or as JSON in the body of a POST
// (protocol §4.8). The zero value is ready.
type CheckIn struct{}

var _ ingest.Protocol = (*CheckIn)(nil)

// Decode makes one item check_in. What the body says goes before the query;
// further members of it, such as monitor_config, are kept. Errors:
// RejectCheckIn, ingest.RejectJSON, RejectDepth, RejectTooLarge, and what
// reading fails with.
func (*CheckIn) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	slug := req.Param("slug")
	if slug == "" || len(slug) > maxSlug {
		return nil, RejectCheckIn.Because("a monitor's name has 1 to 200 bytes")
	}
	o, err := checkInBody(req, body)
	if err != nil {
		return nil, err
	}
	complete(o, req.Query)
	id, ok := checkInID(o)
	if !ok {
		return nil, RejectCheckIn.Because("check_in_id is not a UUID")
	}
	if status, _ := o.String("status"); !statuses[status] {
		return nil, RejectCheckIn.Because("status is none of in_progress, ok, error, timeout, missed")
	}
	if v, ok := o.Get("duration"); ok && v.Kind() != 'n' {
		if n, err := strconv.ParseFloat(string(v), 64); err != nil || n < 0 {
			return nil, RejectCheckIn.Because("duration is not a number of seconds")
		}
	}
	o.SetString("check_in_id", id)
	o.SetString("monitor_slug", slug)
	b := &ingest.Batch{Request: req, Header: schemas.EmptyHeader()}
	b.Items = []*ingest.Item{ingest.NewItem(schemas.Item{
		Header: schemas.NewItemHeader("check_in", "content_type", "application/json"), Payload: schemas.Bytes(o.Bytes()),
	})}
	return b, nil
}

// checkInBody reads the JSON of a POST; no body, or a form's, is an empty object.
func checkInBody(req *ingest.Request, body io.Reader) (*schemas.Object, error) {
	empty := schemas.EmptyHeader().Object
	if req.Method == "GET" {
		return empty, nil
	}
	raw, err := req.ReadAll(body, maxCheckIn)
	if err != nil {
		return nil, err
	}
	typ, _, _ := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if len(raw) == 0 || typ != "application/json" && jsontext.Value(raw).Kind() != '{' {
		return empty, nil // curl -X POST, with or without a form's content type
	}
	if schemas.TooDeep(raw, req.Settings().JSONDepth) {
		return nil, ingest.RejectDepth
	}
	if !jsontext.Value(raw).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) {
		return nil, ingest.RejectJSON
	}
	o, err := schemas.ParseObject(raw)
	if err != nil {
		return nil, ingest.RejectJSON.With(err)
	}
	return o, nil
}

// complete takes from the query what the body does not say.
func complete(o *schemas.Object, query map[string][]string) {
	for _, name := range []string{"check_in_id", "status", "environment", "duration"} {
		v := query[name]
		if _, said := o.Get(name); said || len(v) == 0 || v[0] == "" || len(v[0]) > 250 {
			continue
		}
		if _, err := strconv.ParseFloat(v[0], 64); name == "duration" && err == nil && jsontext.Value(v[0]).IsValid() {
			o.Set(name, jsontext.Value(v[0]))
			continue
		}
		o.SetString(name, v[0])
	}
}

// checkInID is the check-in's id; none, or the nil UUID, stands for the latest
// one of the monitor.
func checkInID(o *schemas.Object) (id string, ok bool) {
	v, said := o.Get("check_in_id")
	if !said || v.Kind() == 'n' {
		return nilID, true
	}
	s, _ := o.String("check_in_id")
	return parseID(s)
}
