package relaytest

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"

	"breakwater/relay"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

// Func is a relay.Destination made of a function.
type Func func(ctx context.Context, m *schemas.Meta, env *schemas.Envelope) ([]schemas.Final, error)

// Deliver calls the function.
func (f Func) Deliver(ctx context.Context, m *schemas.Meta, env *schemas.Envelope) ([]schemas.Final, error) {
	return f(ctx, m, env)
}

// End is how a record ended at a destination.
type End struct {
	Finals []schemas.Final // settled with these, or
	Buried string          // buried for this reason
	At     time.Time
}

// Release is one time a record was put back.
type Release struct {
	ID     string
	At     time.Time
	Due    time.Time
	Reason string
}

// Source is a spool in memory for tests of the deliver loop. It hands out the
// oldest due record of a destination, as the contract says, and keeps a book
// of all that happens. Safe for concurrent use.
type Source struct {
	now func() time.Time

	mu       sync.Mutex
	changed  chan struct{}
	next     int
	queues   map[spool.Destination]*sourceQueue
	problems []string
	closed   bool
	failEnd  []error
	failOpen map[string]error
}

type sourceQueue struct {
	waiting  []*sourceRecord // by age
	out      int
	ends     map[string][]End
	buried   map[string]*sourceRecord
	releases []Release
	claims   int
}

type sourceRecord struct {
	rec      *schemas.Record
	seq      int
	due      time.Time
	attempts int
}

var _ relay.Source = (*Source)(nil)

// NewSource makes an empty source; now may be nil for time.Now.
func NewSource(now func() time.Time) *Source {
	if now == nil {
		now = time.Now
	}
	return &Source{now: now, changed: make(chan struct{}), queues: map[spool.Destination]*sourceQueue{}, failOpen: map[string]error{}}
}

func (s *Source) queue(dst spool.Destination) *sourceQueue {
	q := s.queues[dst]
	if q == nil {
		q = &sourceQueue{ends: map[string][]End{}, buried: map[string]*sourceRecord{}}
		s.queues[dst] = q
	}
	return q
}

// Add appends a record for each of its destinations and returns its id. A
// missing ReceivedAt is now, missing Counts are one per item.
func (s *Source) Add(rec *schemas.Record) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	rec.Meta.ID = fmt.Sprintf("R%08d", s.next)
	if rec.Meta.ReceivedAt.IsZero() {
		rec.Meta.ReceivedAt = s.now()
	}
	if rec.Meta.Counts == nil {
		for i := range rec.Envelope.Items {
			t, _ := schemas.LookupItemType(rec.Envelope.Items[i].Header.Type)
			rec.Meta.Counts = append(rec.Meta.Counts, schemas.Count{Category: t.Category, Quantity: 1})
		}
	}
	for _, name := range rec.Meta.Destinations {
		q := s.queue(spool.Destination{Project: rec.Meta.Project, Name: name})
		q.waiting = append(q.waiting, &sourceRecord{rec: rec, seq: s.next})
	}
	s.wake()
	return rec.Meta.ID
}

func (s *Source) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Claim hands out the oldest due record, waiting for one.
func (s *Source) Claim(ctx context.Context, dst spool.Destination) (spool.Claim, error) {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, spool.ErrClosed
		}
		if err := ctx.Err(); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		q, now := s.queue(dst), s.now()
		var soonest time.Time
		for i, r := range q.waiting {
			if r.due.After(now) {
				if soonest.IsZero() || r.due.Before(soonest) {
					soonest = r.due
				}
				continue
			}
			q.waiting = slices.Delete(q.waiting, i, i+1)
			q.out++
			q.claims++
			s.mu.Unlock()
			return &sourceClaim{s: s, q: q, r: r}, nil
		}
		changed := s.changed
		s.mu.Unlock()
		if err := waitFor(ctx, changed, soonest, now); err != nil {
			return nil, err
		}
	}
}

func waitFor(ctx context.Context, changed <-chan struct{}, until, now time.Time) error {
	var wake <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(max(until.Sub(now), time.Millisecond))
		defer t.Stop()
		wake = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-wake:
	}
	return nil
}

// Close makes every Claim fail with spool.ErrClosed.
func (s *Source) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake()
}

// Retry puts a buried record back into its queue, as an operator would; its
// end is forgotten. It is false when there is none.
func (s *Source) Retry(dst spool.Destination, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queue(dst)
	r := q.buried[id]
	if r == nil {
		return false
	}
	delete(q.buried, id)
	delete(q.ends, id)
	r.attempts, r.due = 0, time.Time{}
	q.insert(r)
	s.wake()
	return true
}

// insert puts a record in its old place: the oldest goes first.
func (q *sourceQueue) insert(r *sourceRecord) {
	i := sort.Search(len(q.waiting), func(i int) bool { return q.waiting[i].seq > r.seq })
	q.waiting = slices.Insert(q.waiting, i, r)
}

// FailEnds makes the next Settle or Bury calls fail with these errors.
func (s *Source) FailEnds(errs ...error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failEnd = append(s.failEnd, errs...)
}

// FailOpen makes a record's envelope unreadable.
func (s *Source) FailOpen(id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failOpen[id] = err
}

// Ends is how a record ended at a destination: empty while it is pending.
func (s *Source) Ends(dst spool.Destination, id string) []End {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]End(nil), s.queue(dst).ends[id]...)
}

// Ended is how many records ended at a destination.
func (s *Source) Ended(dst spool.Destination) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue(dst).ends)
}

// Releases is the book of what a destination put back.
func (s *Source) Releases(dst spool.Destination) []Release {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Release(nil), s.queue(dst).releases...)
}

// Pending is how many records wait for a destination, Out how many it has
// claimed, Claims how often it claimed.
func (s *Source) Pending(dst spool.Destination) int64 {
	return s.count(dst, func(q *sourceQueue) int { return len(q.waiting) })
}

// Out is how many records a destination has claimed and not ended.
func (s *Source) Out(dst spool.Destination) int64 {
	return s.count(dst, func(q *sourceQueue) int { return q.out })
}

// Claims is how often a destination claimed.
func (s *Source) Claims(dst spool.Destination) int64 {
	return s.count(dst, func(q *sourceQueue) int { return q.claims })
}

func (s *Source) count(dst spool.Destination, f func(*sourceQueue) int) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(f(s.queue(dst)))
}

// Problems are breaches of the contract: claims ended twice, finals that do
// not match the items.
func (s *Source) Problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.problems...)
}
