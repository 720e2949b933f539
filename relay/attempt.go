package relay

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// verdict is what becomes of a claimed record, and what the attempt, if there
// was one, tells about its upstream.
type verdict struct {
	finals []schemas.Final // settle with these, unless …
	due    time.Time       // … not zero: release until then, or …
	bury   bool            // … bury
	reason string          // of the release or burial
	err    *DeliverError   // of the last attempt; nil: it was answered well
	tried  bool            // an attempt was made
}

// rounds bounds how often one claim is attempted: again at once only when the
// upstream just told that a part of the record is limited for long, so that
// the rest can go.
const rounds = 3

// handle takes one claim to its end.
func (q *queue) handle(claim spool.Claim, probe bool) {
	m := claim.Meta()
	q.seen.begin()
	defer q.seen.end()
	v := q.decide(claim, m)
	q.note(m, v, probe)
	q.finish(claim, m, v)
}

// decide makes at most a few attempts and says what becomes of the record.
func (q *queue) decide(claim spool.Claim, m *schemas.Meta) verdict {
	cfg := &q.relay.cfg
	now := cfg.Now()
	limits := q.limits(now)
	if wait := holdByMeta(limits, m, now, cfg.HoldLimit); !wait.IsZero() {
		return verdict{due: wait, reason: "rate_limited"}
	}
	env, err := claim.Envelope()
	if err != nil {
		return q.failed(m, &DeliverError{Class: Bounded, Reason: "unreadable", Err: err}, false)
	}
	var last *DeliverError
	for range rounds {
		p := planItems(limits, m, env, now, cfg.HoldLimit)
		switch {
		case p.dropsAll():
			return verdict{finals: merge(len(env.Items), p.drop, nil), err: last, tried: last != nil}
		case !p.hold.IsZero():
			return verdict{due: p.hold, reason: "rate_limited", err: last, tried: last != nil}
		}
		rest, sub := m, env
		if p.drop != nil {
			rest, sub = without(m, env, p.drop)
		}
		finals, err := q.attempt(rest, sub)
		if err == nil {
			return verdict{finals: merge(len(env.Items), p.drop, finals), tried: true}
		}
		last = AsDeliverError(err)
		if q.relay.ctx.Err() != nil { // cancelled by a shutdown: says nothing about the upstream
			return verdict{due: cfg.Now(), reason: "shutdown"}
		}
		now = cfg.Now()
		limits = q.limits(now)
		if last.Class != Held {
			break
		}
		if again := planItems(limits, m, env, now, cfg.HoldLimit); again.hold.IsZero() && sameDrops(again.drop, p.drop) {
			break // no limit tells when: the error does
		}
	}
	return q.failed(m, last, true)
}

func sameDrops(a, b []bool) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// failed says what an error means for the record; it counts the attempt.
func (q *queue) failed(m *schemas.Meta, de *DeliverError, tried bool) verdict {
	cfg := &q.relay.cfg
	now := cfg.Now()
	v := verdict{err: de, tried: tried, reason: de.Reason}
	switch de.Class {
	case Held:
		v.due = de.Until
		if !v.due.After(now) {
			v.due = now.Add(schemas.BareLimit)
		}
		if latest := now.Add(cfg.RetryAfterCap); v.due.After(latest) {
			v.due = latest
		}
		return v
	case Permanent:
		v.bury = true
		return v
	}
	n, _ := q.attempts.Get(m.ID)
	n++
	q.attempts.Add(m.ID, n)
	switch {
	case de.Class == Bounded && n >= cfg.BoundedAttempts:
		v.bury = true
	case q.dc.MaxAttempts > 0 && n >= q.dc.MaxAttempts:
		v.bury, v.reason = true, "max_attempts"
	default:
		v.due = now.Add(backoff(n, cfg.BackoffBase, cfg.BackoffCap, cfg.Rand))
		if until := q.believe(de.Until, now); until.After(v.due) {
			v.due = until
		}
	}
	return v
}

// believe bounds an upstream's word on when to come back.
func (q *queue) believe(until, now time.Time) time.Time {
	if latest := now.Add(q.relay.cfg.RetryAfterCap); until.After(latest) {
		return latest
	}
	return until
}

// attempt is one call of the destination, with its time bounded. A panic in
// it is a bounded failure of this record.
func (q *queue) attempt(m *schemas.Meta, env *schemas.Envelope) (finals []schemas.Final, err error) {
	r := q.relay
	ctx, cancel := context.WithTimeout(r.ctx, AttemptTimeout(q.dc.Timeout, env, r.cfg.MinThroughput))
	defer cancel()
	start := r.cfg.Now()
	defer func() {
		if p := recover(); p != nil {
			r.cfg.Log.Error().Str("destination", q.label).Bytes("stack", debug.Stack()).Msg("destination panicked")
			finals, err = nil, &DeliverError{Class: Bounded, Reason: "panic", Err: fmt.Errorf("panic of type %T", p)}
		}
		took := r.cfg.Now().Sub(start)
		result := q.result(finals, err)
		r.metrics.attempt(q.label, result, took)
		if r.cfg.Tap != nil {
			r.cfg.Tap.Attempt(q.dc.Destination, m, result, took)
		}
	}()
	finals, err = q.dc.Upstream.Deliver(ctx, m, env)
	var marked *DeliverError
	if err != nil && !errors.As(err, &marked) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = &DeliverError{Class: Temporary, Reason: "timeout", Down: true, Err: err}
	}
	return finals, err
}

// result is the attempt's word in metrics.
func (q *queue) result(finals []schemas.Final, err error) string {
	if err != nil {
		if q.relay.ctx.Err() != nil {
			return "cancelled"
		}
		return closedResult(AsDeliverError(err).Reason)
	}
	skipped := 0
	for _, f := range finals {
		switch f.Outcome {
		case schemas.Delivered:
		case schemas.Filtered:
			skipped++
		default:
			return "partial"
		}
	}
	if skipped > 0 && skipped == len(finals) {
		return "skipped"
	}
	return "delivered"
}

// finish ends the claim. When the spool cannot write that down, the record
// goes back: it may be delivered twice, but it is not lost.
func (q *queue) finish(claim spool.Claim, m *schemas.Meta, v verdict) {
	var err error
	switch {
	case v.bury:
		err = claim.Bury(closedResult(v.reason))
	case !v.due.IsZero():
		claim.Release(v.due, v.reason)
		return
	default:
		err = claim.Settle(v.finals)
	}
	now := q.relay.cfg.Now()
	q.noteSpool(err)
	if err != nil {
		if !errors.Is(err, spool.ErrClosed) {
			claim.Release(now.Add(q.relay.cfg.CircuitCap), "spool_fault")
		}
		return
	}
	q.attempts.Remove(m.ID)
	if !v.bury && delivered(v.finals) {
		q.relay.metrics.delivered(q.label, now.Sub(m.ReceivedAt))
	}
}

func delivered(finals []schemas.Final) bool {
	for _, f := range finals {
		if f.Outcome == schemas.Delivered {
			return true
		}
	}
	return false
}
