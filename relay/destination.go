package relay

import (
	"context"
	"errors"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// Destination sends records to one upstream: one call, one attempt. The loop
// in this package owns retries, backoff, dead letters and outcomes; a
// destination only knows its own protocol. relaytest.Contract tests them all.
type Destination interface {
	// Deliver sends the record. nil Finals with a nil error means that every
	// item was delivered; otherwise one Final per item (some may have been
	// dropped for an upstream limit).
	// Errors: unmarked ones are temporary and retried with backoff, without a
	// limit of attempts unless marked Bounded; see Permanent, Hold, Bounded.
	Deliver(ctx context.Context, meta *schemas.Meta, env *schemas.Envelope) ([]schemas.Final, error)
}

// Limiter is a Destination whose upstream announces rate limits. The door
// merges them with its own.
type Limiter interface {
	// Limits are the limits in force now.
	Limits(now time.Time) []schemas.RateLimit
}

// Source is where the loop claims records: the spool.
type Source interface {
	Claim(ctx context.Context, dst spool.Destination) (spool.Claim, error)
}

// Class says what an attempt's error means for the record.
type Class int

// Classes of errors.
const (
	Temporary Class = iota // try again with backoff, as long as it takes
	Bounded                // try again a bounded number of times, then dead letter
	Permanent              // dead letter now
	Held                   // not an attempt: due again at a given time
)

// DeliverError marks what an attempt's failure means. Reason is a closed word
// for metrics (timeout, connection, http_502, rejected, unauthorized, …).
type DeliverError struct {
	Class  Class
	Reason string
	Until  time.Time // Held: when to try again; Temporary: not before
	// Down says that the upstream itself is away, so the whole destination
	// waits, not only this record.
	Down bool
	// Status is the upstream's HTTP status, 0 without an answer.
	Status int
	// Alert is set where only a person can help ("DSN rejected"). The loop
	// logs it as an error once, until the destination delivers again.
	Alert string
	Err   error
}

func (e *DeliverError) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

func (e *DeliverError) Unwrap() error { return e.Err }

// away tells that the upstream did not do its work, as opposed to an answer
// about this record or about when to come back.
func (e *DeliverError) away() bool {
	return e.Down || e.Class == Bounded || e.Class == Temporary && e.Status == 0
}

// AsDeliverError reads the mark; an unmarked error is Temporary with the reason "error".
func AsDeliverError(err error) *DeliverError {
	var de *DeliverError
	if errors.As(err, &de) {
		return de
	}
	return &DeliverError{Class: Temporary, Reason: "error", Err: err}
}
