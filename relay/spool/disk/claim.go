package disk

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// claim is one record leased to one worker. It holds the record's bytes until
// they are asked for, so nothing that happens to the segment meanwhile concerns it.
type claim struct {
	s        *Spool
	ref      ref
	meta     *schemas.Meta
	mu       sync.Mutex
	envelope []byte // until it is asked for
	blobs    []blobRef
	attempts int
	ended    atomic.Bool
}

var errEnded = errors.New("claim has already ended")

// Claim hands out the oldest record that is due for dst; see spool.Spool.
func (s *Spool) Claim(ctx context.Context, dst spool.Destination) (spool.Claim, error) {
	var timer *time.Timer
	defer func() {
		if timer != nil {
			timer.Stop()
		}
	}()
	for {
		now := s.now()
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return nil, spool.ErrClosed
		}
		q := s.queue(dst)
		if err := ctx.Err(); err != nil {
			// Whoever leaves may have taken a wake-up meant for one who stays.
			q.signal()
			s.mu.Unlock()
			return nil, err
		}
		r, ok, due := q.peek(now)
		if ok {
			s.set(r, stClaimed)
			// The next one takes over: the next record, or the watch for one that
			// is due later.
			if _, more, later := q.peek(now); more || !later.IsZero() {
				q.signal()
			}
			s.mu.Unlock()
			c, err := s.lease(r)
			if err == nil {
				return c, nil
			}
			s.unreadable(r, err)
			continue
		}
		s.mu.Unlock()

		var wait <-chan time.Time
		if !due.IsZero() {
			d := max(due.Sub(now), time.Millisecond)
			if timer == nil {
				timer = time.NewTimer(d)
			} else {
				timer.Reset(d)
			}
			wait = timer.C
		}
		select {
		case <-q.wake:
		case <-wait:
		case <-ctx.Done():
		case <-s.done:
			return nil, spool.ErrClosed
		}
	}
}

// lease reads a claimed record.
func (s *Spool) lease(r ref) (*claim, error) {
	payload, id, err := s.read(r)
	if err != nil {
		return nil, err
	}
	meta, env, err := decodeMeta(payload, id)
	if err != nil {
		return nil, err
	}
	c := &claim{s: s, ref: r, meta: meta, envelope: env}
	s.mu.Lock()
	defer s.mu.Unlock()
	r = r.now()
	c.attempts = int(r.peek().attempts)
	c.blobs = r.sq.seg.blobs[r.sq.idx[r.pos]]
	return c, nil
}

// readDelay is how long a record waits after the disk refused to read it.
const readDelay = 10 * time.Second

// unreadable ends a record whose bytes are damaged, and puts one that the disk
// would not give now back for a while.
func (s *Spool) unreadable(r ref, err error) {
	if !errors.Is(err, errMalformed) {
		s.log.Error().Err(err).Msg("record could not be read; trying again later")
		s.release(r, s.now().Add(readDelay), "unreadable")
		return
	}
	s.setAside(r, err)
	s.mu.Lock()
	r = r.now()
	if r.state() != stClaimed {
		s.mu.Unlock()
		return
	}
	m := s.metaOf(r)
	finals, last := s.finish(r, schemas.AllFinal(1, schemas.DeadLetter, "damaged"))
	s.mu.Unlock()
	if last {
		s.observer.Settled(m, finals)
	}
}

// metaOf is what memory knows of a record whose bytes cannot be read. Under mu.
func (s *Spool) metaOf(r ref) *schemas.Meta {
	e := r.entry()
	route := s.routes[e.route]
	return &schemas.Meta{
		ProjectID: route.projectID, Project: route.proj.name, ReceivedAt: fromMillis(e.recv),
		Counts:       []schemas.Count{{Category: schemas.CategoryUnknown, Quantity: int(e.qty)}},
		Destinations: route.dests,
	}
}

// Meta describes the record.
func (c *claim) Meta() *schemas.Meta { return c.meta }

// Envelope reads the record; large payloads stay in their files.
func (c *claim) Envelope() (*schemas.Envelope, error) {
	b, err := c.take()
	if err != nil {
		return nil, fmt.Errorf("reading record %s: %w", c.meta.ID, err)
	}
	env, err := spool.DecodeEnvelope(b, c.blobs, c.s.blobBody)
	if err != nil {
		return nil, fmt.Errorf("reading record %s: %w", c.meta.ID, err)
	}
	return env, nil
}

// take gives the envelope's bytes away once; who asks again gets them from the
// disk, for the first caller may have edited his.
func (c *claim) take() ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.envelope; b != nil {
		c.envelope = nil
		return b, nil
	}
	payload, id, err := c.s.read(c.ref)
	if err != nil {
		return nil, err
	}
	_, env, err := decodeMeta(payload, id)
	return env, err
}

// Attempts is how often the record was released for this destination before.
func (c *claim) Attempts() int { return c.attempts }

// Settle ends the record for this destination.
func (c *claim) Settle(finals []schemas.Final) error {
	if c.ended.Swap(true) {
		return errEnded
	}
	// One final per item; what is not said counts as delivered.
	full := schemas.AllFinal(len(c.meta.Counts), schemas.Delivered, "")
	copy(full, finals)
	s := c.s
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return spool.ErrClosed
	}
	r := c.ref.now()
	if r.state() != stClaimed { // dropped meanwhile
		s.mu.Unlock()
		return nil
	}
	merged, last := s.finish(r, full)
	s.mu.Unlock()
	if last {
		s.observer.Settled(c.meta, merged)
	}
	return nil
}

// Release puts the record back, due again at the given time.
func (c *claim) Release(due time.Time, reason string) {
	if !c.ended.Swap(true) {
		c.s.release(c.ref, due, reason)
	}
}

func (s *Spool) release(r ref, due time.Time, reason string) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	r = r.now()
	if s.closed || r.state() != stClaimed {
		return
	}
	info := r.info()
	if info.attempts < 1<<16-1 {
		info.attempts++
	}
	info.reason = s.reasonID(reason)
	info.due = due.UnixMilli()
	if due.After(now) {
		s.set(r, stDelayed)
		r.sq.q.due.push(heapItem{uint64(max(due.UnixNano(), 0)), r})
	} else {
		s.set(r, stReady)
		r.sq.q.ready.push(heapItem{r.entry().seq, r})
	}
	r.sq.q.signal() // somebody must look after the new due time
}

// Bury makes the record a dead letter of this destination, durably.
func (c *claim) Bury(reason string) error {
	if c.ended.Swap(true) {
		return errEnded
	}
	s := c.s
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return spool.ErrClosed
	}
	r := c.ref.now()
	if r.state() != stClaimed {
		s.mu.Unlock()
		return nil
	}
	if info := r.info(); info.attempts < 1<<16-1 {
		info.attempts++
	}
	finals, last := s.kill(r, len(c.meta.Counts), reason)
	s.mu.Unlock()
	err := s.syncAcks()
	if last {
		s.observer.Settled(c.meta, finals)
	}
	kick(s.wakeKeeper) // the budget of dead letters
	if err != nil {
		return fmt.Errorf("burying %s: %w", c.meta.ID, err)
	}
	return nil
}

// read fetches one record's payload and checks it. errMalformed means that its
// bytes are damaged.
func (s *Spool) read(r ref) (payload []byte, id recordID, err error) {
	s.mu.Lock()
	r = r.now()
	g, e := r.sq.seg, *r.entry()
	f, err := s.pin(g)
	s.mu.Unlock()
	if err != nil {
		return nil, id, err
	}
	defer func() {
		s.mu.Lock()
		s.unpin(g)
		s.mu.Unlock()
	}()
	return readRecord(f, g.salt, e)
}

func readRecord(f file, salt uint32, e entry) ([]byte, recordID, error) {
	b := make([]byte, e.size)
	if n, err := f.ReadAt(b, int64(e.off)); n < len(b) {
		return nil, recordID{}, fmt.Errorf("reading record: %w", err)
	}
	fr, ok := readFrame(b, salt)
	payload := b[frameHeader:]
	if !ok || fr.id.seq() != e.seq || int(fr.length) != len(payload) || checksum(payload) != fr.sum {
		return nil, recordID{}, fmt.Errorf("%w: checksum", errMalformed)
	}
	return payload, fr.id, nil
}

// maxOpen bounds the segments that are open for reading.
const maxOpen = 64

// pin keeps a segment's file open. Under mu.
func (s *Spool) pin(g *segment) (file, error) {
	s.useClock++
	g.used = s.useClock
	if g.file == nil {
		if g.gone {
			return nil, fmt.Errorf("segment %s is gone", g.name())
		}
		f, err := s.fs.Open(s.path(g.name() + g.ext))
		if err != nil {
			return nil, fmt.Errorf("opening segment: %w", err)
		}
		g.file = f
		s.openFiles++
		s.closeIdle()
	}
	g.pins++
	return g.file, nil
}

func (s *Spool) unpin(g *segment) {
	g.pins--
	if g.pins == 0 && g.gone && g.file != nil {
		_ = g.file.Close() // read only by now
		g.file = nil
		s.openFiles--
	}
}

func (s *Spool) closeIdle() {
	for s.openFiles > maxOpen {
		var oldest *segment
		for _, g := range s.segments {
			if g.file != nil && g.pins == 0 && (oldest == nil || g.used < oldest.used) {
				oldest = g
			}
		}
		if oldest == nil {
			return
		}
		_ = oldest.file.Close()
		oldest.file = nil
		s.openFiles--
	}
}

func (s *Spool) blobBody(b blobRef) schemas.Body {
	return &fileBody{s.fs, filepath.Join(s.path(dirBlobs), b.file()), b.size}
}
