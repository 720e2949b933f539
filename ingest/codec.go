package ingest

import (
	"bufio"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// codec is a decoder with its input buffer, used again and again.
type codec struct {
	kind encoding
	in   *bufio.Reader
	out  io.Reader // what to read now

	gzip   *gzip.Reader
	zlib   io.ReadCloser
	flate  io.ReadCloser
	brotli *brotli.Reader
	zstd   *zstd.Decoder

	place *place // of brotli or zstd, to be given back
}

// codecs holds one pool for each encoding: their buffers differ in size.
var codecs [zstded + 1]sync.Pool

func openCodec(kind encoding, r io.Reader) (*codec, error) {
	c, _ := codecs[kind].Get().(*codec)
	if c == nil {
		c = &codec{kind: kind, in: bufio.NewReaderSize(nil, 16<<10)}
	}
	c.in.Reset(r)
	if err := c.start(); err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

func (c *codec) Read(p []byte) (int, error) { return c.out.Read(p) }

// release puts the codec back for the next request.
func (c *codec) release() {
	c.in.Reset(nil)
	c.out = nil
	c.leavePlace()
	codecs[c.kind].Put(c)
}

func (c *codec) start() (err error) {
	switch c.kind {
	case gzipped:
		err = c.startGzip()
	case deflated:
		err = c.startDeflate()
	case brotlied, zstded:
		if err := c.takePlace(); err != nil {
			return err
		}
		if c.kind == brotlied {
			return c.startBrotli()
		}
		return c.startZstd()
	}
	return err
}

func (c *codec) startGzip() (err error) {
	if c.gzip == nil {
		c.gzip = new(gzip.Reader)
	}
	c.out = c.gzip
	return c.gzip.Reset(c.in)
}

// startDeflate reads RFC 1950, and raw RFC 1951 from old clients that took the
// name at its word.
func (c *codec) startDeflate() (err error) {
	head, err := c.in.Peek(2)
	if len(head) == 0 {
		return err
	}
	wrapped := len(head) == 2 && head[0]&0x0f == 8 && head[0]>>4 <= 7 && (uint16(head[0])<<8|uint16(head[1]))%31 == 0
	if !wrapped {
		if c.flate == nil {
			c.flate = flate.NewReader(c.in)
		} else {
			err = c.flate.(flate.Resetter).Reset(c.in, nil)
		}
		c.out = c.flate
		return err
	}
	if c.zlib == nil {
		zr, err := zlib.NewReader(c.in)
		if err != nil {
			return err
		}
		c.zlib = zr
	} else if err := c.zlib.(zlib.Resetter).Reset(c.in, nil); err != nil {
		return err
	}
	c.out = c.zlib
	return nil
}
