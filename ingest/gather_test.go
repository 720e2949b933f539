package ingest_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"breakwater/ingest"
)

// What is gathered is what came, whatever the sizes of the pieces it came in,
// and never more than one byte beyond the limit; each byte was charged before.
func TestGather(t *testing.T) {
	content := make([]byte, 300<<10)
	for i := range content {
		content[i] = byte(i * 7 / 3)
	}
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.OneOf(rapid.IntRange(0, 300<<10), rapid.SampledFrom([]int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10}))
		size, limit := sizes.Draw(t, "size"), sizes.Draw(t, "limit")
		head := rapid.IntRange(0, min(size, limit)).Draw(t, "head")
		hard := rapid.Bool().Draw(t, "hard")
		var src io.Reader = bytes.NewReader(content[head:size])
		switch rapid.IntRange(0, 3).Draw(t, "reader") {
		case 1:
			src = iotest.HalfReader(src)
		case 2:
			src = iotest.DataErrReader(src)
		case 3:
			src = io.MultiReader(io.LimitReader(src, 70_000), src)
		}
		charged := int64(head)
		p, more, err := ingest.Gather(content[:head:head], src, int64(limit), hard, func(n int64) error { charged += n; return nil })
		want := content[:min(size, limit+1)]
		if err != nil || more != (size > limit) {
			t.Fatalf("more %v, %v", more, err)
		}
		if more && hard {
			want = nil
		}
		if !bytes.Equal(p, want) {
			t.Fatalf("%d bytes, want %d", len(p), len(want))
		}
		if charged < int64(len(want)) || charged > int64(max(head, limit+1)) {
			t.Fatalf("%d bytes were charged for %d", charged, len(want))
		}
	})
	full := errors.New("full")
	if _, _, err := ingest.Gather(nil, bytes.NewReader(content), 300<<10, true, func(n int64) error { return full }); !errors.Is(err, full) {
		t.Error(err)
	}
	if _, _, err := ingest.Gather(nil, iotest.TimeoutReader(bytes.NewReader(content)), 400<<10, true, func(n int64) error { return nil }); !errors.Is(err, iotest.ErrTimeout) {
		t.Error(err)
	}
}
