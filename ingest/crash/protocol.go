package crash

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

// RejectReport refuses a request in which no report keeps to the schema; the
// causes name the field of each, at most ten.
var RejectReport = &ingest.Rejection{Status: 400, Detail: "invalid crash report", Outcome: schemas.Invalid, Reason: schemas.RejectedReport}

// RejectBusy refuses a report that another request is just bringing: whether
// that one is taken is not known yet.
var RejectBusy = &ingest.Rejection{Status: 503, Detail: "the same report is being taken", Outcome: schemas.RateLimited, Reason: "in_progress", RetryAfter: time.Second}

const maxCauses = 10

// Skew is how far a client's clock may be off before its times are moved:
// below it a slow network looks the same.
const Skew = time.Minute

// Memory of ids: a phone that lost the answer sends its queue again at its
// next start, days later.
const (
	RememberFor = 72 * time.Hour
	RememberMax = 50_000
)

// Protocol decodes crash reports. The zero value is ready and forgets ids.
type Protocol struct {
	// Repeats remembers the ids that clients gave; nil forgets them.
	Repeats *ingest.Repeats
}

var _ ingest.Protocol = (*Protocol)(nil)

// fate is one report of a request on its way to an answer.
type fate struct {
	index  int
	id     string
	item   *ingest.Item
	claim  ingest.Claim
	repeat bool
	cause  string // of an invalid one
	// limited says that it met a limit, and may come again.
	limited bool
}

// Decode makes one event item of each report. One report is answered with its
// id, a list with what became of each (see the published schema). Errors:
// ingest.RejectEmpty, RejectDepth, RejectJSON, RejectNothingUsable, RejectBusy,
// and what reading the body fails with.
func (p *Protocol) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	raw, err := req.ReadAll(body, req.Settings().EventSize)
	if err != nil {
		return nil, fmt.Errorf("reading a crash report: %w", err)
	}
	in, err := schemas.DecodeCrash(raw)
	switch {
	case errors.Is(err, schemas.ErrCrashEmpty):
		return nil, ingest.RejectEmpty.With(err)
	case errors.Is(err, schemas.ErrCrashDepth):
		return nil, ingest.RejectDepth.With(err)
	case err != nil:
		return nil, ingest.RejectJSON.With(err)
	case len(in.Reports)+len(in.Rejected) == 0:
		return nil, ingest.RejectNothingUsable
	}
	b := &ingest.Batch{Request: req, Header: schemas.EmptyHeader()}
	fates, err := p.events(b, in)
	if err != nil {
		giveBack(fates)
		return nil, err
	}
	refuse(b, in)
	sum := sha256.Sum256(raw)
	b.Many, b.Digest = true, sum[:]
	if len(fates) > 0 {
		b.EventID = fates[max(slices.IndexFunc(fates, func(f *fate) bool { return !f.repeat }), 0)].id
		b.Header.SetString("event_id", b.EventID)
	}
	b.Conclude = func(b *ingest.Batch, err error) error { return conclude(b, in, fates, err) }
	return b, nil
}

// events adds an item for each usable report, and says which of them were
// taken before.
func (p *Protocol) events(b *ingest.Batch, in *schemas.CrashRequest) (fates []*fate, err error) {
	req := b.Request
	skew := time.Duration(0)
	if !in.SentAt.IsZero() {
		skew = req.ReceivedAt.Sub(in.SentAt)
	}
	seen := map[string]bool{}
	for _, r := range in.Reports {
		f := &fate{index: r.Index, id: r.EventID()}
		fates = append(fates, f)
		if f.id == "" {
			f.id = schemas.NewEventID()
		} else {
			f.repeat = seen[f.id]
			seen[f.id] = true
			if p.Repeats != nil && !f.repeat {
				claim, state := req.Claim(p.Repeats, []byte(f.id))
				if state == ingest.Busy {
					return fates, RejectBusy
				}
				f.claim, f.repeat = claim, state == ingest.Again
			}
		}
		if f.repeat {
			f.item = ingest.Refused("event", 1, schemas.Filtered, ingest.ReasonRepeat)
		} else {
			if skew.Abs() > Skew {
				r.Shift(skew)
			}
			if f.item, err = ingest.NewEventItem(r, f.id, ingest.Origin{Protocol: "crash", Received: req.ReceivedAt, UserAgent: req.UserAgent}); err != nil {
				return fates, err
			}
		}
		b.Items = append(b.Items, f.item)
		b.Claims = append(b.Claims, ingest.ItemClaim{Claim: f.claim, Item: f.item})
	}
	return fates, nil
}

// refuse counts the reports that cannot be used as items that end here.
func refuse(b *ingest.Batch, in *schemas.CrashRequest) {
	var causes []string
	for _, r := range in.Rejected {
		b.Items = append(b.Items, ingest.Refused("event", 1, schemas.Invalid, r.Reason))
		if len(causes) < maxCauses {
			cause := r.Cause
			if in.Batch {
				cause = "reports[" + strconv.Itoa(r.Index) + "]." + cause
			}
			causes = append(causes, cause)
		}
	}
	if in.More > 0 {
		b.Items = append(b.Items, ingest.Refused("event", in.More, schemas.Invalid, schemas.RejectedReports))
	}
	if len(causes) > 0 {
		b.Refusal = RejectReport.Because(causes...)
	}
}

func giveBack(fates []*fate) {
	for _, f := range fates {
		f.claim.GiveBack()
	}
}

// conclude remembers what was taken and answers. A list of which a part met a
// rate limit is answered 200 with what became of each report, and when those
// that are limited may come again; one of which nothing was kept is refused as a
// whole.
func conclude(b *ingest.Batch, in *schemas.CrashRequest, fates []*fate, err error) error {
	for _, f := range fates {
		switch it := f.item; {
		case it.Outcome == schemas.Invalid:
			f.claim.GiveBack()
			f.cause = it.Reason
		case it.Alive(), it.Outcome == schemas.Filtered, it.Outcome == schemas.Suppressed:
			f.claim.Keep()
		default:
			f.claim.GiveBack()
			f.limited = true
		}
	}
	if err != nil || !in.Batch {
		return err
	}
	b.Reply = reply(in, fates)
	if slices.ContainsFunc(fates, func(f *fate) bool { return f.limited }) {
		_, wait := schemas.FormatRateLimits(b.Limits, b.Request.ReceivedAt)
		b.Reply.RetryAfter = max(time.Duration(wait)*time.Second, time.Second)
	}
	return nil
}

// reply lists what became of each report, in the request's order. What was
// filtered or thinned out counts as accepted: clients must not learn of it. It
// ends where schemas.MaxCrashRejected does.
func reply(in *schemas.CrashRequest, fates []*fate) *ingest.Reply {
	fates = slices.Clone(fates)
	for _, r := range in.Rejected {
		fates = append(fates, &fate{index: r.Index, id: r.ID, cause: r.Cause})
	}
	slices.SortFunc(fates, func(a, b *fate) int { return cmp.Compare(a.index, b.index) })
	var out bytes.Buffer
	out.WriteString(`{"reports":[`)
	for i, f := range fates {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteByte('{')
		if f.id != "" {
			out.WriteString(`"id":"` + f.id + `",`)
		}
		out.WriteString(`"status":"` + f.status() + `"`)
		if f.cause != "" {
			out.WriteString(`,"detail":` + string(schemas.QuoteString(f.cause)))
		}
		out.WriteByte('}')
	}
	out.WriteString("]}")
	return &ingest.Reply{Status: 200, ContentType: "application/json", Body: out.Bytes()}
}

func (f *fate) status() string {
	switch {
	case f.item == nil || f.item.Outcome == schemas.Invalid:
		return "invalid"
	case f.repeat:
		return "duplicate"
	case f.limited:
		return "limited"
	}
	return "accepted"
}
