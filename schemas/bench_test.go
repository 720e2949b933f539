package schemas

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func fourKB(b testing.TB) (envelope, event []byte) {
	b.Helper()
	files, _ := filepath.Glob("testdata/fixtures/sentry-browser/*/*/body.bin")
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			b.Fatal(err)
		}
		r := NewReader(bytes.NewReader(raw))
		if _, err := r.Header(); err != nil {
			continue
		}
		h, p, err := r.Next()
		if err != nil || h.Type != "event" {
			continue
		}
		payload, err := io.ReadAll(p)
		if err == nil && len(payload) > 3600 && len(payload) < 4600 {
			return raw, payload
		}
	}
	b.Fatal("no event of about 4 KB among the fixtures")
	return nil, nil
}

func BenchmarkParseObject(b *testing.B) {
	_, event := fourKB(b)
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseObject(event); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecoder(b *testing.B) {
	_, event := fourKB(b)
	b.SetBytes(int64(len(event)))
	b.ReportAllocs()
	buf := bytes.NewBuffer(nil)
	dec := jsontext.NewDecoder(buf, jsonLenient...)
	for b.Loop() {
		*buf = *bytes.NewBuffer(event)
		dec.Reset(buf, jsonLenient...)
		dec.ReadToken()
		for dec.PeekKind() != '}' {
			if _, err := dec.ReadValue(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkReader(b *testing.B) {
	envelope, _ := fourKB(b)
	b.SetBytes(int64(len(envelope)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(bytes.NewReader(envelope))
		if _, err := r.Header(); err != nil {
			b.Fatal(err)
		}
		for {
			_, p, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, p); err != nil {
				b.Fatal(err)
			}
		}
	}
}
