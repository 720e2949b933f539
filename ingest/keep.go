package ingest

import (
	"errors"
	"io"

	"breakwater/schemas"
)

// ErrPayloadTooLarge says that a payload goes on beyond the limit it was read
// with; the request's body may still be good.
var ErrPayloadTooLarge = errors.New("payload over its limit")

// freeOfCharge is what a request may hold before it asks, in bytes.
const freeOfCharge = 64 << 10

// ReadAll reads a request's body, which is wanted in memory whole; what it holds
// beyond the first 64 KiB is asked of the memory that all requests share, and
// with more than 256 KiB the request waits for its turn (see Make). Errors:
// RejectTooLarge beyond limit bytes, RejectOverload, and what reading fails with.
func (r *Request) ReadAll(body io.Reader, limit int64) ([]byte, error) {
	p, err := r.ReadPart(body, limit)
	if err == nil && len(p) > freeMaking {
		err = r.takeTurn()
	}
	return p, err
}

// ReadPart is ReadAll for a part of a body, behind which more is to come from
// the network: it waits for no turn.
func (r *Request) ReadPart(body io.Reader, limit int64) ([]byte, error) {
	p, more, err := r.readTo(body, limit, true)
	if more {
		return nil, RejectTooLarge
	}
	return p, err
}

// readTo reads up to limit bytes, and one that says there are more; hard as in
// Gather.
func (r *Request) readTo(body io.Reader, limit int64, hard bool) (p []byte, more bool, err error) {
	p = make([]byte, 0, min(2<<10, limit+1))
	for {
		if len(p) == cap(p) {
			size := min(2*int64(cap(p)), limit+1)
			if size > freeOfCharge {
				return Gather(p, body, limit, hard, r.Reserve)
			}
			p = append(make([]byte, 0, size), p...)
		}
		n, err := body.Read(p[len(p):cap(p)])
		p = p[:len(p)+n]
		switch {
		case int64(len(p)) > limit:
			return p, true, nil
		case err == io.EOF: // io.Reader's own word
			return p, false, nil
		case err != nil:
			return nil, false, err
		}
	}
}

// Keep stores a payload for the sink: up to inline bytes in memory, more in a
// file beside the spool. Errors: ErrPayloadTooLarge beyond limit bytes, a
// rejection when there is no room, and what reading fails with. The rest of a
// payload that is too large stays unread.
func (r *Request) Keep(payload io.Reader, inline, limit int64) (schemas.Body, error) {
	head, more, err := r.readTo(payload, min(inline, limit), inline >= limit)
	switch {
	case err != nil:
		return nil, err
	case !more:
		return schemas.Bytes(head), nil
	case inline >= limit:
		return nil, ErrPayloadTooLarge
	}
	file, err := r.SpillRest(head, payload, limit, make([]byte, 32<<10))
	if err != nil {
		return nil, err
	}
	if file != nil {
		return file, nil
	}
	rest, more, err := r.readTo(payload, limit-int64(len(head)), true)
	switch {
	case err != nil:
		return nil, err
	case more:
		return nil, ErrPayloadTooLarge
	}
	return schemas.Bytes(append(head, rest...)), nil
}

// SpillRest writes head and the rest of a payload into a file beside the
// spool, through buf. It returns nil, nil when the gateway has no place for
// files. Errors as for Keep.
func (r *Request) SpillRest(head []byte, rest io.Reader, limit int64, buf []byte) (Spill, error) {
	file, err := r.Spill()
	if err != nil {
		return nil, fullness(err)
	}
	if file == nil {
		return nil, nil
	}
	if err := fill(file, head, rest, limit, buf); err != nil {
		file.Discard()
		return nil, err
	}
	return file, nil
}

func fill(file Spill, head []byte, rest io.Reader, limit int64, buf []byte) error {
	if _, err := file.Write(head); err != nil {
		return fullness(err)
	}
	w := &blamed{w: file}
	n, err := io.CopyBuffer(w, onlyReader{io.LimitReader(rest, limit-int64(len(head))+1)}, buf)
	switch {
	case w.err != nil:
		return fullness(w.err)
	case err != nil:
		return err
	case int64(len(head))+n > limit:
		return ErrPayloadTooLarge
	}
	if err := file.Finish(); err != nil {
		return fullness(err)
	}
	return nil
}

// blamed remembers that it was the file that failed and not the client.
type blamed struct {
	w   io.Writer
	err error
}

func (b *blamed) Write(p []byte) (int, error) {
	n, err := b.w.Write(p)
	b.err = err
	return n, err
}

// onlyReader hides WriteTo, so that the copy uses our buffer.
type onlyReader struct{ io.Reader }
