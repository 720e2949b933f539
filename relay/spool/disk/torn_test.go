package disk

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"breakwater/relay/spool"
	"breakwater/relay/spool/spooltest"
)

// oneSegment is the text of a segment with n records, and its name.
func oneSegment(t *testing.T, n int) (name string, data []byte) {
	t.Helper()
	fs := newSimFS()
	w := newWorld(t, fs)
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := w.append(fmt.Sprintf("record %d", i), false); err != nil {
			t.Fatal(err)
		}
	}
	for path, f := range fs.files {
		if strings.HasSuffix(path, extActive) {
			name, data = path, slices.Clone(f.data)
		}
	}
	abandon(w.s)
	return name, data
}

// openSegment starts a spool with just this segment and lists the texts.
func openSegment(t *testing.T, name string, data []byte) (s *Spool, texts []string) {
	t.Helper()
	fs := newSimFS()
	node := &simInode{data: data, synced: data}
	fs.files[name], fs.durable[name] = node, node
	w := newWorld(t, fs)
	ledger := spooltest.NewLedger()
	w.obs = ledger
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	if err := ledger.Check(waiting(t, w.s)); err != nil {
		t.Fatal(err)
	}
	err := w.s.List(spool.Query{Destination: "a"}, func(e spool.Entry) bool {
		rec, err := w.s.Open(e.Meta.ID)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, read(t, rec.Envelope.Items[0].Payload))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return w.s, texts
}

func TestCutAtEveryByte(t *testing.T) {
	const n = 4
	name, data := oneSegment(t, n)
	var ends []int // where a record is complete
	ends = append(ends, frames(data)...)
	ends = append(ends[1:], len(data))
	for cut := range len(data) + 1 {
		want := 0
		for want < n && ends[want] <= cut {
			want++
		}
		s, texts := openSegment(t, name, slices.Clone(data[:cut]))
		if len(texts) != want || s.damaged.Load() != 0 {
			t.Fatalf("cut at %d: %d records and %d damaged, want %d and none", cut, len(texts), s.damaged.Load(), want)
		}
		_ = s.Close()
	}
}

// frames are the offsets of the frames of an intact segment.
func frames(data []byte) (offs []int) {
	for off := len(segmentHeader); off < len(data); {
		offs = append(offs, off)
		off += frameHeader + int(uint32(data[off+8])|uint32(data[off+9])<<8|uint32(data[off+10])<<16)
	}
	return offs
}

func TestFlipEveryBit(t *testing.T) {
	const n = 3
	name, data := oneSegment(t, n)
	for bit := range len(data) * 8 {
		flipped := slices.Clone(data)
		flipped[bit/8] ^= 1 << (bit % 8)
		s, texts := openSegment(t, name, flipped)
		want, damaged := n-1, int64(1)
		if bit/8 < len(segmentHeader) {
			want, damaged = n, 0
		}
		if len(texts) != want || s.damaged.Load() != damaged {
			t.Fatalf("bit %d of byte %d: %v and %d damaged, want %d records and %d damaged",
				bit%8, bit/8, texts, s.damaged.Load(), want, damaged)
		}
		aside, _ := s.fs.ReadDir(s.path(dirDamaged))
		if len(aside) != int(damaged) {
			t.Fatalf("byte %d: %d files kept aside, want %d", bit/8, len(aside), damaged)
		}
		_ = s.Close()
	}
}
