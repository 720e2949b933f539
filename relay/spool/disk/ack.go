package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// An acknowledgement says that a destination is done with a record, holds it
// as a dead letter, or wants it again. The same bytes stand in the ack file
// beside a segment and, after a merge, in the head of a moved record.
//
//	op · destination (place in the route) · offset of the frame · finals or reason
//
// In the file each is led by its CRC32C (4 bytes) and length (2 bytes); the
// first that does not fit ends the file.

type ackOp uint8

const (
	opDone    ackOp = 1
	opDead    ackOp = 2
	opPending ackOp = 3
)

type ack struct {
	op     ackOp
	dest   uint32
	off    uint32
	finals []schemas.Final // of opDone; nil: all delivered
	reason string          // of opDead
}

// maxReason bounds a reason's text, in bytes.
const maxReason = 200

func clip(s string) string {
	if len(s) > maxReason {
		return s[:maxReason]
	}
	return s
}

func allDelivered(finals []schemas.Final) bool {
	for _, f := range finals {
		if f.Outcome != schemas.Delivered || f.Reason != "" {
			return false
		}
	}
	return true
}

func (a *ack) appendTo(b []byte) []byte {
	b = append(b, byte(a.op))
	b = binary.AppendUvarint(b, uint64(a.dest))
	b = binary.AppendUvarint(b, uint64(a.off))
	switch a.op {
	case opDone:
		if allDelivered(a.finals) {
			return append(b, 0)
		}
		runs := runsOf(a.finals)
		if len(runs) > 128 { // keep it small: one outcome for all
			worst := a.finals[0]
			for _, f := range a.finals {
				worst = spool.Worse(worst, f)
			}
			runs = []run{{len(a.finals), worst}}
		}
		b = binary.AppendUvarint(b, uint64(len(runs)))
		for _, r := range runs {
			b = binary.AppendUvarint(b, uint64(r.n))
			b = spool.AppendBytes(b, string(r.f.Outcome))
			b = spool.AppendBytes(b, clip(r.f.Reason))
		}
	case opDead:
		b = spool.AppendBytes(b, clip(a.reason))
	}
	return b
}

type run struct {
	n int
	f schemas.Final
}

func runsOf(finals []schemas.Final) (runs []run) {
	for _, f := range finals {
		if n := len(runs); n > 0 && runs[n-1].f == f {
			runs[n-1].n++
			continue
		}
		runs = append(runs, run{1, f})
	}
	return runs
}

// maxFinals bounds what a damaged ack may claim.
const maxFinals = 1 << 20

func decodeAck(d *spool.Decoder) (a ack, ok bool) {
	a.op = ackOp(d.Byte())
	a.dest = uint32(d.Uvarint())
	a.off = uint32(d.Uvarint())
	switch a.op {
	case opDone:
		total := uint64(0)
		for range d.Uvarint() {
			n := d.Uvarint()
			f := schemas.Final{Outcome: schemas.Outcome(d.Bytes()), Reason: string(d.Bytes())}
			if total += n; d.Bad || n > maxFinals || total > maxFinals {
				return a, false
			}
			for range n {
				a.finals = append(a.finals, f)
			}
		}
	case opDead:
		a.reason = string(d.Bytes())
	case opPending:
	default:
		return a, false
	}
	return a, !d.Bad
}

// record puts an acknowledgement in the buffer of its segment. Under s.mu.
func (s *Spool) record(g *segment, a ack) {
	b := g.ackBuf
	if len(b) == 0 {
		s.dirty = append(s.dirty, g)
		select {
		case s.ackWake <- struct{}{}:
		default:
		}
	}
	mark := len(b)
	b = append(b, 0, 0, 0, 0, 0, 0)
	b = a.appendTo(b)
	body := b[mark+6:]
	binary.LittleEndian.PutUint32(b[mark:], checksum(body))
	binary.LittleEndian.PutUint16(b[mark+4:], uint16(len(body)))
	g.ackBuf = b
}

// readAcks hands out the acknowledgements of a file and returns how many
// bytes of it are good.
func readAcks(b []byte, fn func(ack)) int64 {
	good := 0
	for len(b)-good >= 6 {
		n := int(binary.LittleEndian.Uint16(b[good+4:]))
		if n == 0 || len(b)-good-6 < n {
			break
		}
		body := b[good+6 : good+6+n]
		if checksum(body) != binary.LittleEndian.Uint32(b[good:]) {
			break
		}
		d := spool.Decoder{B: body}
		a, ok := decodeAck(&d)
		if !ok {
			break
		}
		fn(a)
		good += 6 + n
	}
	return int64(good)
}

const (
	// ackDelay is how long an acknowledgement waits for others.
	ackDelay = 50 * time.Millisecond
	// ackSync is how long a written one waits for its fsync.
	ackSync = time.Second
)

// acker writes acknowledgements: lazily, or at once when a burial waits.
func (s *Spool) acker() {
	defer s.wg.Done()
	sync := time.NewTicker(ackSync)
	defer sync.Stop()
	for {
		select {
		case <-s.ackUrgent:
			_ = s.flushAcks(true)
		case <-s.ackWake:
			t := time.NewTimer(ackDelay)
			select {
			case <-t.C:
				_ = s.flushAcks(false)
			case <-s.ackUrgent:
				_ = s.flushAcks(true)
			case <-s.quit:
			}
			t.Stop()
		case <-sync.C:
			_ = s.flushAcks(true)
		case <-s.quit:
			_ = s.flushAcks(true)
			return
		}
	}
}

// syncAcks makes everything recorded so far durable; it is how a burial waits.
func (s *Spool) syncAcks() error {
	done := make(chan error, 1)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil // Close flushes
	}
	s.ackWaiters = append(s.ackWaiters, done)
	s.mu.Unlock()
	select {
	case s.ackUrgent <- struct{}{}:
	default:
	}
	return <-done
}

// flushAcks writes what is buffered. What cannot be written stays buffered.
func (s *Spool) flushAcks(sync bool) error {
	s.ackIO.Lock()
	defer s.ackIO.Unlock()
	s.mu.Lock()
	dirty, waiters := s.dirty, s.ackWaiters
	s.dirty, s.ackWaiters = nil, nil
	bufs := make([][]byte, len(dirty))
	for i, g := range dirty {
		bufs[i], g.ackBuf = g.ackBuf, nil
	}
	var trash []string
	if sync {
		trash, s.trash = s.trash, nil
		for g := range s.unsynced {
			if !contains(dirty, g) {
				dirty, bufs = append(dirty, g), append(bufs, nil)
			}
		}
	}
	s.mu.Unlock()

	var failed error
	for i, g := range dirty {
		if err := s.writeAcks(g, bufs[i], sync); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		s.log.Warn().Err(failed).Msg("acknowledgements could not be written; kept in memory")
	}
	s.letGo(trash, failed)
	for _, w := range waiters {
		w <- failed
	}
	return failed
}

// letGo frees the files of records that all destinations are done with,
// now that the disk says so: a start that found such a record without its file
// would take it for damaged. When there is no room to write that down, the
// files go all the same, or there would never be any.
func (s *Spool) letGo(trash []string, failed error) {
	if len(trash) == 0 {
		return
	}
	s.mu.Lock()
	if failed == nil || isNoSpace(failed) {
		s.freed = append(s.freed, trash...)
	} else {
		s.trash = append(trash, s.trash...)
	}
	s.mu.Unlock()
	kick(s.wakeKeeper)
}

func contains(list []*segment, g *segment) bool {
	for _, have := range list {
		if have == g {
			return true
		}
	}
	return false
}

func (s *Spool) writeAcks(g *segment, buf []byte, sync bool) error {
	if g.gone {
		return nil // under ackIO it cannot go while we write
	}
	out, at := buf, g.ackSize
	if g.ackDoubt {
		out, at = slices.Concat(g.ackLoose, buf), at-int64(len(g.ackLoose))
	}
	err := s.writeAckFile(g, out, at, sync)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		g.ackSize += int64(len(buf))
		s.used.Add(int64(len(buf)))
		if sync {
			g.ackLoose, g.ackDoubt = nil, false
			delete(s.unsynced, g)
		} else {
			g.ackLoose = append(g.ackLoose, buf...)
			s.unsynced[g] = struct{}{}
		}
		return nil
	}
	// After a failed fsync the next one may succeed without having written what
	// the failed one did not: all that is not known to be on disk is written again.
	// A gap would hide what comes behind it.
	g.ackDoubt = true
	if len(g.ackBuf) == 0 {
		s.dirty = append(s.dirty, g)
	}
	g.ackBuf = append(buf, g.ackBuf...)
	return fmt.Errorf("writing acknowledgements of %s: %w", g.name(), err)
}

func (s *Spool) writeAckFile(g *segment, buf []byte, at int64, sync bool) error {
	path := filepath.Join(s.dir, g.name()+extAcks)
	var f file
	var err error
	created := !g.ackFile
	if created {
		if f, err = s.fs.Create(path); err != nil { // left over from a failed try
			f, err = s.fs.Open(path)
		}
	} else {
		f, err = s.fs.Open(path)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(buf, at)
	if err == nil && sync {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil && (created || sync) {
		err = s.syncAckName(g, sync)
	}
	g.ackFile = g.ackFile || err == nil
	return err
}

// syncAckName makes the name of a new ack file durable with its first sync.
func (s *Spool) syncAckName(g *segment, sync bool) error {
	if !sync {
		s.newAcks[g] = struct{}{}
		return nil
	}
	if _, fresh := s.newAcks[g]; !fresh && g.ackFile {
		return nil
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		return err
	}
	clear(s.newAcks)
	return nil
}
