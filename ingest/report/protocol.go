package report

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/ingest"
	"breakwater/schemas"
)

// RejectReport refuses a request in which no report can be used; the causes
// say what is wrong with each, at most ten.
var RejectReport = &ingest.Rejection{Status: 400, Detail: "invalid browser report", Outcome: schemas.Invalid, Reason: ReasonInvalid}

// Reasons in the ledger.
const (
	// ReasonInvalid is a report that lacks what makes it one.
	ReasonInvalid = "invalid_report"
	// ReasonTooMany are the reports of one request beyond MaxReports.
	ReasonTooMany = "too_many:report"
	// ReasonType is a report of a type that nobody here has a place for; it is
	// filtered, not invalid.
	ReasonType = "report_type"
)

const (
	// MaxReports is how many reports of one request are used. Chromium sends
	// what it has gathered in a minute.
	MaxReports = 100
	// maxCounted is how many of one request are counted at all.
	maxCounted = 1000
	maxCauses  = 10
)

// Content types, in lower case (protocol §1.4). That of the Reporting API is
// taken at both endpoints: its bodies mix the kinds.
var (
	SecurityTypes = []string{
		"application/csp-report", "application/json", "application/reports+json",
		"application/expect-ct-report", "application/expect-ct-report+json", "application/expect-staple-report",
	}
	NELTypes = []string{"application/json", "application/reports+json"}
)

// Protocol decodes browsers' reports.
type Protocol struct {
	// Types are the content types taken; others are answered 415.
	Types []string
}

var _ ingest.Protocol = (*Protocol)(nil)

// Decode makes an item of each report. Errors: ingest.RejectContentType,
// RejectEmpty, RejectDepth, RejectJSON, RejectNothingUsable for an empty
// array, RejectOverload, and what reading the body fails with.
func (p *Protocol) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	if err := p.checkType(req.Header); err != nil {
		return nil, err
	}
	raw, err := req.ReadAll(body, req.Settings().EventSize)
	if err != nil {
		return nil, err
	}
	list, err := split(raw, req.Settings().JSONDepth)
	if err != nil {
		return nil, err
	}
	d := &decoder{req: req, batch: &ingest.Batch{Request: req, Header: schemas.EmptyHeader()}}
	if len(list) > 1 {
		sum := sha256.Sum256(raw)
		d.batch.Digest = sum[:]
	}
	for i, r := range list {
		if i >= MaxReports {
			d.dead(schemas.Invalid, ReasonTooMany)
			continue
		}
		d.report(i, r)
	}
	return d.finish(), nil
}

func (p *Protocol) checkType(h http.Header) error {
	typ, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err == nil || typ != "" {
		for _, t := range p.Types {
			if typ == t {
				return nil
			}
		}
	}
	return ingest.RejectContentType.Because("send " + strings.Join(p.Types, ", "))
}

// split parts a body into its reports, the first maxCounted of them.
func split(raw jsontext.Value, depth int) ([]jsontext.Value, error) {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0:
		return nil, ingest.RejectEmpty
	case schemas.TooDeep(raw, depth):
		return nil, ingest.RejectDepth
	case !raw.IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)):
		return nil, ingest.RejectJSON
	case raw.Kind() == '{':
		return []jsontext.Value{raw}, nil
	case raw.Kind() != '[':
		return nil, ingest.RejectJSON.Because("a report is a JSON object, or an array of them")
	}
	var list []jsontext.Value
	for el := range schemas.Elements(raw) {
		if list = append(list, el); len(list) == maxCounted {
			break
		}
	}
	if len(list) == 0 {
		return nil, ingest.RejectNothingUsable
	}
	return list, nil
}

// decoder turns the reports of one request into a batch.
type decoder struct {
	req    *ingest.Request
	batch  *ingest.Batch
	logs   [][]byte
	causes []string
}

// report takes one report; i is its place in the request.
func (d *decoder) report(i int, raw jsontext.Value) {
	o, err := schemas.ParseObject(raw)
	if err != nil {
		d.bad(i, "not a JSON object")
		return
	}
	switch kind, cause := kindOf(o); {
	case cause != "":
		d.bad(i, cause)
	case kind == kindSecurity:
		d.security(raw)
	case kind == kindNEL:
		d.add("nel", raw)
	case kind == kindCrash:
		d.crash(o)
	case kind == kindLog:
		d.logs = append(d.logs, d.logEntry(o))
	default:
		d.dead(schemas.Filtered, ReasonType)
	}
}

// add makes an item of a payload.
func (d *decoder) add(typ string, payload []byte, attrs ...string) *ingest.Item {
	it := ingest.NewItem(schemas.Item{
		Header:  schemas.NewItemHeader(typ, append([]string{"content_type", "application/json"}, attrs...)...),
		Payload: schemas.Bytes(payload),
	})
	d.batch.Items = append(d.batch.Items, it)
	return it
}

// security adds a report in the form in which it came. Release and environment
// of the page stand in the address it was posted to.
func (d *decoder) security(raw jsontext.Value) {
	it := d.add("raw_security", raw)
	for _, name := range []string{"sentry_release", "sentry_environment"} {
		if v := d.query(name); v != "" {
			it.Header.SetString(name, v)
		}
	}
}

// query is a parameter of the address, "" when it is not there or too long to
// be a release or an environment.
func (d *decoder) query(name string) string {
	if v := d.req.Query[name]; len(v) > 0 && len(v[0]) <= 250 {
		return v[0]
	}
	return ""
}

// dead counts a report that ends here, with those that ended in the same way.
func (d *decoder) dead(o schemas.Outcome, reason string) {
	for _, it := range d.batch.Items {
		if it.Outcome == o && it.Reason == reason {
			it.Quantity++
			return
		}
	}
	it := d.add("raw_security", nil)
	it.Outcome, it.Reason = o, reason
}

func (d *decoder) bad(i int, cause string) {
	d.dead(schemas.Invalid, ReasonInvalid)
	if len(d.causes) < maxCauses {
		d.causes = append(d.causes, "report "+strconv.Itoa(i)+": "+cause)
	}
}

// finish adds the logs, and the id that the envelope of the first event-like
// item keeps over every retry.
func (d *decoder) finish() *ingest.Batch {
	b := d.batch
	if len(d.logs) > 0 {
		d.addLogs()
	}
	if main := b.Main(); main != nil {
		b.EventID = schemas.NewEventID()
		if main.Header.Type == "event" {
			b.EventID = main.Event().EventID()
		}
		b.Header.SetString("event_id", b.EventID)
	}
	if len(d.causes) > 0 {
		b.Refusal = RejectReport.Because(d.causes...)
	}
	return b
}
