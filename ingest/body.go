package ingest

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
)

// ratioFloor is how far a body may expand before its ratio is looked at:
// repetitive but honest bodies stay below it.
const ratioFloor = 1 << 20

// body reads a request's body through its limits: bytes on the wire, then the
// decoder, then bytes and ratio of what comes out. Nothing is held but the
// decoder's window, so a bomb costs its first bytes only.
type body struct {
	wire  wire
	codec *codec // nil: not compressed, or not opened yet
	kind  encoding
	open  bool
	out   int64
	size  int64 // on the wire, as the request declares it; -1: it does not
	limit int64 // of out
	ratio int64
	err   error
	req   *Request

	// Of a large body that is not compressed: what was read ahead.
	buf     *[ahead]byte
	rest    []byte
	restErr error
}

// wire counts what came over the network and remembers its own error, so that
// a decoder's complaint about the cut-off end is not taken for the cause.
type wire struct {
	r     io.ReadCloser
	n     int64
	limit int64
	err   error
	ended bool // all of it has come
	req   *Request
	conn  *sender // that it comes over; nil in tests of protocols
}

// Read gives the request's processor up while it waits for the network.
func (w *wire) Read(p []byte) (int, error) {
	switch {
	case w.err != nil:
		return 0, w.err
	case w.ended:
		return 0, io.EOF
	}
	w.req.Rest()
	n, err := w.r.Read(p)
	w.n += int64(n)
	if err == io.EOF { // io.Reader's own word
		w.conn.arrived()
		w.ended = true
		_ = w.r.Close() // else net/http looks for more of it before it answers
	}
	if late := w.req.Resume(); late != nil {
		w.err = late
		return n, late
	}
	switch {
	case w.n > w.limit:
		w.err = RejectTooLarge
	case err == io.EOF:
		return n, io.EOF
	case err != nil:
		w.err = AsRejection(err)
	}
	return n, w.err
}

// openBody checks what the header says and prepares reading.
func openBody(r *http.Request, req *Request, ep *Endpoint) (*body, error) {
	cfg := req.Settings()
	b := &req.body
	*b = body{req: req, size: r.ContentLength, limit: cfg.DecompressedSize, ratio: cfg.CompressionRatio}
	b.wire = wire{r: r.Body, limit: cfg.RequestSize, req: req, conn: req.conn}
	if ep.Upload {
		b.wire.limit = max(cfg.RequestSize, cfg.AttachmentSize+cfg.EventSize)
	}
	if ep.MaxBody != nil {
		b.limit = min(b.limit, ep.MaxBody(cfg))
		b.wire.limit = min(b.wire.limit, b.limit)
	}
	var err error
	if b.kind, err = encodingOf(r.Header); err != nil {
		return nil, err
	}
	if r.ContentLength > b.wire.limit {
		return nil, RejectTooLarge
	}
	return b, nil
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.read(p)
	b.out += int64(n)
	if max(b.out, b.wire.n) > heavyBody && !b.req.heavy && err == nil {
		err = b.req.Work()
	}
	switch {
	case b.out > b.limit:
		err = RejectTooLarge
	case b.codec != nil && b.out > ratioFloor && b.out/b.ratio > b.wire.n:
		err = RejectRatio
	case err == nil || errors.Is(err, io.EOF):
	case b.wire.err != nil:
		err = b.wire.err
	case b.kind != identity:
		var ours *Rejection
		if !errors.As(err, &ours) {
			err = RejectCompression.With(err)
		}
	}
	if err != nil {
		b.err = err
		b.Close()
		if max(b.out, b.wire.n) <= heavyBody {
			b.req.light()
		}
	}
	return n, err
}

func (b *body) read(p []byte) (int, error) {
	if b.kind == identity {
		return b.plain(p)
	}
	if !b.open {
		b.open = true
		if err := b.req.Reserve(b.kind.window()); err != nil {
			return 0, err
		}
		c, err := openCodec(b.kind, &b.wire)
		if err != nil {
			if b.wire.n == 0 && b.wire.err == nil {
				return 0, io.EOF // compressed nothing: an empty body
			}
			return 0, err
		}
		b.codec = c
		if b.kind == brotlied { // it fills its window, megabytes, before it hands out a byte
			if err := b.req.Work(); err != nil {
				return 0, err
			}
		}
	}
	return b.codec.Read(p)
}

// ahead is how much of a large body is asked of the network at once, in bytes:
// protocols that read in small pieces would have it wait for a processor for
// each. It is not more because a crowd of slow senders may hold one each.
const ahead = 16 << 10

var aheads = sync.Pool{New: func() any { return new([ahead]byte) }}

// plain reads what is not compressed.
func (b *body) plain(p []byte) (int, error) {
	if len(b.rest) == 0 {
		if !b.req.heavy || len(p) >= ahead {
			return b.wire.Read(p)
		}
		if b.buf == nil {
			b.buf = aheads.Get().(*[ahead]byte)
		}
		n, err := b.wire.Read(b.buf[:])
		if b.rest = b.buf[:n]; n == 0 {
			return 0, err
		}
		b.restErr = err
	}
	n := copy(p, b.rest)
	if b.rest = b.rest[n:]; len(b.rest) > 0 {
		return n, nil
	}
	err := b.restErr
	b.restErr = nil
	return n, err
}

// Unread is how many bytes of the body are still to come from the network, as
// the request declares them, for whoever makes room for them; 0 when that is
// not known, or not what will be read: the body is compressed.
func (r *Request) Unread() int64 {
	b := &r.body
	if b.kind != identity || b.size < 0 {
		return 0
	}
	return max(b.size-b.wire.n, 0) + int64(len(b.rest))
}

// Holds tells whether a body of unknown size can still bring n bytes within
// its limits; one of known size is within them. It errs by what a protocol has
// read ahead, in favour of the body.
func (r *Request) Holds(n int64) bool {
	b := &r.body
	if b.req == nil || b.kind == identity && b.size >= 0 { // nil in tests of protocols
		return true
	}
	room := b.limit - b.out
	if b.kind == identity {
		room = min(room, b.wire.limit-b.wire.n+int64(len(b.rest)))
	}
	return n <= room+readAheadMost
}

// readAheadMost is more than any protocol reads ahead, in bytes.
const readAheadMost = 64 << 10

// Close gives the decoder back; reading on is at an end.
func (b *body) Close() {
	if b.err == nil {
		b.err = io.EOF
	}
	if b.buf != nil {
		aheads.Put(b.buf)
		b.buf, b.rest = nil, nil
	}
	if b.codec != nil {
		b.codec.release()
		b.codec = nil
		n := b.kind.window()
		b.req.reserved -= n
		b.req.memory.give(n)
	}
}

// encoding is one way to undo.
type encoding int

const (
	identity encoding = iota
	gzipped
	deflated
	brotlied
	zstded
)

// encodingOf reads Content-Encoding. The empty value and "UTF-8" stand for
// nothing: an old Ruby and an old Android SDK send them. More than one
// encoding is refused: each would multiply what a bomb can do.
func encodingOf(h http.Header) (encoding, error) {
	values := h["Content-Encoding"]
	if len(values) == 0 {
		return identity, nil
	}
	v := values[0]
	if len(values) > 1 {
		v = strings.Join(values, ",")
	}
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "", "identity", "utf-8":
		return identity, nil
	case "gzip", "x-gzip":
		return gzipped, nil
	case "deflate":
		return deflated, nil
	case "br":
		return brotlied, nil
	case "zstd":
		return zstded, nil
	}
	return identity, RejectEncoding
}

// window is how much memory a decoder may come to hold, in bytes.
func (e encoding) window() int64 {
	switch e {
	case brotlied:
		return 16 << 20
	case zstded:
		return zstdWindow
	}
	return 64 << 10
}
