package disk

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	t       failer
	fs      *simFS
	clock   *spooltest.Clock
	s       *Spool
	texts   map[string]string // by id
	said    map[string]map[spool.Destination]promise
	obs     spool.Observer
	tried   []string // texts, taken or not
	strange []string // ids of records that were claimed and never acknowledged
	acked   []func() // what a clean stop makes certain
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
	w.tried = append(w.tried, text)
	if spilled {
		sp, err := w.s.Spill("shop")
		if err != nil {
			return err
		}
		if _, err := sp.Write([]byte(text)); err != nil {
			sp.Discard()
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
	if w.said[c.Meta().ID] == nil { // of an append that was refused
		w.strange = append(w.strange, c.Meta().ID)
		w.said[c.Meta().ID] = map[spool.Destination]promise{spooltest.DestA: unknown, spooltest.DestB: unknown}
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
		if slices.Contains(w.strange, id) {
			continue // nothing was promised
		}
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
	if w.retryOpen() != nil {
		return
	}
	w.part(0)
	audit(w.t, w.s)
	clean := w.s.Close() == nil
	if w.fs.off() {
		return
	}
	for _, f := range w.acked {
		if clean { // else an acknowledgement may not have been written
			f()
		}
	}
	w.acked = nil
	if w.retryOpen() != nil {
		return
	}
	w.part(1)
	audit(w.t, w.s)
	_ = w.s.Close()
}

// retryOpen opens, again if the disk failed: nothing that it left half done
// may be in the way.
func (w *world) retryOpen() (err error) {
	for range 3 {
		if err = w.open(); err == nil || w.fs.off() {
			return err
		}
	}
	return err
}

func (w *world) part(n int) {
	for i := range 12 {
		_ = w.append(fmt.Sprintf("%d.%d %s", n, i, strings.Repeat("x", 700)), i%5 == 2)
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
		w.fs.beforeRename(func(to string) {
			if strings.HasSuffix(to, extMerged) {
				w.fs.beforeRename(nil)
				w.bury(c, spooltest.DestB)
			}
		})
	}
	_ = w.s.flushAcks(true) // so that the merge has to sync for itself
	w.clock.Advance(time.Minute)
	w.s.Tick()
	w.fs.beforeRename(nil)
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
