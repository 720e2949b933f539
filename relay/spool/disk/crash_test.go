package disk

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"breakwater/relay/spool"
	"breakwater/relay/spool/spooltest"
	"breakwater/schemas"
)

// promise is what the spool has said about a record for one destination.
type promise int

const (
	kept    promise = iota // must be claimable
	buried                 // must be a dead letter
	ended                  // was settled before a clean stop: must not come back
	unknown                // an acknowledgement was on its way
)

// failer ends a test; that of a random life tells which step it was.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// world runs a spool on a simFS and keeps a book of what was promised.
type world struct {
	t     failer
	fs    *simFS
	clock *spooltest.Clock
	s     *Spool
	texts map[string]string // by id
	said  map[string]map[spool.Destination]promise
	obs   spool.Observer
	acked []func() // what a clean stop makes certain
}

func newWorld(t failer, fs *simFS) *world {
	return &world{t: t, fs: fs, clock: spooltest.NewClock(), texts: map[string]string{}, said: map[string]map[spool.Destination]promise{}}
}

func (w *world) open() error {
	var err error
	w.s, err = Open(Config{
		Dir: "spool", MinFree: -1, MaxSize: 1 << 20, ProjectShare: 1, SegmentSize: 4 << 10, DeadLetterSize: 1 << 20,
		MaxAge: -1, Now: w.clock.Now, Observer: w.obs, fs: w.fs,
	})
	return err
}

func (w *world) append(text string, spilled bool) error {
	rec := spooltest.Record(w.clock.Now(), []string{"a", "b"}, text)
	if spilled {
		sp, err := w.s.Spill()
		if err != nil {
			return err
		}
		if _, err := sp.Write([]byte(text)); err != nil {
			return err
		}
		if err := sp.Finish(); err != nil {
			return err
		}
		rec.Envelope.Items[0].Payload = sp
	}
	if err := w.s.Append(context.Background(), rec); err != nil {
		return err
	}
	w.texts[rec.Meta.ID] = text
	w.said[rec.Meta.ID] = map[spool.Destination]promise{spooltest.DestA: kept, spooltest.DestB: kept}
	return nil
}

// claim takes the next record of dst that is there; nil when there is none.
func (w *world) claim(dst spool.Destination) spool.Claim {
	if w.fs.off() {
		return nil
	}
	w.s.mu.Lock()
	_, ok, _ := w.s.queue(dst).peek(w.clock.Now())
	w.s.mu.Unlock()
	if !ok {
		return nil
	}
	// With the power off the record cannot be read and the claim would wait
	// for the next try.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := time.AfterFunc(50*time.Millisecond, cancel)
	defer stop.Stop()
	c, err := w.s.Claim(ctx, dst)
	if err != nil {
		return nil
	}
	return c
}

func (w *world) finish(c spool.Claim, dst spool.Destination) {
	w.said[c.Meta().ID][dst] = unknown
	if c.Settle(schemas.AllFinal(1, schemas.Delivered, "")) == nil {
		w.acked = append(w.acked, func() { w.said[c.Meta().ID][dst] = ended })
	}
}

func (w *world) bury(c spool.Claim, dst spool.Destination) {
	w.said[c.Meta().ID][dst] = unknown
	if c.Bury("no") == nil {
		w.said[c.Meta().ID][dst] = buried
	}
}

// check compares an opened spool with the book, and reads every record.
func (w *world) check(what string) {
	w.t.Helper()
	where := map[bool]map[string]bool{false: {}, true: {}}
	for _, dead := range []bool{false, true} {
		err := w.s.List(spool.Query{Dead: dead}, func(e spool.Entry) bool {
			key := e.Meta.ID + " " + e.Destination.String()
			if where[dead][key] {
				w.t.Errorf("%s: %s is there twice", what, key)
			}
			where[dead][key] = true
			return true
		})
		if err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
	}
	for id, dests := range w.said {
		for dst, p := range dests {
			key := id + " " + dst.String()
			pending, dead := where[false][key], where[true][key]
			if (p == kept && !pending) || (p == buried && (!dead || pending)) || (pending && dead) || (p == ended && (pending || dead)) {
				w.t.Fatalf("%s: %s was promised as %d; pending %v, dead %v", what, key, p, pending, dead)
			}
			if !pending && !dead {
				continue
			}
			rec, err := w.s.Open(id)
			if err != nil {
				w.t.Fatalf("%s: %v", what, err)
			}
			if got := read(w.t, rec.Envelope.Items[0].Payload); got != w.texts[id] {
				w.t.Fatalf("%s: %s has changed: %d bytes, want %d", what, id, len(got), len(w.texts[id]))
			}
		}
	}
}

func read(t failer, b schemas.Body) string {
	t.Helper()
	r, err := b.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out strings.Builder
	buf := make([]byte, 512)
	for {
		n, err := r.Read(buf)
		out.Write(buf[:n])
		if err != nil {
			return out.String()
		}
	}
}

// story is a life with everything in it: appends, spills, settles, burials,
// retries, drained segments, merges, a restart.
func (w *world) story() {
	if w.open() != nil {
		return
	}
	w.part(0)
	if w.s.Close() != nil || w.fs.off() {
		return
	}
	for _, f := range w.acked {
		f()
	}
	if w.open() != nil {
		return
	}
	w.part(1)
	_ = w.s.Close()
}

func (w *world) part(n int) {
	for i := range 12 {
		if w.append(fmt.Sprintf("%d.%d %s", n, i, strings.Repeat("x", 700)), i%5 == 2) != nil {
			return
		}
		if i%4 == 3 {
			w.acknowledge(i)
		}
		if w.fs.off() {
			return
		}
	}
	// A is far ahead of b: what b holds is sparse, and is merged.
	for range 10 {
		if c := w.claim(spooltest.DestA); c != nil {
			w.finish(c, spooltest.DestA)
		}
	}
	for range 5 {
		if c := w.claim(spooltest.DestB); c != nil {
			w.finish(c, spooltest.DestB)
		}
	}
	// While the merge has copied everything but is not known yet, one record
	// is buried: that must hold, wherever the record is found later.
	if c := w.claim(spooltest.DestB); c != nil && n == 0 {
		w.fs.onRename = func(to string) {
			if strings.HasSuffix(to, extMerged) {
				w.fs.onRename = nil
				w.bury(c, spooltest.DestB)
			}
		}
	}
	_ = w.s.flushAcks(true) // so that the merge has to sync for itself
	w.clock.Advance(time.Minute)
	w.s.Tick()
	w.fs.onRename = nil
	w.retry()
	_ = w.append("between", false)
	if c := w.claim(spooltest.DestB); c != nil {
		w.bury(c, spooltest.DestB)
	}
	_ = w.append("last", false)
}

func (w *world) acknowledge(i int) {
	if c := w.claim(spooltest.DestA); c != nil {
		w.finish(c, spooltest.DestA)
	}
	if c := w.claim(spooltest.DestB); c != nil {
		if i%8 == 3 {
			w.bury(c, spooltest.DestB)
		} else {
			w.finish(c, spooltest.DestB)
		}
	}
}

// retry revives one dead letter.
func (w *world) retry() {
	for id, dests := range w.said {
		if dests[spooltest.DestB] == buried {
			dests[spooltest.DestB] = unknown
			if n, err := w.s.Retry(spool.Query{IDs: []string{id}, Destination: "b"}); n == 1 && err == nil {
				dests[spooltest.DestB] = kept
			}
			return
		}
	}
}

// TestPowerCut cuts the power at every call that changes the disk, throws away
// or tears what was not durable, and starts again: nothing that was promised
// may be missing.
func TestPowerCut(t *testing.T) {
	whole := newWorld(t, newSimFS())
	whole.story()
	steps := whole.fs.steps
	if steps < 100 {
		t.Fatalf("the story has %d steps only", steps)
	}
	merged := false
	for cut := 1; cut <= steps+2; cut++ {
		w := newWorld(t, newSimFS())
		w.fs.cutAt = cut
		w.story()
		for i := range 8 { // chance decides what is left
			r := rand.New(rand.NewPCG(uint64(cut), uint64(i)))
			again := *w
			again.fs = w.fs.crash(r)
			for name := range again.fs.files {
				merged = merged || strings.HasSuffix(name, extMerged)
			}
			what := fmt.Sprintf("cut %d, chance %d", cut, i)
			if err := again.open(); err != nil {
				t.Fatalf("%s: opening: %v", what, err)
			}
			again.check(what)
			if n := again.s.damaged.Load(); n > 1 {
				t.Fatalf("%s: %d damaged records, at most the torn batch may be one", what, n)
			}
			again.texts, again.said = map[string]string{}, map[string]map[spool.Destination]promise{}
			if err := again.append("life goes on", false); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			_ = again.s.Close()
		}
		abandon(w.s)
	}
	if !merged {
		t.Fatal("the story never had a merged segment: it does not test what it should")
	}
}

// abandon stops the goroutines of a spool whose disk is gone.
func abandon(s *Spool) {
	if s != nil {
		_ = s.Close()
	}
}

func TestFullDisk(t *testing.T) {
	w := newWorld(t, newSimFS())
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.s.Close() }()
	w.fs.capacity = 20 << 10
	var full *spool.FullError
	for i := 0; ; i++ {
		err := w.append(fmt.Sprintf("%d %s", i, strings.Repeat("y", 1000)), false)
		if err == nil {
			continue
		}
		if !errors.As(err, &full) || full.Why != "disk" || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("append on a full disk: %v", err)
		}
		break
	}
	if len(w.texts) < 10 {
		t.Fatalf("only %d records fitted", len(w.texts))
	}
	for range 3 {
		if w.append("no room", false) == nil && w.fs.used() > w.fs.capacity {
			t.Fatal("stored beyond the capacity")
		}
	}
	sp, err := w.s.Spill()
	if err == nil {
		if _, err = sp.Write(make([]byte, 64<<10)); !errors.As(err, &full) {
			t.Fatalf("spilling on a full disk: %v", err)
		}
		sp.Discard()
	}
	w.check("while full")
	w.fs.mu.Lock()
	w.fs.capacity = 0 // somebody made room; no restart
	w.fs.mu.Unlock()
	for i := range 5 {
		if err := w.append(fmt.Sprintf("after %d", i), false); err != nil {
			t.Fatalf("append with room again: %v", err)
		}
	}
	w.check("with room again")
	w.fs = w.fs.crash(rand.New(rand.NewPCG(1, 2)))
	old := w.s
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	abandon(old)
	w.check("after a crash")
	if n := w.s.damaged.Load(); n != 0 {
		t.Fatalf("%d damaged records: half a record was left in front of good ones", n)
	}
}

func TestFailedSync(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fails int
		ok    bool
	}{{"once", 1, true}, {"twice", 2, false}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, newSimFS())
			if err := w.open(); err != nil {
				t.Fatal(err)
			}
			if err := w.append("before", false); err != nil {
				t.Fatal(err)
			}
			left := tc.fails
			w.fs.failSync = func(path string) error {
				if left > 0 && strings.HasSuffix(path, extActive) {
					left--
					return syscall.EIO
				}
				return nil
			}
			err := w.append("during", false)
			if (err == nil) != tc.ok {
				t.Fatalf("append: %v", err)
			}
			if err := w.append("after", false); err != nil {
				t.Fatal(err)
			}
			for i := range uint64(20) {
				again := *w
				again.fs = w.fs.crash(rand.New(rand.NewPCG(i, 7)))
				if err := again.open(); err != nil {
					t.Fatal(err)
				}
				again.check("after a crash")
				if n := again.s.Stats().Records; n != int64(len(w.texts)) {
					t.Fatalf("%d records, want %d: a failed append must not come back", n, len(w.texts))
				}
				_ = again.s.Close()
			}
			abandon(w.s)
		})
	}
}

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
	if err := w.open(); err != nil {
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
