package schemas

import (
	"bytes"
	"io"
	"strconv"
)

// WriteTo writes the envelope to w: every item gets its exact length, every
// header and payload ends in one newline. Payloads are copied through, so an
// item in a file costs no memory. It is the caller who buffers.
func (e *Envelope) WriteTo(w io.Writer) (int64, error) {
	cw := &countingWriter{w: w}
	cw.line(e.Header.Bytes())
	for i := range e.Items {
		it := &e.Items[i]
		cw.line(it.Header.withLength(it.Payload.Size()))
		if cw.err != nil {
			break
		}
		cw.body(it.Payload)
	}
	return cw.n, cw.err
}

// withLength is the header's line with "length" set, the rest as it came.
func (h ItemHeader) withLength(n int64) []byte {
	if h.Length == n {
		return h.Bytes()
	}
	h.Set("length", strconv.AppendInt(nil, n, 10))
	return h.Bytes()
}

// countingWriter keeps the first error, so that a writer reads as a list of lines.
type countingWriter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *countingWriter) Write(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.err = err
	return n, err
}

var newline = []byte{'\n'}

// line writes one header line. A header that came over several lines cannot
// exist: the reader cuts at the newline.
func (c *countingWriter) line(b []byte) {
	_, _ = c.Write(bytes.TrimRight(b, "\r\n"))
	_, _ = c.Write(newline)
}

func (c *countingWriter) body(p Body) {
	if b, ok := p.(Bytes); ok {
		_, _ = c.Write(b)
		_, _ = c.Write(newline)
		return
	}
	r, err := p.Open()
	if err != nil {
		c.err = err
		return
	}
	defer r.Close()
	if _, err := io.Copy(c, r); err != nil {
		if c.err == nil {
			c.err = err
		}
		return
	}
	_, _ = c.Write(newline)
}
