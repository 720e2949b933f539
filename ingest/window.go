package ingest

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// zstdWindow bounds a zstd decoder's memory; the format allows frames to ask
// for gigabytes. SDKs and Relay stay below 8 MiB.
const zstdWindow = 8 << 20

// Decoders of brotli and zstd hold a window as large as the body says. A crowd
// of bombs must not cost a crowd of windows, so there are only so many places
// for decoders at a time: two for windows up to 4 MiB, which is what encoders
// ask for by default, two more where the body has arrived whole, so that it does not
// wait behind senders who take their time, and one for zstd's larger ones. Brotli's larger ones, up
// to 16 MiB, are refused: its decoder fills the whole window before it hands out
// a byte, and no SDK or Relay asks for them. gzip and deflate, which most SDKs
// use, have 32 KiB and need no place.
var places = [3]place{newPlace(2), newPlace(1), newPlace(2)}

// smallWindow is the largest window of the first kind of places, in bytes.
const smallWindow = 4 << 20

// placeWait is how long a body waits for a place before its sender is asked to
// come again.
const placeWait = 2 * time.Second

// place is one kind: its seats, and the decoders that sat there before, with
// their windows. They are let go of when nobody came for a while.
type place struct {
	seats        chan struct{}
	brotli, zstd *sync.Pool
}

func newPlace(seats int) place {
	return place{make(chan struct{}, seats), new(sync.Pool), new(sync.Pool)}
}

// takePlace waits for a place, once the first 16 KiB have arrived: whoever sends
// nothing holds none. A body that came whole, which small ones do, has a place where
// nobody waits for the network. The error is RejectOverload, or
// RejectCompression.
func (c *codec) takePlace() error {
	head, end := c.in.Peek(c.in.Size()) // what is missing the decoder will miss, too
	p := &places[0]
	switch large := windowOf(c.kind, head) > smallWindow; {
	case large && c.kind == brotlied:
		return RejectCompression.Because("a brotli window above 4 MiB")
	case large:
		p = &places[1]
	case errors.Is(end, io.EOF):
		p = &places[2]
	}
	select {
	case p.seats <- struct{}{}:
		c.place = p
		return nil
	default:
	}
	t := time.NewTimer(placeWait)
	defer t.Stop()
	select {
	case p.seats <- struct{}{}:
		c.place = p
		return nil
	case <-t.C:
		return RejectOverload
	}
}

// leavePlace gives the decoder and the place back, if the body had one.
func (c *codec) leavePlace() {
	if c.place == nil {
		return
	}
	if c.brotli != nil {
		c.place.brotli.Put(c.brotli)
	}
	if c.zstd != nil {
		if err := c.zstd.Reset(nil); err != nil && !errors.Is(err, io.EOF) {
			c.zstd.Close()
		} else {
			c.place.zstd.Put(c.zstd)
		}
	}
	c.brotli, c.zstd = nil, nil
	<-c.place.seats
	c.place = nil
}

func (c *codec) startBrotli() error {
	if c.brotli, _ = c.place.brotli.Get().(*brotli.Reader); c.brotli == nil {
		c.brotli = brotli.NewReader(c.in)
	} else if err := c.brotli.Reset(c.in); err != nil {
		return err
	}
	c.out = c.brotli
	return nil
}

func (c *codec) startZstd() (err error) {
	if c.zstd, _ = c.place.zstd.Get().(*zstd.Decoder); c.zstd == nil {
		c.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderMaxMemory(1<<40)) // the body's own limits count the output
		if err != nil {
			return err
		}
	}
	c.out = c.zstd
	return c.zstd.Reset(c.in)
}

// windowOf is the window that a stream asks for at its beginning, in bytes.
func windowOf(kind encoding, head []byte) int64 {
	if kind == zstded {
		var h zstd.Header
		if err := h.Decode(head); err != nil { // no header: the decoder says so
			return 0
		}
		if h.SingleSegment {
			return int64(min(h.FrameContentSize, zstdWindow))
		}
		return int64(min(h.WindowSize, zstdWindow))
	}
	if len(head) == 0 {
		return 0
	}
	// RFC 7932, section 9.1.
	switch n, m := head[0]>>1&7, head[0]>>4&7; {
	case head[0]&1 == 0:
		return 1 << 16
	case n != 0:
		return 1 << (17 + n)
	case m > 1:
		return 1 << (8 + m)
	}
	return 1 << 17
}
