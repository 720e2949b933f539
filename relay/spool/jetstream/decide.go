package jetstream

import (
	"context"
	"errors"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// decisionWait bounds a decision about many records.
const decisionWait = 5 * time.Minute

// Retry puts dead letters that match back into their queues, durably; q.Dead
// need not be set. It returns how many records it touched.
func (s *Spool) Retry(q spool.Query) (int, error) {
	q.Dead = true
	return s.eachDead(q, func(ctx context.Context, l *letter) (bool, error) { return s.retryLetter(ctx, l) })
}

// Drop ends records that match, durably: waiting ones as dead_letter with the
// reason "dropped", or dead letters when q.Dead is set. A worker that holds
// one may still deliver it. It returns how many records it touched.
func (s *Spool) Drop(q spool.Query) (int, error) {
	return s.End(q, schemas.Final{Outcome: schemas.DeadLetter, Reason: "dropped"})
}

// End ends records that match with an outcome, durably: waiting ones, or dead
// letters when q.Dead is set, whose outcome was counted when they were buried.
// A worker that holds one, at any gateway, may still deliver it. It returns
// how many records it touched.
func (s *Spool) End(q spool.Query, f schemas.Final) (int, error) {
	if q.Dead {
		return s.eachDead(q, func(ctx context.Context, l *letter) (bool, error) { return s.dropLetter(ctx, l) })
	}
	ctx, cancel := context.WithTimeout(s.ctx, decisionWait)
	defer cancel()
	return s.endWaiting(ctx, q, nil, func(e entry) (schemas.Final, bool) { return f, true })
}

// eachDead calls act for up to q.Limit dead letters' records.
func (s *Spool) eachDead(q spool.Query, act func(context.Context, *letter) (bool, error)) (n int, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, decisionWait)
	defer cancel()
	touched := map[string]bool{}
	err = s.walkDead(ctx, q, func(l *letter, _ *schemas.Meta) (bool, error) {
		if q.Limit > 0 && len(touched) >= q.Limit && !touched[l.id] {
			return false, nil
		}
		ok, err := act(ctx, l)
		if ok {
			touched[l.id] = true
		}
		return true, err
	})
	return len(touched), s.orClosed(err)
}

func (s *Spool) orClosed(err error) error {
	if err != nil && s.ctx.Err() != nil {
		return spool.ErrClosed
	}
	return err
}

// endWaiting ends the waiting records for which final says so, until before
// fails, if it is given. The decisions about one message are stored together.
func (s *Spool) endWaiting(ctx context.Context, q spool.Query, before func(entry) error, final func(entry) (schemas.Final, bool)) (int, error) {
	touched := map[string]bool{}
	var list []entry // of one message
	act := func() error {
		if len(list) == 0 {
			return nil
		}
		err := s.endIn(ctx, list, final, touched)
		list = list[:0]
		return err
	}
	n, last := 0, ""
	err := s.walk(ctx, q, func(e entry) (bool, error) {
		if before != nil {
			if err := before(e); err != nil {
				return false, err
			}
		}
		if e.r.id != last {
			if q.Limit > 0 && n >= q.Limit {
				return false, nil
			}
			n, last = n+1, e.r.id
		}
		if len(list) > 0 && list[0].seq != e.seq {
			if err := act(); err != nil {
				return false, err
			}
		}
		list = append(list, e)
		return true, nil
	})
	err = errors.Join(err, act())
	return len(touched), s.orClosed(err)
}

// endIn ends records of one message.
func (s *Spool) endIn(ctx context.Context, list []entry, final func(entry) (schemas.Final, bool), touched map[string]bool) error {
	m, err := s.load(ctx, list[0].seq, "", nil)
	if errors.Is(err, spool.ErrNotFound) {
		return nil // it ended meanwhile
	}
	if err != nil {
		return err
	}
	defer s.letGo(m)
	add := marks{}
	for _, e := range list {
		if f, ok := final(e); ok {
			add[place{e.i, e.dst.Name}] = done(schemas.AllFinal(len(e.meta().Counts), f.Outcome, f.Reason))
		}
	}
	s.mu.Lock()
	told, changed := s.decide(m, add, true)
	s.mu.Unlock()
	s.tell(told)
	for _, p := range changed {
		touched[m.records[p.i].id] = true
	}
	if len(changed) == 0 {
		return nil
	}
	return s.flushNow(ctx, m)
}

// expire ends the records that are older than MaxAge. It walks from the
// stream's start to the first message whose records are all younger.
func (s *Spool) expire(ctx context.Context) error {
	s.mu.Lock()
	maxAge := s.limits.MaxAge
	s.mu.Unlock()
	if maxAge <= 0 {
		return nil
	}
	oldest := s.now().Add(-maxAge)
	stop := errors.New("the rest is younger")
	seq, old := uint64(0), true
	_, err := s.endWaiting(ctx, spool.Query{}, func(e entry) error {
		if e.seq != seq {
			if !old {
				return stop
			}
			seq, old = e.seq, false
		}
		old = old || e.r.received().Before(oldest)
		return nil
	}, func(e entry) (schemas.Final, bool) {
		return schemas.Final{Outcome: schemas.Expired, Reason: "max_age"}, e.r.received().Before(oldest)
	})
	if errors.Is(err, stop) {
		return nil
	}
	return err
}
