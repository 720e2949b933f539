package ingest_test

import (
	"bytes"
	"compress/flate"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"breakwater/ingest"
	"breakwater/schemas"
)

// tester is what helpers need of a test.
type tester interface {
	Helper()
	Fatal(args ...any)
}

// encode compresses by a writer.
func encode(t tester, kind string, body []byte) (encoded []byte, header string) {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	header = kind
	switch kind {
	case "gzip", "x-gzip", "GZIP ":
		w = gzip.NewWriter(&b)
	case "gzip members":
		for len(body) > 1 {
			half := len(body) / 2
			zw := gzip.NewWriter(&b)
			_, _ = zw.Write(body[:half])
			_ = zw.Close()
			body = body[half:]
		}
		w, header = gzip.NewWriter(&b), "gzip"
	case "deflate":
		w = zlib.NewWriter(&b)
	case "deflate raw":
		w, err = flate.NewWriter(&b, 6)
		header = "deflate"
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	default:
		return body, kind
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), header
}

var encodings = []string{"", "identity", "UTF-8", "gzip", "x-gzip", "GZIP ", "gzip members", "deflate", "deflate raw", "br", "zstd"}

func TestEncodings(t *testing.T) {
	e := newEdge(t)
	want := ""
	for round := range 3 { // pooled decoders are used again
		for _, kind := range encodings {
			body, header := encode(t, kind, []byte(env(goodEvent, session)))
			r := post(envelopePath, string(body))
			r.Header["Content-Encoding"] = []string{header}
			if w := e.do(r); w.Code != 200 {
				t.Errorf("round %d, %s: %d %s", round, kind, w.Code, w.Body)
			}
			want += "event session "
		}
	}
	if got := e.sink.types() + " "; got != want {
		t.Errorf("sink got %q", got)
	}
	for _, it := range e.sink.items {
		if it.typ == "event" && it.payload != event {
			t.Errorf("payload %q", it.payload)
		}
	}
}

// zeroes is an envelope's beginning and then nothing but zeroes, made as it is read.
type zeroes struct {
	head *bytes.Reader
	left int64
}

func (z *zeroes) Read(p []byte) (int, error) {
	if z.head.Len() > 0 {
		return z.head.Read(p)
	}
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	clear(p[:n])
	z.left -= n
	return int(n), nil
}

// bomb compresses 24 MiB of zeroes behind an item header.
func bomb(t *testing.T, kind, item string) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch kind {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "br":
		w = brotli.NewWriterLevel(&b, 1)
	case "zstd":
		zw, err := zstd.NewWriter(&b, zstd.WithWindowSize(1<<20))
		if err != nil {
			t.Fatal(err)
		}
		w = zw
	}
	if _, err := io.Copy(w, &zeroes{bytes.NewReader([]byte("{}\n" + item + "\n")), 24 << 20}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// countingSpiller is a spiller whose files count bytes only.
type countingSpiller struct{}

type countingSpill struct {
	fakeSpill
	n int64
}

func (c *countingSpill) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

func (c *countingSpiller) Spill(string) (ingest.Spill, error) { return &countingSpill{}, nil }

// A bomb costs its first bytes, whatever it is packed in and wherever it goes
// off: in a file, in memory, in a payload that is skipped.
func TestBombs(t *testing.T) {
	for _, kind := range []string{"gzip", "deflate", "br", "zstd"} {
		items := []string{`{"type":"attachment"}`}
		if kind == "gzip" {
			items = append(items, `{"type":"event"}`, `{"type":"hologram","length":24000000}`, `{"type":"log"}`)
		}
		for _, item := range items {
			body := bomb(t, kind, item)
			t.Run(kind+" "+item, func(t *testing.T) {
				e := newEdge(t, func(o *ingest.Options) { o.Spiller = &countingSpiller{} })
				var before, after runtime.MemStats
				r := httptest.NewRequest(http.MethodPost, envelopePath, bytes.NewReader(body))
				r.Header.Set("Content-Encoding", kind)
				runtime.GC()
				runtime.ReadMemStats(&before)
				w := e.do(r)
				runtime.ReadMemStats(&after)
				if w.Code != 413 {
					t.Errorf("status %d: %s", w.Code, w.Body)
				}
				grown := int64(after.TotalAlloc) - int64(before.TotalAlloc)
				if grown > 20<<20 { // the decoder's window, and a log of 12 MiB that was being read
					t.Errorf("a bomb of %d bytes allocated %d MiB in all", len(body), grown>>20)
				}
				if testing.Verbose() {
					t.Logf("%d bytes allocated %d KiB: %s", len(body), grown>>10, w.Body)
				}
				e.ledger.balanced(t)
			})
		}
	}
}

// The ratio and the decompressed size are limits of their own.
func TestBodyLimits(t *testing.T) {
	zero := make([]byte, 4<<20)
	noisy := func(n int) []byte { // grows about 25 times
		b := make([]byte, 0, n)
		for i := 0; len(b) < n; i++ {
			b = append(b, bytes.Repeat([]byte{byte(i * 7), byte(i >> 3), byte(i * i)}, 30)...)
		}
		return b
	}
	for _, c := range []struct {
		name   string
		body   []byte
		ratio  int64
		size   int64
		detail string
	}{
		{"below the floor any ratio passes", zero[:900<<10], 10, 200 << 20, ""},
		{"above the floor the ratio counts", zero, 200, 200 << 20, `{"detail":"request body expands too far"}`},
		{"within the ratio", noisy(4 << 20), 1000, 200 << 20, ""},
		{"decompressed size within the ratio", noisy(4 << 20), 1000, 3 << 20, `{"detail":"request body too large"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEdge(t, func(o *ingest.Options) { o.Config.CompressionRatio, o.Config.DecompressedSize = c.ratio, c.size })
			text := append([]byte("{}\n"+`{"type":"attachment","length":`+itoa(len(c.body))+"}\n"), c.body...)
			body, _ := encode(t, "gzip", text)
			w := e.do(post(envelopePath, string(body), "Content-Encoding", "gzip"))
			if c.detail == "" && w.Code != 200 || c.detail != "" && (w.Code != 413 || w.Body.String() != c.detail) {
				t.Errorf("%d %s (%d bytes became %d)", w.Code, w.Body, len(body), len(text))
			}
		})
	}
}

// Bodies of all requests together stay within the budget, and give it back.
func TestMemoryBudget(t *testing.T) {
	e := newEdge(t, func(o *ingest.Options) { o.Config.MemoryBudget = 300 << 10 })
	big := env(`{"type":"event"}` + "\n" + `{"message":"` + string(bytes.Repeat([]byte("x"), 500<<10)) + `"}`)
	w := e.do(post(envelopePath, big))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := e.ledger.String(); got != "web/unknown rate_limited:overload" {
		t.Errorf("books: %s", got)
	}
	for range 5 { // each takes most of the budget
		ok := env(`{"type":"event"}` + "\n" + `{"message":"` + string(bytes.Repeat([]byte("x"), 200<<10)) + `"}`)
		if w := e.do(post(envelopePath, ok)); w.Code != 200 {
			t.Fatalf("the budget was not given back: %d %s", w.Code, w.Body)
		}
		body, _ := encode(t, "gzip", []byte(env(goodEvent)))
		if w := e.do(post(envelopePath, string(body), "Content-Encoding", "gzip")); w.Code != 200 {
			t.Fatalf("a decoder's window was not given back: %d %s", w.Code, w.Body)
		}
	}
	families, _ := e.registry.Gather()
	for _, f := range families {
		if f.GetName() == "breakwater_http_body_bytes" && f.GetMetric()[0].GetGauge().GetValue() != 0 {
			t.Errorf("%v bytes are held by nobody", f.GetMetric()[0].GetGauge().GetValue())
		}
	}
}

// Large opaque payloads go to files; a file of a request that fails is removed.
func TestSpilling(t *testing.T) {
	blob := string(bytes.Repeat([]byte("\x00\nB"), 100<<10))
	item := `{"type":"attachment","length":` + itoa(len(blob)) + `,"filename":"a"}` + "\n" + blob + "\n"
	implicit := `{"type":"replay_recording"}` + "\n" + string(bytes.Repeat([]byte("r"), 300<<10)) + "\n"
	t.Run("stored", func(t *testing.T) {
		e := newEdge(t)
		if w := e.do(post(envelopePath, env(goodEvent, item, implicit))); w.Code != 200 {
			t.Fatal(w.Code, w.Body)
		}
		if len(e.spiller.files) != 2 || e.spiller.open() != 2 || e.sink.items[1].payload != blob || len(e.sink.items[2].payload) != 300<<10 {
			t.Errorf("%d files, %s", len(e.spiller.files), e.sink.types())
		}
	})
	t.Run("framing breaks behind it", func(t *testing.T) {
		e := newEdge(t)
		if w := e.do(post(envelopePath, env(goodEvent, item, "{}\n{}\n"))); w.Code != 400 || e.spiller.open() != 0 {
			t.Errorf("%d, %d files left", w.Code, e.spiller.open())
		}
	})
	t.Run("sink is full", func(t *testing.T) {
		e := newEdge(t)
		e.sink.err = fullError{}
		if w := e.do(post(envelopePath, env(goodEvent, item))); w.Code != 503 || e.spiller.open() != 0 {
			t.Errorf("%d, %d files left", w.Code, e.spiller.open())
		}
	})
	t.Run("sink falls over", func(t *testing.T) {
		e := newEdge(t)
		e.sink.panics = true
		if w := e.do(post(envelopePath, env(goodEvent, item))); w.Code != 500 || len(e.spiller.files) != 1 || e.spiller.open() != 0 {
			t.Errorf("%d, %d of %d files left", w.Code, e.spiller.open(), len(e.spiller.files))
		}
	})
	t.Run("dropped beside what is stored", func(t *testing.T) {
		e := newEdge(t, func(o *ingest.Options) {
			o.Stages = []ingest.Stage{stage(func(b *ingest.Batch) error {
				b.Items[1].Outcome, b.Items[1].Reason = schemas.Filtered, "test" // alone, as a repeat ends
				return nil
			})}
		})
		if w := e.do(post(envelopePath, env(goodEvent, item, implicit))); w.Code != 200 || len(e.spiller.files) != 2 || e.spiller.open() != 1 {
			t.Errorf("%d, %d of %d files left", w.Code, e.spiller.open(), len(e.spiller.files))
		}
	})
	t.Run("client goes away", func(t *testing.T) {
		e := newEdge(t)
		body := strings.NewReader(env(goodEvent, item[:len(item)/2]))
		r := post(envelopePath, "")
		r.Body, r.ContentLength = readCloser{io.MultiReader(body, iotest.ErrReader(io.ErrUnexpectedEOF))}, int64(len(env(goodEvent, item)))
		if w := e.do(r); w.Code != 400 || len(e.spiller.files) != 1 || e.spiller.open() != 0 {
			t.Errorf("%d, %d of %d files left", w.Code, e.spiller.open(), len(e.spiller.files))
		}
	})
	t.Run("no room for files", func(t *testing.T) {
		e := newEdge(t)
		e.spiller.err = fullError{}
		w := e.do(post(envelopePath, env(goodEvent, item)))
		if w.Code != 503 || e.ledger.String() != "web/unknown rate_limited:spool_max_size" {
			t.Errorf("%d %s", w.Code, e.ledger)
		}
	})
	t.Run("no place for files", func(t *testing.T) {
		e := newEdge(t, func(o *ingest.Options) { o.Spiller = nil })
		if w := e.do(post(envelopePath, env(goodEvent, item, implicit))); w.Code != 200 || e.sink.items[1].payload != blob || len(e.sink.items[2].payload) != 300<<10 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// A body without a declared length is cut at the same byte.
func TestWireLimitOfChunkedBody(t *testing.T) {
	for size, status := range map[int]int{1000: 200, 1001: 413} {
		e := newEdge(t, func(o *ingest.Options) { o.Config.RequestSize = 1000 })
		text := env(goodEvent)
		text += `{"type":"hologram"}` + "\n"
		text += string(bytes.Repeat([]byte("x"), size-len(text)))
		r := post(envelopePath, text)
		r.ContentLength = -1
		if w := e.do(r); w.Code != status {
			t.Errorf("%d bytes: %d %s", size, w.Code, w.Body)
		}
	}
}

// What has arrived is stored even when the client hangs up.
func TestClientHangsUp(t *testing.T) {
	e := newEdge(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if w := e.do(post(envelopePath, env(goodEvent)).WithContext(ctx)); w.Code != 200 || e.sink.types() != "event" {
		t.Errorf("%d, sink %q", w.Code, e.sink.types())
	}
}

// Room is asked for what is still to come of a body whose size is not known:
// what cannot come within the limits is refused before it is read.
func TestHolds(t *testing.T) {
	e := newEdge(t, func(o *ingest.Options) { o.Config.RequestSize = 1 << 20 })
	send := func(size int64, length string) int {
		req := post(envelopePath, env(`{"type":"attachment","length":`+length+"}\n"+strings.Repeat("x", 100)))
		req.ContentLength = size
		return e.do(req).Code
	}
	if code := send(-1, "2000000"); code != http.StatusRequestEntityTooLarge {
		t.Errorf("an item beyond the limit in a body of unknown size: %d", code)
	}
	if code := send(-1, "900000"); code != http.StatusBadRequest {
		t.Errorf("an item beyond the end of a body of unknown size: %d", code)
	}
	if code := send(300, "2000000"); code != http.StatusBadRequest {
		t.Errorf("an item beyond the end of a body of known size: %d", code)
	}
}
