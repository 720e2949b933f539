package file_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"breakwater/relay"
	"breakwater/relay/file"
	"breakwater/relay/relaytest"
)

// A disk that is full says so, costs no half line, and is used again when
// there is room. /dev/full, which is one, only Linux has.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "errors.jsonl")
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	d := make1(t, file.Config{Path: path})
	rec := relaytest.SampleRecord()
	_, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
	if de := relay.AsDeliverError(err); err == nil || de.Class != relay.Temporary || !de.Down || !strings.Contains(err.Error(), "no space left") {
		t.Fatalf("%v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if id := deliver(t, d); !strings.Contains(read(t, path), id) {
		t.Error("not written after there was room")
	}
}
