package ingest

import (
	"errors"
	"net/http"
	"os"
	"time"

	"breakwater/schemas"
)

// Rejection refuses a whole request: what the client is told, what the ledger
// counts. Detail and Causes are public words; Err goes to the log only.
type Rejection struct {
	Status  int
	Detail  string
	Causes  []string
	Outcome schemas.Outcome
	// Reason is a closed word for the ledger.
	Reason string
	// RetryAfter is set on 429 and 503.
	RetryAfter time.Duration
	Err        error
}

func (r *Rejection) Error() string {
	if r.Err != nil {
		return r.Detail + ": " + r.Err.Error()
	}
	return r.Detail
}

func (r *Rejection) Unwrap() error { return r.Err }

// With adds the private cause, for the log; the template is not changed.
func (r *Rejection) With(err error) *Rejection {
	c := *r
	c.Err = err
	return &c
}

// Because adds public causes, outermost first; the template is not changed.
func (r *Rejection) Because(causes ...string) *Rejection {
	c := *r
	c.Causes = append(append([]string(nil), r.Causes...), causes...)
	return &c
}

// The closed list of refusals (protocol §1.3, §1.7). Each is a template: use
// With and Because to add what is known.
var (
	RejectNoAuth          = &Rejection{Status: 401, Detail: "missing authorization information", Outcome: schemas.Unauthorized, Reason: "missing_auth"}
	RejectBadAuth         = &Rejection{Status: 401, Detail: "bad x-sentry-auth header", Outcome: schemas.Unauthorized, Reason: "bad_auth"}
	RejectBadEnvelopeAuth = &Rejection{Status: 401, Detail: "bad envelope authentication header", Outcome: schemas.Unauthorized, Reason: "bad_auth"}
	RejectMultipleAuth    = &Rejection{Status: 401, Detail: "multiple authorization payloads detected", Outcome: schemas.Unauthorized, Reason: "multiple_auth"}
	RejectBadKey          = &Rejection{Status: 400, Detail: "bad sentry DSN public key", Outcome: schemas.Unauthorized, Reason: "bad_key"}
	RejectBadProject      = &Rejection{Status: 400, Detail: "bad project path parameter", Outcome: schemas.Invalid, Reason: "project_id"}
	RejectUnknownKey      = &Rejection{Status: 403, Detail: "event submission rejected with_reason: ProjectId", Outcome: schemas.Unauthorized, Reason: "project_id"}
	RejectOrigin          = &Rejection{Status: 403, Detail: "event submission rejected with_reason: Cors", Outcome: schemas.Unauthorized, Reason: "cors"}
	RejectVersion         = &Rejection{Status: 400, Detail: "unsupported protocol version", Outcome: schemas.Invalid, Reason: "protocol_version"}
	RejectEmpty           = &Rejection{Status: 400, Detail: "empty request body", Outcome: schemas.Invalid, Reason: "no_data"}
	RejectEnvelope        = &Rejection{Status: 400, Detail: "invalid event envelope", Outcome: schemas.Invalid, Reason: "invalid_envelope"}
	RejectJSON            = &Rejection{Status: 400, Detail: "invalid JSON data", Outcome: schemas.Invalid, Reason: "invalid_json"}
	RejectEventID         = &Rejection{Status: 400, Detail: "invalid event id", Outcome: schemas.Invalid, Reason: "invalid_event_id"}
	RejectRelease         = &Rejection{Status: 400, Detail: "release required", Outcome: schemas.Invalid, Reason: "release_required"}
	RejectDuplicateItem   = &Rejection{Status: 413, Detail: "envelope holds more than one event", Outcome: schemas.Invalid, Reason: "duplicate_item"}
	RejectTooLarge        = &Rejection{Status: 413, Detail: "request body too large", Outcome: schemas.Invalid, Reason: "too_large"}
	RejectRatio           = &Rejection{Status: 413, Detail: "request body expands too far", Outcome: schemas.Invalid, Reason: "compression_ratio"}
	RejectCompression     = &Rejection{Status: 400, Detail: "request body cannot be decompressed", Outcome: schemas.Invalid, Reason: "invalid_compression"}
	RejectEncoding        = &Rejection{Status: 415, Detail: "unsupported content encoding", Outcome: schemas.Invalid, Reason: "content_encoding"}
	RejectContentType     = &Rejection{Status: 415, Detail: "unsupported content type", Outcome: schemas.Invalid, Reason: "content_type"}
	RejectDepth           = &Rejection{Status: 400, Detail: "JSON is nested too deeply", Outcome: schemas.Invalid, Reason: "json_depth"}
	RejectNothingUsable   = &Rejection{Status: 400, Detail: "nothing in the request was usable", Outcome: schemas.Invalid, Reason: "no_data"}
	RejectBody            = &Rejection{Status: 400, Detail: "request body could not be read", Outcome: schemas.Invalid, Reason: "body_read"}
	RejectTimeout         = &Rejection{Status: 408, Detail: "request took too long to arrive", Outcome: schemas.Invalid, Reason: "read_timeout"}
	RejectLimited         = &Rejection{Status: 429, Detail: "event rejected by a rate limit", Outcome: schemas.RateLimited, Reason: "rate_limit"}
	RejectFull            = &Rejection{Status: 503, Detail: "failed to queue envelope", Outcome: schemas.RateLimited, Reason: "spool_unavailable", RetryAfter: 10 * time.Second}
	RejectOverload        = &Rejection{Status: 503, Detail: "the service is overloaded", Outcome: schemas.RateLimited, Reason: "overload", RetryAfter: 5 * time.Second}
	RejectNotFound        = &Rejection{Status: 404, Detail: "no such endpoint", Outcome: schemas.Invalid, Reason: "not_found"}
	RejectMethod          = &Rejection{Status: 405, Detail: "method not allowed", Outcome: schemas.Invalid, Reason: "method"}
	RejectInternal        = &Rejection{Status: 500, Detail: "internal error", Outcome: schemas.Invalid, Reason: "internal"}
)

// AsRejection turns any error into one: ours as it is, all else 400 for what
// the client sent.
func AsRejection(err error) *Rejection {
	var r *Rejection
	if errors.As(err, &r) {
		return r
	}
	var envelope *schemas.EnvelopeError
	if errors.As(err, &envelope) {
		return RejectEnvelope.Because(envelope.Error()).With(err)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return RejectTimeout.With(err)
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return RejectTooLarge.With(err)
	}
	return RejectBody.With(err)
}
