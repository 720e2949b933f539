package disk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// appending is one Append on its way through the writer. They are reused.
type appending struct {
	buf     []byte // room for the frame's header, then the payload
	enc     encoder
	sum     uint32
	rec     *schemas.Record
	qty     uint32
	route   uint32
	project *project
	blobs   []blobRef
	err     error
	done    chan struct{}
	id      recordID
	dead    *string // the reason of one that is a dead letter from the start
}

const (
	// maxBatch bounds one commit, in bytes; a single larger record makes its own.
	maxBatch = 8 << 20
	// maxKept bounds the buffers that are kept for reuse, in bytes.
	maxKept = 1 << 20
	// largeFrame is from how many bytes on a record is not copied once more to
	// be written with its neighbours.
	largeFrame = 64 << 10
	// maxIndexed bounds the records of one segment.
	maxIndexed = 1 << 18
	// fullRetry is what a client is told to wait when there is no room.
	fullRetry = 30 * time.Second
)

var errNoDestination = errors.New("record has no destination")

// Append stores a record; see spool.Spool. The record is encoded here, on the
// caller's time; the writer only copies, writes and syncs.
func (s *Spool) Append(ctx context.Context, rec *schemas.Record) error {
	return s.store(ctx, rec, nil)
}

// store appends a record; dead is the reason of a dead letter.
func (s *Spool) store(ctx context.Context, rec *schemas.Record, dead *string) error {
	start := time.Now()
	if err := ctx.Err(); err != nil {
		s.discardSpills(rec)
		return err
	}
	if len(rec.Meta.Destinations) == 0 {
		s.discardSpills(rec)
		return errNoDestination
	}
	a := s.appendings.Get().(*appending)
	a.dead = dead
	err := s.append(a, rec)
	if err != nil {
		s.discardSpills(rec)
		rec.Meta.ID = ""
	}
	if cap(a.buf) > maxKept {
		a.buf = nil
	}
	a.rec, a.blobs, a.project, a.err, a.dead = nil, nil, nil, nil, nil
	s.appendings.Put(a)
	if err == nil {
		s.metrics.append.Observe(time.Since(start).Seconds())
	}
	return err
}

func (s *Spool) append(a *appending, rec *schemas.Record) error {
	blobs, err := s.takeSpills(rec)
	if err != nil {
		return err
	}
	for _, b := range blobs {
		if b != nil {
			a.blobs = append(a.blobs, *b)
		}
	}
	a.rec, a.qty = rec, uint32(min(max(rec.Meta.Items(), 0), 1<<31))
	if cap(a.buf) < frameHeader {
		a.buf = make([]byte, frameHeader, 8<<10)
	}
	if a.buf, err = a.enc.appendPayload(a.buf[:frameHeader], rec, blobs); err != nil {
		return fmt.Errorf("appending: %w", err)
	}
	if len(a.buf)-frameHeader > maxPayload/2 {
		return fmt.Errorf("appending: record of %d bytes is too large", len(a.buf))
	}
	a.sum = checksum(a.buf[frameHeader:])
	if err := s.enqueue(a); err != nil {
		return err
	}
	kick(s.wakeWriter)
	<-a.done
	return a.err
}

// enqueue reserves room and puts the record in line.
func (s *Spool) enqueue(a *appending) error {
	need := int64(len(a.buf))
	var h head
	headBytes, _, err := splitPayload(a.buf[frameHeader:])
	if err == nil {
		h, err = parseHead(headBytes)
	}
	if err != nil {
		return fmt.Errorf("appending: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return spool.ErrClosed
	}
	if a.route, err = s.routeOf(h.route); err != nil {
		return fmt.Errorf("appending: %w", err)
	}
	a.project = s.routes[a.route].proj
	if err := s.room(a.project, need); err != nil {
		kick(s.wakeKeeper)
		return err
	}
	s.queued += need
	a.project.queued += need
	s.waiting = append(s.waiting, a)
	return nil
}

// room tells whether need bytes more fit; a record's files were counted as they
// came. Under mu.
func (s *Spool) room(p *project, need int64) error {
	if s.used.Load()+s.queued+need > s.limits.MaxSize {
		return &spool.FullError{Why: "max_size", After: fullRetry}
	}
	if float64(p.bytes+p.queued+need) > s.limits.ProjectShare*float64(s.limits.MaxSize) {
		return &spool.FullError{Why: "project_share", After: fullRetry}
	}
	if s.freeNow()-s.queued-need < s.limits.MinFree {
		s.readFree()
		if s.freeNow()-s.queued-need < s.limits.MinFree {
			return &spool.FullError{Why: "min_free", After: fullRetry}
		}
	}
	return nil
}

// freeNow is the last known free space less what was written since. Under mu.
func (s *Spool) freeNow() int64 { return max(s.free-(s.used.Load()-s.freeUsed), 0) }

// readFree asks the file system. Under mu: statfs does not wait for the disk.
func (s *Spool) readFree() {
	if free, err := s.fs.Free(s.dir); err == nil {
		s.free, s.freeUsed = free, s.used.Load()
	}
}

func (s *Spool) refreshFree() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readFree()
}
