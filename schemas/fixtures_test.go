package schemas

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const fixtureRoot = "testdata/fixtures"

// fixture is one row of the fixtures' index.json.
type fixture struct {
	ID          string   `json:"id"`
	Dir         string   `json:"dir"`
	SDK         string   `json:"sdk"`
	Method      string   `json:"method"`
	ContentType string   `json:"content_type"`
	Encoding    string   `json:"content_encoding"`
	Kind        string   `json:"kind"`
	ItemTypes   []string `json:"envelope_item_types"`
	EventID     string   `json:"event_id"`
	Title       string   `json:"title"`
	Vitals      []struct {
		Name           string  `json:"name"`
		Value          float64 `json:"value"`
		Delta          float64 `json:"delta"`
		Rating         string  `json:"rating"`
		NavigationType string  `json:"navigationType"`
	} `json:"vitals"`
}

func fixtures(t testing.TB) []fixture {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(fixtureRoot, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index struct{ Fixtures []fixture }
	if err := json.Unmarshal(raw, &index); err != nil {
		t.Fatal(err)
	}
	return index.Fixtures
}

func (f fixture) body(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(fixtureRoot, f.Dir, "body.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if f.Encoding == "gzip" {
		zr, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = io.ReadAll(zr); err != nil {
			t.Fatal(err)
		}
	}
	return raw
}

// isEnvelope tells the fixtures that are Sentry envelopes.
func (f fixture) isEnvelope() bool { return len(f.ItemTypes) > 0 }

// envelopeSeeds is one small envelope of each combination of items and SDK:
// enough for a fuzzer to learn the forms from.
func envelopeSeeds(t testing.TB) [][]byte {
	t.Helper()
	seen := map[string]bool{}
	var seeds [][]byte
	for _, f := range fixtures(t) {
		if key := f.SDK + strings.Join(f.ItemTypes, "+"); f.isEnvelope() && !seen[key] {
			if b := f.body(t); len(b) < 6<<10 {
				seen[key] = true
				seeds = append(seeds, b)
			}
		}
	}
	return seeds
}
