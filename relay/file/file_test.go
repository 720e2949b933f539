package file_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/relay"
	"breakwater/relay/file"
	"breakwater/relay/relaytest"
)

func make1(t *testing.T, c file.Config) *file.Destination {
	t.Helper()
	d, err := file.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func deliver(t *testing.T, d *file.Destination) string {
	t.Helper()
	rec := relaytest.SampleRecord()
	if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
		t.Fatal(err)
	}
	return rec.Meta.EventID
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestPlainContract(t *testing.T) {
	relaytest.PlainContract(t, relaytest.Plain{
		New: func(t *testing.T) (relay.Destination, func() string) {
			path := filepath.Join(t.TempDir(), "errors.jsonl")
			return make1(t, file.Config{Path: path, MaxSize: 1 << 20, Keep: 3}), func() string { return read(t, path) }
		},
		Away: func(t *testing.T) relay.Destination {
			return make1(t, file.Config{Path: filepath.Join(t.TempDir(), "missing", "errors.jsonl")})
		},
		Reason: "error",
		Store:  true,
	})
}

// Every line is whole JSON, in the file or in an old one, and no more old ones
// than wanted are kept.
func TestRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "errors.jsonl")
	d := make1(t, file.Config{Path: path, MaxSize: 2000, Keep: 2})
	var ids []string
	for range 40 {
		ids = append(ids, deliver(t, d))
	}
	var all []string
	for _, p := range []string{path, path + ".1", path + ".2"} {
		text := read(t, p)
		if len(text) == 0 || len(text) > 2000 {
			t.Errorf("%s has %d bytes", p, len(text))
		}
		for _, line := range strings.Split(text, "\n") {
			if !json.Valid([]byte(line)) {
				t.Errorf("a line is no JSON: %s", line)
			}
		}
		all = append([]string{text}, all...)
	}
	if _, err := os.Stat(path + ".3"); err == nil {
		t.Error("a third old file is kept")
	}
	text := strings.Join(all, "\n")
	for i, id := range ids[len(ids)-strings.Count(text, "\n")-1:] {
		if !strings.Contains(text, id) {
			t.Errorf("event %d of those kept is missing", i)
		}
	}
}

// A file that logrotate moved away is left alone, and a new one begun.
func TestMovedAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "errors.jsonl")
	d := make1(t, file.Config{Path: path})
	first := deliver(t, d)
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	second := deliver(t, d)
	if got := read(t, path+".old"); !strings.Contains(got, first) || strings.Contains(got, second) {
		t.Errorf("the moved file: %s", got)
	}
	if got := read(t, path); !strings.Contains(got, second) {
		t.Errorf("the new file: %s", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if third := deliver(t, d); !strings.Contains(read(t, path), third) {
		t.Error("a removed file is not made again")
	}
}

// What a kill in the middle of a write left does not spoil the next line.
func TestHalfLineOfAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "errors.jsonl")
	if err := os.WriteFile(path, []byte("{\"a\":1}\n{\"half"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := make1(t, file.Config{Path: path})
	id := deliver(t, d)
	lines := strings.Split(read(t, path), "\n")
	if len(lines) != 3 || lines[1] != `{"half` || !json.Valid([]byte(lines[2])) || !strings.Contains(lines[2], id) {
		t.Errorf("%q", lines)
	}
}

// Records that wait together share a write and an fsync, and each line is whole.
func TestManyAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "errors.jsonl")
	d := make1(t, file.Config{Path: path, MaxSize: 20000, Keep: 1000, FullEvent: true})
	var wg sync.WaitGroup
	const n = 500
	begun := time.Now()
	for range n {
		wg.Go(func() {
			rec := relaytest.SampleRecord()
			if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	files, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		for _, line := range bytes.Split([]byte(read(t, f)), []byte("\n")) {
			var doc relay.Document
			if err := json.Unmarshal(line, &doc); err != nil {
				t.Fatal(err)
			}
			if !json.Valid([]byte(doc.Event)) {
				t.Errorf("the payload is no JSON: %s", doc.Event)
			}
			seen[doc.EventID] = true
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d events", len(seen), n)
	}
	t.Logf("%d records in %d files in %v", n, len(files), time.Since(begun))
}
