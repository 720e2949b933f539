package crash

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"breakwater/ingest"
	"breakwater/schemas"
)

// RejectReport refuses a request in which no report keeps to the schema; the
// causes name the field of each, at most ten.
var RejectReport = &ingest.Rejection{Status: 400, Detail: "invalid crash report", Outcome: schemas.Invalid, Reason: schemas.RejectedReport}

const maxCauses = 10

// Protocol decodes crash reports. The zero value is ready.
type Protocol struct{}

var _ ingest.Protocol = (*Protocol)(nil)

// Decode makes one event item of each report. A request of several is answered
// with {"id", "ids", "rejected"}: the first event's id, all ids in order, and
// what was wrong with the others. Errors: ingest.RejectEmpty, RejectDepth,
// RejectJSON, and what reading the body fails with.
func (p *Protocol) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("reading a crash report: %w", err)
	}
	reports, rejected, err := schemas.DecodeCrash(raw)
	switch {
	case errors.Is(err, schemas.ErrCrashEmpty):
		return nil, ingest.RejectEmpty.With(err)
	case errors.Is(err, schemas.ErrCrashDepth):
		return nil, ingest.RejectDepth.With(err)
	case err != nil:
		return nil, ingest.RejectJSON.With(err)
	case len(reports)+len(rejected) == 0:
		return nil, ingest.RejectNothingUsable
	}
	b := &ingest.Batch{Request: req, Header: schemas.EmptyHeader()}
	ids := make([]string, 0, len(reports))
	for _, r := range reports {
		id := r.EventID()
		if id == "" {
			id = newID()
		}
		payload, err := json.Marshal(Event(r, id, req.ReceivedAt, req.UserAgent))
		if err != nil {
			return nil, ingest.RejectInternal.With(fmt.Errorf("writing an event: %w", err))
		}
		b.Items = append(b.Items, ingest.NewItem(schemas.Item{
			Header:  schemas.NewItemHeader("event", "content_type", "application/json"),
			Payload: schemas.Bytes(payload),
		}))
		ids = append(ids, id)
	}
	if len(ids) > 0 {
		b.EventID = ids[0]
		b.Header.SetString("event_id", ids[0])
	}
	refuse(b, rejected)
	if len(ids) > 1 || len(ids) > 0 && len(rejected) > 0 {
		b.Reply = reply(ids, rejected)
	}
	return b, nil
}

// refuse counts the reports that cannot be used as items that end here.
func refuse(b *ingest.Batch, rejected []schemas.RejectedCrash) {
	var causes []string
	for _, r := range rejected {
		it := ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader("event"), Payload: schemas.Bytes(nil)})
		it.Outcome, it.Reason = schemas.Invalid, r.Reason
		b.Items = append(b.Items, it)
		if len(causes) < maxCauses {
			cause := r.Cause
			if len(rejected) > 1 {
				cause = "reports[" + strconv.Itoa(r.Index) + "]." + cause
			}
			causes = append(causes, cause)
		}
	}
	if len(causes) > 0 {
		b.Refusal = RejectReport.Because(causes...)
	}
}

// reply lists what became of several reports.
func reply(ids []string, rejected []schemas.RejectedCrash) *ingest.Reply {
	var out bytes.Buffer
	out.WriteString(`{"id":"` + ids[0] + `","ids":["` + strings.Join(ids, `","`) + `"]`)
	for i, r := range rejected {
		out.WriteString([]string{`,"rejected":[`, ","}[min(i, 1)])
		out.WriteString(`{"index":` + strconv.Itoa(r.Index) + `,"cause":` + string(schemas.QuoteString(r.Cause)) + "}")
	}
	if len(rejected) > 0 {
		out.WriteByte(']')
	}
	out.WriteByte('}')
	return &ingest.Reply{Status: 200, ContentType: "application/json", Body: out.Bytes()}
}

// newID makes a random (version 4) UUID without dashes.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return hex.EncodeToString(b[:])
}
