package schemas

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
)

// EnvelopeError says why an envelope cannot be read. Its text is the cause a
// client is shown beside the detail "invalid event envelope".
type EnvelopeError struct {
	Cause string
	Err   error // the JSON error, if it was one
}

func (e *EnvelopeError) Error() string {
	if e.Err != nil {
		return e.Cause + ": " + e.Err.Error()
	}
	return e.Cause
}

func (e *EnvelopeError) Unwrap() error { return e.Err }

// Causes of an EnvelopeError; the words are Relay's where it has some.
const (
	CauseMissingHeader  = "missing envelope header"
	CauseInvalidHeader  = "invalid envelope header"
	CauseInvalidItem    = "invalid item header"
	CauseUnexpectedEOF  = "unexpected end of file"
	CauseMissingNewline = "missing newline after header or payload"
	CauseHeaderTooLong  = "header line too long"
)

// MaxHeaderLine bounds a header line, of the envelope or of an item, in bytes.
// SDKs send below 1 KiB; the largest seen carry a long dynamic sampling context.
const MaxHeaderLine = 64 << 10

// Reader reads an envelope as it arrives: header, then one item after the
// other. It holds one header line in memory, never a payload. Grammar: an
// envelope is headers { "\n" item } [ "\n" ]; see the package testdata for
// every odd case. Blank lines between items and at the end are skipped, a
// byte order mark before the header is ignored. Errors of the text are
// *EnvelopeError; errors of the underlying reader come back as they are.
type Reader struct {
	br   *bufio.Reader
	cur  *payload
	done bool  // the input has ended
	err  error // the first error; nothing is read after it
}

// readBuffers hold an envelope of 4 KiB, which is a common one, whole; not more,
// because each of a crowd of slow senders holds one.
var readBuffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 5<<10) }}

// NewReader reads an envelope from r.
func NewReader(r io.Reader) *Reader {
	br := readBuffers.Get().(*bufio.Reader)
	br.Reset(r)
	return &Reader{br: br}
}

// fail keeps the first error: after a fault in the text nobody knows where
// the next item begins. The buffer goes back to the pool at the end.
func (r *Reader) fail(err error) error {
	if r.err == nil {
		r.err = err
		if r.br != nil {
			r.br.Reset(nil)
			readBuffers.Put(r.br)
			r.br = nil
		}
	}
	return r.err
}

// Header reads the envelope header. Call it first, and once. io.EOF means
// that the body was empty.
func (r *Reader) Header() (EnvelopeHeader, error) {
	if r.err != nil {
		return EnvelopeHeader{}, r.err
	}
	h, err := r.header()
	if err != nil {
		return EnvelopeHeader{}, r.fail(err)
	}
	return h, nil
}

func (r *Reader) header() (EnvelopeHeader, error) {
	line, err := r.line()
	if err != nil {
		return EnvelopeHeader{}, err
	}
	if r.done && len(line) == 0 {
		return EnvelopeHeader{}, io.EOF
	}
	line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	if len(bytes.TrimSpace(line)) == 0 {
		return EnvelopeHeader{}, &EnvelopeError{Cause: CauseMissingHeader}
	}
	o, err := ParseObject(line)
	switch {
	case errors.Is(err, ErrTrailing):
		return EnvelopeHeader{}, &EnvelopeError{Cause: CauseMissingNewline}
	case err != nil:
		return EnvelopeHeader{}, &EnvelopeError{Cause: CauseInvalidHeader, Err: err}
	case o.HasDuplicates():
		return EnvelopeHeader{}, &EnvelopeError{Cause: CauseInvalidHeader, Err: errors.New("duplicate key")}
	}
	return EnvelopeHeader{o}, nil
}

// Next reads the next item's header and gives its payload to read; it has a
// method AtHand() int, how many bytes are sure to come. What is
// left unread of the payload before is skipped. io.EOF after the last item.
// After an error, of the header or of a payload too, every call returns it again.
func (r *Reader) Next() (ItemHeader, io.Reader, error) {
	if r.err != nil {
		return ItemHeader{}, nil, r.err
	}
	h, err := r.next()
	if err != nil {
		return ItemHeader{}, nil, r.fail(err)
	}
	return h, r.cur, nil
}

func (r *Reader) next() (ItemHeader, error) {
	if r.cur != nil {
		if _, err := io.Copy(io.Discard, r.cur); err != nil {
			return ItemHeader{}, err
		}
		r.cur = nil
	}
	if r.done {
		return ItemHeader{}, io.EOF
	}
	if err := r.skipBlank(); err != nil {
		return ItemHeader{}, err
	}
	line, err := r.line()
	if err != nil {
		return ItemHeader{}, err
	}
	if len(line) == 0 { // the end: blank lines were skipped
		return ItemHeader{}, io.EOF
	}
	h, err := parseItemHeader(line)
	if err != nil {
		return ItemHeader{}, err
	}
	if r.done && h.Length > 0 {
		return ItemHeader{}, &EnvelopeError{Cause: CauseUnexpectedEOF}
	}
	r.cur = &payload{r: r, left: h.Length, implicit: h.Length < 0, over: r.done}
	return h, nil
}

func parseItemHeader(line []byte) (ItemHeader, error) {
	o, err := ParseObject(line)
	if errors.Is(err, ErrTrailing) {
		return ItemHeader{}, &EnvelopeError{Cause: CauseMissingNewline}
	}
	if err != nil {
		return ItemHeader{}, &EnvelopeError{Cause: CauseInvalidItem, Err: err}
	}
	if o.HasDuplicates() { // two lengths would frame the rest in two ways
		return ItemHeader{}, &EnvelopeError{Cause: CauseInvalidItem, Err: errors.New("duplicate key")}
	}
	h := ItemHeader{Object: o, Length: -1}
	var ok bool
	if h.Type, ok = o.String("type"); !ok || h.Type == "" {
		return ItemHeader{}, &EnvelopeError{Cause: CauseInvalidItem, Err: errors.New("missing type")}
	}
	if v, ok := o.Get("length"); ok && v.Kind() != 'n' {
		n, err := strconv.ParseUint(string(v), 10, 32)
		if err != nil {
			return ItemHeader{}, &EnvelopeError{Cause: CauseInvalidItem, Err: fmt.Errorf("length %s is not a 32-bit count of bytes", clip(v, 32))}
		}
		h.Length = int64(n)
	}
	return h, nil
}

// skipBlank passes over white space, in the buffer and as fast as it arrives:
// a body of nothing but newlines must not cost more than any other.
func (r *Reader) skipBlank() error {
	for {
		if _, err := r.br.Peek(1); err != nil {
			if errors.Is(err, io.EOF) {
				return nil // line says so, too
			}
			return err
		}
		have, _ := r.br.Peek(r.br.Buffered())
		rest := bytes.TrimLeft(have, " \t\r\n")
		if _, err := r.br.Discard(len(have) - len(rest)); err != nil || len(rest) > 0 {
			return err
		}
	}
}

// line reads up to and without the next newline; at the end of the input it
// sets done. The bytes are a copy: headers outlive the buffer.
func (r *Reader) line() ([]byte, error) {
	var line []byte
	for {
		part, err := r.br.ReadSlice('\n')
		if len(line)+len(part) > MaxHeaderLine {
			return nil, &EnvelopeError{Cause: CauseHeaderTooLong}
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			r.done = true
			return line, nil
		default:
			return nil, err
		}
	}
}

// payload reads one item's bytes and the newline behind them.
type payload struct {
	r        *Reader
	left     int64 // with a declared length: bytes still to come
	implicit bool
	over     bool
}

func (p *payload) Read(b []byte) (int, error) {
	switch {
	case p.over:
		return 0, io.EOF
	case p.r.err != nil:
		return 0, p.r.err
	case len(b) == 0:
		return 0, nil
	}
	n, err := p.read(b)
	if err != nil && err != io.EOF { //nolint:errorlint // our own, as it is
		return n, p.r.fail(err)
	}
	return n, err
}

// AtHand is how many bytes of the payload are sure to be there, for whoever
// makes room for them: small payloads are read into the buffer whole.
func (p *payload) AtHand() int {
	if p.over || p.r.err != nil {
		return 0
	}
	n := p.r.br.Buffered()
	if !p.implicit {
		return int(min(int64(n), p.left))
	}
	have, _ := p.r.br.Peek(n)
	if nl := bytes.IndexByte(have, '\n'); nl >= 0 {
		return nl
	}
	return n
}

func (p *payload) read(b []byte) (int, error) {
	if p.implicit {
		return p.readLine(b)
	}
	if p.left == 0 {
		return 0, p.end()
	}
	if int64(len(b)) > p.left {
		b = b[:p.left]
	}
	n, err := p.r.br.Read(b)
	p.left -= int64(n)
	if errors.Is(err, io.EOF) {
		if p.left == 0 { // the last bytes and the end came together
			return n, nil
		}
		p.r.done = true
		return n, &EnvelopeError{Cause: CauseUnexpectedEOF}
	}
	return n, err
}

// end takes the newline that must follow a payload of declared length.
func (p *payload) end() error {
	c, err := p.r.br.ReadByte()
	switch {
	case errors.Is(err, io.EOF):
		p.r.done = true
	case err != nil:
		return err
	case c != '\n':
		return &EnvelopeError{Cause: CauseMissingNewline}
	}
	p.over = true
	return io.EOF
}

// readLine hands out bytes up to the next newline.
func (p *payload) readLine(b []byte) (int, error) {
	if _, err := p.r.br.Peek(1); err != nil {
		if errors.Is(err, io.EOF) {
			p.over, p.r.done = true, true
		}
		return 0, err
	}
	have, _ := p.r.br.Peek(p.r.br.Buffered())
	nl := bytes.IndexByte(have, '\n')
	if nl == 0 {
		p.over = true
		_, err := p.r.br.Discard(1)
		if err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	if nl > 0 {
		have = have[:nl]
	}
	n := copy(b, have)
	_, err := p.r.br.Discard(n)
	return n, err
}

func clip(b []byte, n int) []byte {
	if len(b) > n {
		return b[:n]
	}
	return b
}
