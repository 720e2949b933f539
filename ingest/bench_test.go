package ingest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/rs/zerolog"

	"breakwater/ingest"
	"breakwater/schemas"
)

// nowhere is a sink that costs nothing.
type nowhere struct{}

func (nowhere) Append(context.Context, *schemas.Record) error { return nil }

// BenchmarkEnvelope is the whole path of a stock browser error without the
// network and the disk; BenchmarkEcho is the same request read and answered by
// the bare framework.
func BenchmarkEnvelope(b *testing.B) {
	e := newEdge(b, func(o *ingest.Options) { o.Sink, o.Logger, o.Ledger = nowhere{}, zerolog.Nop(), nil })
	bench(b, e)
}

func BenchmarkEcho(b *testing.B) {
	e := echo.New()
	e.POST("/api/:project/envelope/", func(c echo.Context) error {
		if _, err := io.Copy(io.Discard, c.Request().Body); err != nil {
			return err
		}
		return c.Blob(200, "application/json", []byte("{}"))
	})
	bench(b, e)
}

func bench(b *testing.B, h http.Handler) {
	body, err := os.ReadFile(fixtures + "/sentry-browser/unhandled-error/001/body.bin")
	if err != nil {
		b.Fatal(err)
	}
	text := string(body)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	w := &discard{h: http.Header{}}
	r := httptest.NewRequest(http.MethodPost, envelopePath, nil)
	r.Header.Set("Origin", "https://shop.example")
	for b.Loop() {
		r.Body = io.NopCloser(strings.NewReader(text))
		r.URL.Path = "/api/4201/envelope/"
		h.ServeHTTP(w, r)
		if w.status != 200 {
			b.Fatal(w.status)
		}
	}
}

type discard struct {
	h      http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) WriteHeader(s int)           { d.status = s }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
