package sentry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"breakwater/schemas"
)

// smallBody is up to how many payload bytes a body is built in memory, so that
// it has a Content-Length and can be sent again when a kept connection turns
// out to be dead. Larger ones, and those in files, are streamed.
const smallBody = 1 << 20

// encoding is a Content-Encoding with its pool of compressors.
type encoding struct {
	name string
	pool sync.Pool
}

// compressor is what gzip, zlib, brotli and zstd writers have in common.
type compressor interface {
	io.WriteCloser
	Reset(io.Writer)
}

// encodings are shared by all destinations: a compressor is up to a megabyte.
// The fastest level is used: the link to an upstream is rarely the bottleneck,
// the processor often.
var encodings = map[string]*encoding{
	"identity": {name: "identity"},
	"gzip": {name: "gzip", pool: sync.Pool{New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the error is for unknown levels
		return w
	}}},
	"deflate": {name: "deflate", pool: sync.Pool{New: func() any {
		w, _ := zlib.NewWriterLevel(nil, zlib.BestSpeed)
		return w
	}}},
	"br": {name: "br", pool: sync.Pool{New: func() any { return brotli.NewWriterLevel(nil, 3) }}},
	"zstd": {name: "zstd", pool: sync.Pool{New: func() any {
		w, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
		return w
	}}},
}

func findEncoding(name string) (*encoding, error) {
	switch name {
	case "":
		name = "gzip"
	case "none":
		name = "identity"
	}
	e := encodings[name]
	if e == nil {
		return nil, fmt.Errorf("encoding %q is not one of gzip, identity, zstd, br, deflate", name)
	}
	return e, nil
}

// write compresses the envelope to w.
func (e *encoding) write(w io.Writer, env *schemas.Envelope) error {
	if e.name == "identity" {
		_, err := env.WriteTo(w)
		return err
	}
	c := e.pool.Get().(compressor)
	defer e.pool.Put(c)
	c.Reset(w)
	if _, err := env.WriteTo(c); err != nil {
		return err
	}
	return c.Close()
}

// fitsMemory tells whether the envelope is small and already in memory.
func fitsMemory(env *schemas.Envelope) bool {
	var size int64
	for i := range env.Items {
		if _, ok := env.Items[i].InMemory(); !ok {
			return false
		}
		size += env.Items[i].Payload.Size()
	}
	return size <= smallBody
}

var scratch = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// buffered is the whole body in memory. It is a fresh slice: a transport may
// read a body for a moment longer than the request lasts.
func (e *encoding) buffered(env *schemas.Envelope) ([]byte, error) {
	b := scratch.Get().(*bytes.Buffer)
	defer scratch.Put(b)
	b.Reset()
	if err := e.write(b, env); err != nil {
		return nil, err
	}
	return bytes.Clone(b.Bytes()), nil
}

// stream is a body that is made while it is read, in flat memory.
type stream struct {
	*io.PipeReader
	done chan struct{}
	err  error // why the envelope could not be read; valid after done
}

func (e *encoding) stream(env *schemas.Envelope) *stream {
	pr, pw := io.Pipe()
	s := &stream{PipeReader: pr, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		err := e.write(pw, env)
		_ = pw.CloseWithError(err) // always nil
		if err != nil && !errors.Is(err, io.ErrClosedPipe) {
			s.err = err
		}
	}()
	return s
}

// finish ends the stream and returns why the envelope could not be read, nil
// if it could or nobody asked for all of it. Afterwards nothing touches the
// envelope any more.
func (s *stream) finish() error {
	_ = s.PipeReader.Close() // always nil
	<-s.done
	return s.err
}
