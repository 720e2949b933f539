package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// scanner reads a segment from front to back. It hands out intact records and
// tells of damaged stretches; at the end it tells how much of the file counts.
type scanner struct {
	f      file
	size   int64
	salt   uint32
	record func(found) error
	damage func(off, end int64, why string)

	buf []byte // the window
	at  int64  // its place in the file
}

const scanWindow = 1 << 20

// window gives n bytes at off, fewer at the end of the file.
func (sc *scanner) window(off int64, n int) ([]byte, error) {
	n = int(min(int64(n), sc.size-off))
	if off >= sc.at && off+int64(n) <= sc.at+int64(len(sc.buf)) {
		return sc.buf[off-sc.at : off-sc.at+int64(n)], nil
	}
	want := int(min(int64(max(n, scanWindow)), sc.size-off))
	if cap(sc.buf) < want || cap(sc.buf) > 4*max(want, scanWindow) {
		sc.buf = make([]byte, want)
	}
	sc.buf, sc.at = sc.buf[:want], off
	if m, err := sc.f.ReadAt(sc.buf, off); m < want {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		sc.buf = sc.buf[:0]
		return nil, err
	}
	return sc.buf[:n], nil
}

// run reads everything and returns the size without a torn tail.
func (sc *scanner) run() (good int64, err error) {
	off := int64(len(segmentHeader))
	if sc.size <= off {
		return min(sc.size, off), nil
	}
	for off < sc.size {
		b, err := sc.window(off, frameHeader)
		if err != nil {
			return 0, err
		}
		fr, ok := readFrame(b, sc.salt)
		end := off + frameHeader + int64(fr.length)
		if ok && end <= sc.size {
			if err := sc.one(off, end, fr); err != nil {
				return 0, err
			}
			off = end
			continue
		}
		next, err := sc.resync(off + 1)
		if err != nil {
			return 0, err
		}
		if next < 0 {
			torn, err := sc.torn(off, ok)
			if err != nil {
				return 0, err
			}
			if torn {
				return off, nil
			}
			sc.damage(off, sc.size, "no frame")
			return sc.size, nil
		}
		sc.damage(off, next, "no frame")
		off = next
	}
	return off, nil
}

// one hands out the record of a frame, or tells that it is damaged.
func (sc *scanner) one(off, end int64, fr frame) error {
	b, err := sc.window(off, int(end-off))
	if err != nil {
		return err
	}
	payload := b[frameHeader:]
	headBytes, _, err := splitPayload(payload)
	if checksum(payload) != fr.sum || err != nil {
		sc.damage(off, end, "checksum")
		return nil
	}
	if _, err := parseHead(headBytes); err != nil {
		sc.damage(off, end, "head")
		return nil
	}
	return sc.record(found{off: uint32(off), size: uint32(end - off), kind: fr.kind, id: fr.id, headBytes: headBytes})
}

// resync finds the next frame's header, -1 when there is none.
func (sc *scanner) resync(off int64) (int64, error) {
	for off+frameHeader <= sc.size {
		b, err := sc.window(off, scanWindow)
		if err != nil {
			return 0, err
		}
		i := bytes.Index(b, frameMagic)
		if i < 0 {
			off += int64(max(len(b)-len(frameMagic)+1, 1))
			continue
		}
		off += int64(i)
		if off+frameHeader > sc.size {
			return -1, nil
		}
		if b, err = sc.window(off, frameHeader); err != nil {
			return 0, err
		}
		if fr, ok := readFrame(b, sc.salt); ok && off+frameHeader+int64(fr.length) <= sc.size {
			return off, nil
		}
		off++
	}
	return -1, nil
}

// torn tells whether the rest of the file is a write that was cut off, and so
// was never acknowledged: less than a header, a good header with too little
// behind it, or nothing but zeros. Anything else may have been a record.
func (sc *scanner) torn(off int64, header bool) (bool, error) {
	if header || sc.size-off < frameHeader {
		return true, nil
	}
	for ; off < sc.size; off += scanWindow {
		b, err := sc.window(off, scanWindow)
		if err != nil {
			return false, err
		}
		for _, c := range b {
			if c != 0 {
				return false, nil
			}
		}
	}
	return true, nil
}

// maxAside bounds how much of one damaged stretch is kept, in bytes.
const maxAside = 1 << 20

// saveDamaged keeps a damaged stretch for inspection, once, and counts it.
func (s *Spool) saveDamaged(g *segment, f file, off, end int64, why string) {
	path := fmt.Sprintf("%s/%s-%08x.bin", s.path(dirDamaged), g.name(), off)
	out, err := s.fs.Create(path)
	if err != nil {
		return // it is there already, or the disk is full: delivery goes on
	}
	b := make([]byte, min(end-off, maxAside))
	n, _ := f.ReadAt(b, off)
	_, err = out.WriteAt(b[:n], 0)
	if err = errors.Join(err, out.Sync(), out.Close(), s.fs.SyncDir(s.path(dirDamaged))); err != nil {
		s.log.Warn().Err(err).Msg("damaged bytes could not be kept")
	}
	s.used.Add(int64(n))
	s.damaged.Add(1)
	s.log.Error().Str("segment", g.name()).Int64("offset", off).Int64("bytes", end-off).Str("why", why).
		Msg("damaged record set aside")
}

// setAside keeps the bytes of a record that turned out damaged when it was read.
func (s *Spool) setAside(r ref, why error) {
	s.mu.Lock()
	r = r.now()
	g, e := r.sq.seg, *r.entry()
	f, err := s.pin(g)
	s.mu.Unlock()
	if err != nil {
		return
	}
	s.saveDamaged(g, f, int64(e.off), int64(e.off)+int64(e.size), why.Error())
	s.mu.Lock()
	s.unpin(g)
	s.mu.Unlock()
}
