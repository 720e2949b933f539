package ingest

import (
	"encoding/hex"
	"time"

	"breakwater/schemas"
)

// RejectClaimed answers who sends what another gateway is deciding on now.
var RejectClaimed = &Rejection{Status: 503, Detail: "the same report is being taken", Outcome: schemas.RateLimited, Reason: "in_progress", RetryAfter: time.Second}

// Claims asks the fleet whether another gateway has taken what this request
// claims.
type Claims struct{}

var (
	_ Planner = Claims{}
	_ Judge   = Claims{}
)

// Plan asks for every claim of the batch.
func (Claims) Plan(b *Batch, q *Ballot) {
	for _, c := range b.Claims {
		if c.a == nil || c.r.opts.Fleet == nil {
			continue
		}
		step := Step{Kind: StepClaim, After: Always, Key: c.fleetKey()}
		if c.Item == nil {
			q.Gate(c.a, step)
		} else if i := q.Add(c.a, step); i >= 0 {
			q.needs(c.Item, i)
		}
	}
}

// Judge drops what was taken before, and refuses the request when a part of it
// is being decided on elsewhere.
func (Claims) Judge(b *Batch, q *Ballot) *Rejection {
	for _, c := range b.Claims {
		answer, ok := q.Answer(StepClaim, c.a)
		switch {
		case !ok || answer.Passed:
		case answer.Pending:
			return RejectClaimed
		case c.Item != nil:
			b.Drop(c.Item, schemas.Filtered, ReasonRepeat)
		default:
			b.dropAll(schemas.Filtered, ReasonRepeat)
			b.Beacons = nil // they were counted then
		}
	}
	return nil
}

// fleetKey names a claim among those of all endpoints.
func (c Claim) fleetKey() string {
	return c.r.opts.Endpoint + ":" + c.project + ":" + hex.EncodeToString(c.a.key[:])
}
