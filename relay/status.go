package relay

import (
	"sync"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// Status is one destination at one moment, for the console. It holds no
// secrets.
type Status struct {
	spool.Destination
	Target      string `json:"target,omitempty"`
	State       State  `json:"state"`
	Paused      bool   `json:"paused"`
	Concurrency int    `json:"concurrency"`
	InFlight    int    `json:"in_flight"`
	// Attempts counts since the start; Delivered those that were answered well.
	Attempts  int64 `json:"attempts"`
	Delivered int64 `json:"delivered"`
	// Failures is how many attempts failed in a row.
	Failures int `json:"failures"`
	// Last is the word of the last attempt (one of Results), LastStatus its
	// HTTP status (0 without an answer), LastAt when it ended.
	Last       string    `json:"last,omitempty"`
	LastStatus int       `json:"last_status,omitempty"`
	LastAt     time.Time `json:"last_at"`
	// LastError is the last failure's text, kept after a success.
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at"`
	LastSuccess time.Time `json:"last_success_at"`
	// Alert says what a person must see to; "" when nothing.
	Alert string `json:"alert,omitempty"`
	// DownSince and NextRetry are set while the circuit is not closed.
	DownSince time.Time           `json:"down_since"`
	NextRetry time.Time           `json:"next_retry"`
	Limits    []schemas.RateLimit `json:"limits"`
}

// seen is what a destination has lived through.
type seen struct {
	mu                            sync.Mutex
	inFlight                      int
	attempts, delivered           int64
	last                          string
	lastStatus                    int
	lastAt, lastErrorAt, lastGood time.Time
	lastError                     string
	alert                         string
	spoolFault                    bool
}

func (s *seen) begin() { s.mu.Lock(); s.inFlight++; s.mu.Unlock() }
func (s *seen) end()   { s.mu.Lock(); s.inFlight--; s.mu.Unlock() }

func (s *seen) flying() int { s.mu.Lock(); defer s.mu.Unlock(); return s.inFlight }

// maxErrorText bounds an error shown to people, in bytes.
const maxErrorText = 300

func (q *queue) status(now time.Time) Status {
	limits := q.limits(now)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seen.mu.Lock()
	defer q.seen.mu.Unlock()
	s := &q.seen
	st := Status{
		Destination: q.dc.Destination, Target: q.dc.Target, State: q.circuit.state, Paused: q.paused,
		Concurrency: q.dc.Concurrency, InFlight: s.inFlight, Attempts: s.attempts, Delivered: s.delivered,
		Failures: q.circuit.failures, Last: s.last, LastStatus: s.lastStatus, LastAt: s.lastAt,
		LastError: s.lastError, LastErrorAt: s.lastErrorAt, LastSuccess: s.lastGood, Alert: s.alert, Limits: limits,
	}
	if q.circuit.state == Open || q.circuit.state == HalfOpen {
		st.DownSince, st.NextRetry = q.circuit.since, q.circuit.next
	}
	return st
}

// note learns from a verdict: circuit, status, log. Only changes are logged.
func (q *queue) note(m *schemas.Meta, v verdict, probe bool) {
	if !v.tried {
		return
	}
	now := q.relay.cfg.Now()
	log := &q.relay.cfg.Log
	q.remember(v, now)

	q.mu.Lock()
	var opened, recovered bool
	var outage time.Duration
	var quiet time.Time
	if v.err != nil && v.err.Class == Held && !q.limiter() {
		quiet = q.believe(v.err.Until, now)
		q.quiet = quiet
		q.shutGate()
	}
	if v.err != nil && v.err.away() {
		if opened = q.circuit.failed(now, m.ID, v.err.Down, probe, q.believe(v.err.Until, now)); opened {
			q.shutGate()
		}
	} else if outage, recovered = q.circuit.answered(now); recovered {
		q.wakeAll()
	}
	next := q.circuit.next
	q.mu.Unlock()
	if tell := q.relay.cfg.Quieted; tell != nil && !quiet.IsZero() {
		tell(q.dc.Destination, quiet)
	}

	switch {
	case opened:
		log.Warn().Str("destination", q.label).Str("reason", closedResult(v.err.Reason)).Str("error", clipText(v.err.Error())).
			Time("next_retry", next).Msg("upstream unreachable")
	case recovered:
		e := log.Info().Str("destination", q.label).Stringer("after", outage.Round(time.Second))
		if q.relay.cfg.Pending != nil {
			e = e.Int64("pending", q.relay.cfg.Pending(q.dc.Destination))
		}
		e.Msg("upstream recovered")
	}
}

// remember keeps the last attempt for Status, and tells a person what only a
// person can repair: once, until the destination delivers again.
func (q *queue) remember(v verdict, now time.Time) {
	log := &q.relay.cfg.Log
	s := &q.seen
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	s.lastAt = now
	if v.err == nil {
		s.last, s.lastStatus, s.lastGood = "delivered", 0, now
		s.delivered++
		if s.alert != "" {
			log.Info().Str("destination", q.label).Str("was", s.alert).Msg("upstream accepts again")
			s.alert = ""
		}
		return
	}
	s.last, s.lastStatus = closedResult(v.err.Reason), v.err.Status
	s.lastError, s.lastErrorAt = clipText(v.err.Error()), now
	if v.err.Alert != "" && v.err.Alert != s.alert {
		s.alert = v.err.Alert
		log.Error().Str("destination", q.label).Str("reason", v.err.Alert).Int("status", v.err.Status).
			Str("error", s.lastError).Msg("upstream refuses what it is sent")
	}
}

// noteSpool logs when the spool begins or ends to refuse acknowledgements.
func (q *queue) noteSpool(err error) {
	s := &q.seen
	s.mu.Lock()
	defer s.mu.Unlock()
	if (err != nil) == s.spoolFault {
		return
	}
	s.spoolFault = err != nil
	if err != nil {
		q.relay.cfg.Log.Error().Str("destination", q.label).Err(err).Msg("spool cannot write down deliveries; they may be repeated")
		return
	}
	q.relay.cfg.Log.Info().Str("destination", q.label).Msg("spool writes down deliveries again")
}

func clipText(s string) string {
	if len(s) > maxErrorText {
		return s[:maxErrorText] + "…"
	}
	return s
}
