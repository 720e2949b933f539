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

// withLength is the header's line with "length" set, the rest as it came. The
// header itself stays as it is: one envelope may be written to several places
// at the same time.
func (h ItemHeader) withLength(n int64) []byte {
	if have, ok := h.Get("length"); ok && string(have) == strconv.FormatInt(n, 10) {
		return h.Bytes()
	}
	o := h.Clone()
	o.Set("length", strconv.AppendInt(nil, n, 10))
	return o.Bytes()
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

// line writes one header line. Of a header that was made or edited here a
// value may stand over several lines; a raw newline in JSON is white space.
func (c *countingWriter) line(b []byte) {
	if b = bytes.TrimRight(b, "\r\n"); bytes.IndexByte(b, '\n') >= 0 {
		b = bytes.ReplaceAll(b, newline, []byte{' '})
	}
	_, _ = c.Write(b)
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
