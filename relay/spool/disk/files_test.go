package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"breakwater/relay/spool/spooltest"
	"breakwater/schemas"
)

func TestSpillCostsNoMemory(t *testing.T) {
	s := open(t, Config{MaxSize: 1 << 30})
	sp, err := s.Spill("shop")
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	chunk := make([]byte, 64<<10)
	const size = 100 << 20
	for range size / len(chunk) {
		if _, err := sp.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	rec := spooltest.Record(time.Now(), []string{"a"}, "")
	rec.Envelope.Items[0].Payload = sp
	if err := s.Append(context.Background(), rec); err != nil {
		t.Fatal(err)
	}
	c := take(t, s, "a")
	env, err := c.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	if n := env.Items[0].Payload.Size(); n != size {
		t.Fatalf("payload of %d bytes", n)
	}
	r, err := env.Items[0].Payload.Open()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		m, err := r.Read(chunk)
		if n += m; err != nil {
			break
		}
	}
	_ = r.Close()
	runtime.ReadMemStats(&after)
	if n != size {
		t.Fatalf("read %d bytes", n)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
		t.Fatalf("a 100 MiB payload took %d bytes of memory", took)
	}
	settle(t, c)
	s.Tick()
	if left := diskUsage(t, s.dir); left > 1<<20 {
		t.Fatalf("%d bytes left after it was settled", left)
	}
}

// A kill between a delivery and the note of it: the record is there again, and
// so is its file.
func TestFileStaysUntilItsEndIsDurable(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), MinFree: -1, MaxSize: 64 << 20}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	sp, err := s.Spill("shop")
	if err == nil {
		_, err = sp.Write(make([]byte, 100<<10))
	}
	if err := errors.Join(err, sp.Finish()); err != nil {
		t.Fatal(err)
	}
	rec := spooltest.Record(s.now(), []string{"a"}, "small")
	rec.Envelope.Items = append(rec.Envelope.Items, schemas.Item{Header: schemas.NewItemHeader("attachment"), Payload: sp})
	rec.Meta.Counts = append(rec.Meta.Counts, schemas.Count{Category: schemas.CategoryAttachment, Quantity: 1})
	if err := s.Append(context.Background(), rec); err != nil {
		t.Fatal(err)
	}
	s.ackIO.Lock() // the disk is slow with acknowledgements just now
	settle(t, take(t, s, "a"))
	s.collect()
	_ = s.lock.Close()
	s.mu.Lock()
	s.closed, s.dirty, s.trash = true, nil, nil
	s.mu.Unlock()
	again := open(t, cfg)
	if n := again.Stats().Damaged; n != 0 {
		t.Errorf("%d records are damaged", n)
	}
	env, err := take(t, again, "a").Envelope()
	if err != nil || env.Items[1].Payload.Size() != 100<<10 {
		t.Fatalf("the record came back with %+v, %v", env, err)
	}
	s.ackIO.Unlock()
	s.mu.Lock()
	s.closed = false
	s.mu.Unlock()
	s.abandon()
}

func TestOrphansGo(t *testing.T) {
	s := open(t, Config{})
	put(t, s, "x", "a")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"blobs/00.blob", "spill/11.tmp", "00000000000000ff-00000000.merging", "00000000000000fe-00000000.acks"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	index, _ := filepath.Glob(filepath.Join(s.dir, "*.index"))
	if err := os.WriteFile(index[0], []byte("not an index"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, Config{Dir: s.dir})
	var names []string
	_ = filepath.Walk(s.dir, func(p string, i os.FileInfo, _ error) error {
		if !i.IsDir() {
			names = append(names, filepath.Ext(p))
		}
		return nil
	})
	if got := strings.Join(names, " "); got != ".index .sealed " {
		t.Fatalf("the directory holds %q", got)
	}
	if n := again.Stats().Records; n != 1 {
		t.Fatalf("%d records, want 1", n)
	}
}
