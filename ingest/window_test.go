package ingest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// The window is read from the stream's beginning, as its encoder set it.
func TestWindowOf(t *testing.T) {
	for bits := 10; bits <= 24; bits++ {
		var b bytes.Buffer
		w := brotli.NewWriterOptions(&b, brotli.WriterOptions{Quality: 1, LGWin: bits})
		for range 3 {
			_, _ = w.Write(bytes.Repeat([]byte("window"), 1000))
			_ = w.Flush()
		}
		_ = w.Close()
		if got, want := windowOf(brotlied, b.Bytes()), int64(1)<<bits; got != want && bits >= 18 { // quality 1 takes at least 18 bits
			t.Errorf("brotli, %d bits: %d, want %d", bits, got, want)
		}
	}
	for _, size := range []int{1 << 10, 1 << 20, 4 << 20, 8 << 20} {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithWindowSize(size), zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			_, _ = w.Write(bytes.Repeat([]byte("window"), 1000))
			_ = w.Flush()
		}
		_ = w.Close()
		if got := windowOf(zstded, b.Bytes()); got != int64(size) {
			t.Errorf("zstd: %d, want %d", got, size)
		}
	}
	for _, head := range [][]byte{nil, {0x28}, []byte("not a stream")} {
		if got := windowOf(zstded, head); got != 0 {
			t.Errorf("%q: %d", head, got)
		}
	}
}

// Windows are rationed: a body that finds no place waits, and is then asked to
// come again; those after it are served. Brotli's largest are refused.
func TestPlacesAreRationed(t *testing.T) {
	brotliStream := func(bits int) []byte {
		var b bytes.Buffer
		w := brotli.NewWriterOptions(&b, brotli.WriterOptions{Quality: 1, LGWin: bits})
		_, _ = io.WriteString(w, "hello")
		_ = w.Flush()
		_, _ = io.WriteString(w, "hello")
		_ = w.Close()
		return b.Bytes()
	}
	zstdStream := func(size int) []byte {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithWindowSize(size), zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, "hello")
		_ = w.Flush()
		_, _ = io.WriteString(w, "hello")
		_ = w.Close()
		return b.Bytes()
	}
	synctest.Test(t, func(t *testing.T) {
		old := places
		places = [3]place{newPlace(2), newPlace(1), newPlace(2)}
		defer func() { places = old }()
		if _, err := openCodec(brotlied, bytes.NewReader(brotliStream(24))); err == nil || AsRejection(err).Reason != RejectCompression.Reason {
			t.Errorf("a window of 16 MiB: %v", err)
		}
		for _, c := range []struct {
			kind   encoding
			stream []byte
			seats  int
		}{{brotlied, brotliStream(22), 2}, {zstded, zstdStream(4 << 20), 2}, {zstded, zstdStream(8 << 20), 1}} {
			var sitting []*codec
			for range c.seats {
				one, err := openCodec(c.kind, bytes.NewReader(c.stream))
				if err != nil {
					t.Fatal(err)
				}
				sitting = append(sitting, one)
			}
			if _, err := openCodec(c.kind, bytes.NewReader(c.stream)); !errors.Is(err, RejectOverload) {
				t.Errorf("without a place: %v", err)
			}
			for _, one := range sitting {
				one.release()
			}
			again, err := openCodec(c.kind, bytes.NewReader(c.stream))
			if err != nil {
				t.Fatal(err)
			}
			if text, err := io.ReadAll(again); string(text) != "hellohello" || err != nil {
				t.Errorf("%q %v", text, err)
			}
			again.release()
		}
		// A body that is still coming in sits elsewhere than one that came whole.
		long := make([]byte, 64<<10)
		rand.NewChaCha8([32]byte{1}).Read(long)
		var packed bytes.Buffer
		w := brotli.NewWriterOptions(&packed, brotli.WriterOptions{Quality: 1, LGWin: 22})
		_, _ = w.Write(long)
		_ = w.Close()
		for range 2 {
			slow, err := openCodec(brotlied, bytes.NewReader(packed.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			defer slow.release()
		}
		if _, err := openCodec(brotlied, bytes.NewReader(packed.Bytes())); !errors.Is(err, RejectOverload) {
			t.Errorf("a third long one: %v", err)
		}
		for kind, stream := range map[encoding][]byte{brotlied: brotliStream(22), zstded: zstdStream(1 << 20)} {
			begin := time.Now()
			whole, err := openCodec(kind, bytes.NewReader(stream))
			if err != nil || time.Since(begin) > 0 {
				t.Fatalf("a short one waited %s behind long ones: %v", time.Since(begin), err)
			}
			whole.release()
		}
	})
}
