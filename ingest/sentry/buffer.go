package sentry

import (
	"io"

	"breakwater/ingest"
)

// buffer reads payloads into memory and keeps account of it: beyond the first
// few KiB each growth is asked for from what all requests share.
type buffer struct {
	req  *ingest.Request
	free int64
	copy []byte
}

// charge notes n bytes held until the request ends.
func (b *buffer) charge(n int64) error {
	if n <= b.free {
		b.free -= n
		return nil
	}
	n -= b.free
	b.free = 0
	return b.req.Reserve(n)
}

// gatherFrom is from how many bytes on a payload is read in pieces.
const gatherFrom = 64 << 10

// read takes up to limit bytes; more tells that the payload goes on, and hard
// that it is refused then, so that p need not be there. length is what the
// header declares, -1 when it does not.
func (b *buffer) read(r io.Reader, length, limit int64, hard bool) (p []byte, more bool, err error) {
	size := int64(2 << 10)
	if length >= 0 {
		size = min(length, limit, 64<<10) // a declared length is a stranger's word
	} else if known, ok := r.(interface{ AtHand() int }); ok {
		have := int64(known.AtHand())
		if rest := b.req.Unread(); rest <= have { // all of it, if this is the last item
			have += rest
		}
		size = min(max(size, have), limit)
	}
	if err := b.charge(size); err != nil {
		return nil, false, err
	}
	p = make([]byte, 0, size+1)
	for {
		if len(p) == cap(p) {
			if len(p) >= gatherFrom {
				return ingest.Gather(p, r, limit, hard, b.charge)
			}
			if p, err = b.grow(p, limit); err != nil {
				return nil, false, err
			}
		}
		n, err := r.Read(p[len(p):cap(p)])
		p = p[:len(p)+n]
		if err == io.EOF {
			return p, int64(len(p)) > limit, nil
		}
		if err != nil {
			return nil, false, err
		}
		if int64(len(p)) > limit {
			return p, true, nil
		}
	}
}

// grow doubles the room, up to one byte more than the limit.
func (b *buffer) grow(p []byte, limit int64) ([]byte, error) {
	size := min(max(2*int64(cap(p)), 2<<10), limit+1)
	if err := b.charge(size - int64(cap(p))); err != nil {
		return nil, err
	}
	next := make([]byte, len(p), size)
	copy(next, p)
	return next, nil
}

// readAll goes on reading behind head.
func (b *buffer) readAll(head []byte, r io.Reader, limit int64) ([]byte, error) {
	if len(head) == 0 {
		p, more, err := b.read(r, -1, limit, true)
		if more {
			err = errTooLarge
		}
		return p, err
	}
	p, more, err := ingest.Gather(head, r, limit, true, b.charge)
	if more {
		err = errTooLarge
	}
	return p, err
}

// chunk is room for copying.
func (b *buffer) chunk() []byte {
	if b.copy == nil {
		b.copy = make([]byte, 32<<10)
	}
	return b.copy
}
