package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// fullRetry is what a client is told to wait when there is no room.
const fullRetry = 30 * time.Second

// maxWaiting bounds the memory of appends that wait to be confirmed, in bytes.
// What of them lies in the object store already is none.
const maxWaiting = 64 << 20

// reasonDuplicate ends an item that the servers had already (see doc.go).
const reasonDuplicate = "duplicate"

var (
	errNoDestination = errors.New("record has no destination")
	errTooManyWait   = errors.New("too many records wait to be confirmed")
	withoutRetry     = []jetstream.PublishOpt{jetstream.WithRetryAttempts(0)}
)

// appending is one record on its way to a stream.
type appending struct {
	ctx  context.Context
	rec  *schemas.Record
	data []byte // encoded
	size int64  // with its objects
	objs map[int]object
	done chan error
}

// packSize is how many bytes of records go into a message. A quarter of the
// servers' max_payload, which may change while they are in use, stays free for
// headers; larger ones gain little and cost memory.
func (s *Spool) packSize() int { return int(min(s.conn.MaxPayload()/4*3, 512<<10)) }

// project is what this gateway stores for one project: one message is under
// way, and what comes meanwhile goes into the next together. More are under way
// only while what waits fills a message.
type project struct {
	name      string
	queue     []*appending
	line      int // bytes of queue
	running   int // publishers
	gatherers []gatherer
	bytes     int64 // of all gateways, when last looked
	since     int64 // appended here since then
	queued    int64 // on the way: appends, and files that are in no append yet
}

func (s *Spool) project(name string) *project {
	p, ok := s.projects[name]
	if !ok {
		p = &project{name: name}
		s.projects[name] = p
	}
	return p
}

// Append stores a record; see spool.Spool. It returns when Replicas servers
// have it on disk (see doc.go). While the servers cannot decide it fails with
// a *spool.FullError with Why "unavailable", at once or after it tried for ten
// seconds; what was tried may have been stored all the same.
func (s *Spool) Append(ctx context.Context, rec *schemas.Record) error {
	start := time.Now()
	if err := s.append(ctx, rec); err != nil {
		discardSpills(rec)
		rec.Meta.ID = ""
		var full *spool.FullError
		if errors.As(err, &full) {
			s.metrics.refused.WithLabelValues(full.Why).Inc()
		}
		return err
	}
	s.metrics.append.Observe(time.Since(start).Seconds())
	return nil
}

func (s *Spool) append(ctx context.Context, rec *schemas.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(rec.Meta.Destinations) == 0 {
		return errNoDestination
	}
	if err := s.Ready(); err != nil {
		return err
	}
	if rec.Meta.ID = s.newID(); rec.Meta.ID == "" {
		return errMalformed
	}
	a := &appending{ctx: ctx, rec: rec, done: make(chan error, 1)}
	if err := s.room(rec.Meta.Project, bodySize(rec)); err != nil {
		return err
	}
	var err error
	if a.objs, err = s.putLarge(ctx, rec); err != nil {
		return err
	}
	if a.data, err = encodeRecord(rec, unique(rec.Meta.Destinations), nil, a.objs); err == nil {
		discardSpills(rec) // their bytes are in the object store, and count with the append
		a.size = int64(len(a.data))
		for _, o := range a.objs {
			a.size += o.size
		}
		err = s.enqueue(a)
	}
	if err == nil {
		err = s.await(a)
	}
	if err != nil {
		if full := (*spool.FullError)(nil); !errors.As(err, &full) || full.Why != "unavailable" {
			s.dropObjects(a.objs) // else the record may be stored
		}
	}
	return err
}

// await waits for the confirmation. A caller whose context ends gets its error
// while the record may be on its way.
func (s *Spool) await(a *appending) error {
	select {
	case err := <-a.done:
		return err
	case <-a.ctx.Done():
	}
	s.mu.Lock()
	p := s.project(a.rec.Meta.Project)
	for i, w := range p.queue {
		if w == a { // nobody has seen it
			p.queue = append(p.queue[:i:i], p.queue[i+1:]...)
			p.line -= len(a.data)
			s.account(p, a, false)
			s.mu.Unlock()
			return a.ctx.Err()
		}
	}
	s.mu.Unlock()
	return <-a.done // its publisher knows of the context, and ends soon
}

// room tells whether need bytes more fit, as far as this gateway knows; the
// servers have the last word. A record's files were counted as they came.
func (s *Spool) room(name string, need int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roomLocked(s.project(name), need)
}

func (s *Spool) roomLocked(p *project, need int64) error {
	if s.usedLocked()+s.waiting+need > s.limits.MaxSize {
		return &spool.FullError{Why: "max_size", After: fullRetry}
	}
	if share := s.limits.ProjectShare; share < 1 && float64(p.bytes+p.since+p.queued+need) > share*float64(s.limits.MaxSize) {
		return &spool.FullError{Why: "project_share", After: fullRetry}
	}
	return nil
}

// account adds an append to what is under way, or takes it out.
func (s *Spool) account(p *project, a *appending, in bool) {
	size, memory := a.size, int64(len(a.data))
	if !in {
		size, memory = -size, -memory
	}
	s.waiting += size
	s.encoded += memory
	p.queued += size
}

// enqueue puts a record in line and starts the project's publisher.
func (s *Spool) enqueue(a *appending) error {
	if len(a.data) > s.packSize() {
		return fmt.Errorf("appending: record of %d bytes is too large for a message", len(a.data))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return spool.ErrClosed
	case s.encoded > maxWaiting:
		return &spool.FullError{Why: "unavailable", After: retryAfter, Err: errTooManyWait}
	}
	p := s.project(a.rec.Meta.Project)
	if err := s.roomLocked(p, a.size); err != nil {
		return err
	}
	s.account(p, a, true)
	p.queue = append(p.queue, a)
	p.line += len(a.data)
	s.gathered(p)
	if p.running == 0 || (p.running < maxPublishers && p.line >= s.packSize()) {
		p.running++
		s.wg.Add(1)
		go s.publish(p)
	}
	return nil
}

func unique(list []string) (out []string) {
	seen := map[string]bool{}
	for _, d := range list {
		if !seen[d] {
			seen[d] = true
			out = append(out, d)
		}
	}
	return out
}

// drainAppends waits until what is in line is stored.
func (s *Spool) drainAppends(ctx context.Context) {
	for {
		s.mu.Lock()
		left := s.waiting
		s.mu.Unlock()
		if left == 0 || !pause(ctx, 5*time.Millisecond) {
			return
		}
	}
}
