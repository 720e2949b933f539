package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// How much is asked of the servers at once, for one destination.
const (
	pullMessages = 8
	pullWait     = 5 * time.Second // a request that a dying server has is asked again after it
)

// startPull gets messages while claims wait for some. Under mu.
func (s *Spool) startPull(q *queue) {
	if q.pulling || s.closed {
		return
	}
	q.pulling = true
	s.wg.Add(1)
	go s.pull(q)
}

// wants says that a claim waits for a record. Under mu.
func (q *queue) wants() bool { return q.waiters > 0 && len(q.ready.list) == 0 }

func (s *Spool) pull(q *queue) {
	defer s.wg.Done()
	for {
		s.mu.Lock()
		if s.closed || !q.wants() {
			q.pulling = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if !s.conn.IsConnected() {
			pause(s.ctx, 50*time.Millisecond)
			continue
		}
		consumer, err := s.consumerOf(s.ctx, q)
		if err == nil {
			err = s.pullSome(q, consumer)
		}
		if err != nil && s.ctx.Err() == nil {
			known := away(err) || errors.Is(err, jetstream.ErrNoHeartbeat)
			if !known {
				s.log.Warn().Err(err).Stringer("destination", q.dst).Msg("getting records from the stream failed")
			}
			s.mu.Lock()
			// One that was removed looks like one whose leader is away: now and
			// then it is looked for, and made where it is missing.
			if !known || time.Since(q.found) > pullWait {
				q.consumer = nil
			}
			s.mu.Unlock()
			pause(s.ctx, 200*time.Millisecond)
		}
	}
}

// consumerOf finds or makes the consumer of a queue, once.
func (s *Spool) consumerOf(ctx context.Context, q *queue) (jetstream.Consumer, error) {
	s.mu.Lock()
	c := q.consumer
	s.mu.Unlock()
	if c != nil {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := s.consume(ctx, q.dst)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	q.consumer, q.found = c, time.Now()
	s.mu.Unlock()
	return c, nil
}

// pullSome takes what is there, or waits for one message.
func (s *Spool) pullSome(q *queue, c jetstream.Consumer) error {
	n, err := s.pullNow(q, c)
	if n > 0 || err != nil {
		return err
	}
	s.mu.Lock()
	more := q.wants() && !s.closed
	s.mu.Unlock()
	if !more {
		return nil
	}
	_, err = s.ask(s.ctx, q, c, next{Batch: 1, Expires: pullWait / 10 * 9}, pullWait)
	return err
}

// pullNow takes what is there. Servers answer that at once: Close waits for it.
func (s *Spool) pullNow(q *queue, c jetstream.Consumer) (int, error) {
	return s.ask(context.Background(), q, c, next{Batch: pullMessages, NoWait: true}, time.Second)
}

// next is a request for messages of a consumer, as the servers take it.
type next struct {
	Batch   int           `json:"batch"`
	Expires time.Duration `json:"expires,omitempty"` // nanoseconds
	NoWait  bool          `json:"no_wait,omitempty"`
}

// request is one request for messages under way. What the servers send on it is
// leased to this gateway from then on, so all of it is taken, also what comes
// when nobody waits for it any more: what is dropped here nobody gets until its
// lease runs out. (The library's own requests drop what comes after their time.)
type request struct {
	sub   *nats.Subscription
	taken atomic.Int64
	over  chan error    // has one when the servers are done with it
	gone  chan struct{} // closed when nothing can come any more
}

// requestEnds is when the servers have forgotten a request that they did not
// answer, by far.
const requestEnds = 30 * time.Second

// ask asks for messages, and takes them. It waits until the servers are done
// with it, at most as long as wait says and until ctx ends, and returns how many
// were taken so far.
func (s *Spool) ask(ctx context.Context, q *queue, c jetstream.Consumer, n next, wait time.Duration) (int, error) {
	body, err := json.Marshal(n)
	if err != nil {
		return 0, err
	}
	r := &request{over: make(chan error, 1), gone: make(chan struct{})}
	inbox := s.conn.NewInbox()
	if r.sub, err = s.conn.Subscribe(inbox, func(msg *nats.Msg) { s.arrived(q, r, n.Batch, msg) }); err != nil {
		return 0, err
	}
	r.sub.SetClosedHandler(func(string) {
		s.mu.Lock()
		delete(s.requests, r)
		s.mu.Unlock()
		close(r.gone)
	})
	s.mu.Lock()
	s.requests[r] = struct{}{}
	s.mu.Unlock()
	info := c.CachedInfo()
	if err := s.conn.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+info.Stream+"."+info.Name, inbox, body); err != nil {
		r.end(err)
		return 0, err
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case err = <-r.over:
	case <-ctx.Done():
	case <-t.C:
		time.AfterFunc(requestEnds, func() { r.end(nil) })
	}
	return int(r.taken.Load()), err
}

// arrived takes what came on a request.
func (s *Spool) arrived(q *queue, r *request, batch int, msg *nats.Msg) {
	if status := msg.Header.Get("Status"); status != "" && len(msg.Data) == 0 {
		switch status {
		case "404", "408": // nothing is there, or nothing more came
			r.end(nil)
		case "503":
			r.end(nats.ErrNoResponders)
		default:
			r.end(fmt.Errorf("status %s %s", status, msg.Header.Get("Description")))
		}
		return
	}
	s.deliver(q, msg)
	if r.taken.Add(1) == int64(batch) {
		r.end(nil)
	}
}

// end ends a request on which nothing comes any more.
func (r *request) end(err error) {
	select {
	case r.over <- err:
	default: // it had ended
	}
	_ = r.sub.Unsubscribe() // of a connection that may be gone
}

// endRequests ends the requests that are under way, and waits for what the
// servers had sent already, which goes back; see doc.go for what they send in
// the moment before they know. For Close.
func (s *Spool) endRequests(ctx context.Context) {
	s.mu.Lock()
	list := slices.Collect(maps.Keys(s.requests))
	s.mu.Unlock()
	for _, r := range list {
		_ = r.sub.Drain() // of a connection that may be gone
	}
	for _, r := range list {
		select {
		case <-r.gone:
		case <-ctx.Done():
			return
		}
	}
}
