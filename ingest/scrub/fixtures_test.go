package scrub

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"breakwater/schemas"
)

const fixtureDir = "../../schemas/testdata/fixtures"

// sample is one item of captured traffic.
type sample struct {
	name    string
	typ     string
	header  schemas.ItemHeader
	payload []byte
	doc     any // the payload, decoded, where a test needs it
}

// fixtures are the items of every captured Sentry envelope.
func fixtures(tb testing.TB) []sample {
	tb.Helper()
	var list []sample
	for _, sdk := range []string{"sentry-browser", "sentry-react-native"} {
		files, err := filepath.Glob(filepath.Join(fixtureDir, sdk, "*", "*", "body.bin"))
		if err != nil || len(files) == 0 {
			tb.Fatalf("no fixtures of %s: %v", sdk, err)
		}
		for _, f := range files {
			raw, err := os.ReadFile(f)
			if err != nil {
				tb.Fatal(err)
			}
			if len(raw) == 0 {
				continue
			}
			rel, _ := filepath.Rel(fixtureDir, filepath.Dir(f))
			list = append(list, items(tb, filepath.ToSlash(rel), raw)...)
		}
	}
	return list
}

func items(tb testing.TB, name string, envelope []byte) (list []sample) {
	tb.Helper()
	r := schemas.NewReader(bytes.NewReader(envelope))
	h, err := r.Header()
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	list = append(list, sample{name: name, typ: "(header)", payload: h.Bytes()})
	for {
		ih, body, err := r.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		payload, err := io.ReadAll(body)
		if err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
		list = append(list, sample{name: name, typ: ih.Type, header: ih, payload: payload})
	}
}

func fixture(tb testing.TB, scenario, typ string) []byte {
	tb.Helper()
	for _, s := range fixtures(tb) {
		if strings.HasPrefix(s.name, scenario+"/") && s.typ == typ {
			return s.payload
		}
	}
	tb.Fatalf("no %s in %s", typ, scenario)
	return nil
}

func mustCompile(tb testing.TB, c Config) *Rules {
	tb.Helper()
	r, err := Compile(c)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func everything() Config {
	c := DefaultConfig()
	c.Email = true
	return c
}
