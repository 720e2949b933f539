package disk

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"breakwater/relay/spool"
	"breakwater/relay/spool/spooltest"
)

// A merged segment comes behind the active one in a queue's order. A queue
// that has drained both must still see what is appended to the active one.
func TestMergeBehindADrainedQueueHidesNothing(t *testing.T) {
	clock := spooltest.NewClock()
	s := open(t, Config{SegmentSize: 8 << 10, MaxSize: 4 << 20, Now: clock.Now})
	for i := range 64 { // b is down and gets every fifth; a takes all at once
		dests := []string{"a"}
		if i%5 == 0 {
			dests = append(dests, "b")
		}
		put(t, s, fmt.Sprintf("%d %s", i, strings.Repeat("x", 500)), dests...)
		settle(t, take(t, s, "a"))
	}
	clock.Advance(time.Minute)
	s.Tick()
	s.mu.Lock()
	last := s.segments[len(s.segments)-1]
	active := s.active
	_, more, _ := s.queue(spooltest.DestA).peek(clock.Now()) // what a waiting claim does
	s.mu.Unlock()
	if last.ext != extMerged || active == nil || active.size > s.segSize/2 || more {
		t.Fatalf("the last segment is %s, the active one is %v: the test proves nothing", last.name()+last.ext, active)
	}
	for i := range 40 { // into the active segment, and over its end
		id := put(t, s, fmt.Sprintf("later %d %s", i, strings.Repeat("x", 500)), "a")
		c := take(t, s, "a")
		if c.Meta().ID != id {
			t.Fatalf("claimed %s, want %s", c.Meta().ID, id)
		}
		settle(t, c)
	}
}

// TestMergeKeepsOrder moves records while they are claimed, delayed and dead.
func TestMergeKeepsOrder(t *testing.T) {
	clock := spooltest.NewClock()
	dir := t.TempDir()
	cfg := Config{Dir: dir, SegmentSize: 8 << 10, MaxSize: 4 << 20, MinFree: -1, Now: clock.Now}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range 60 {
		name := "a"
		if i%5 == 0 {
			name = "b"
		}
		id := put(t, s, fmt.Sprintf("%d %s", i, strings.Repeat("x", 500)), name)
		if name == "b" {
			ids = append(ids, id)
		} else {
			settle(t, take(t, s, "a"))
		}
	}
	held, delayed, dead := take(t, s, "b"), take(t, s, "b"), take(t, s, "b")
	delayed.Release(clock.Now().Add(time.Hour), "http_503")
	if err := dead.Bury("no"); err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Minute)
	s.Tick()
	s.mu.Lock()
	merged := 0
	for _, g := range s.segments {
		if g.ext == extMerged {
			merged++
		}
	}
	s.mu.Unlock()
	if merged == 0 {
		t.Fatal("nothing was merged")
	}
	put(t, s, "newest", "b")
	for _, want := range ids[3:6] {
		c := take(t, s, "b")
		if c.Meta().ID != want {
			t.Fatalf("claimed %s, want %s", c.Meta().ID, want)
		}
		settle(t, c)
	}
	settle(t, held)
	clock.Advance(time.Hour)
	s.Tick()
	if c := take(t, s, "b"); c.Meta().ID != ids[1] || c.Attempts() != 1 {
		t.Fatalf("the delayed record is %s after %d attempts, want %s after 1", c.Meta().ID, c.Attempts(), ids[1])
	}
	for range 2 { // as it is, and read from the disk again
		if n, _ := s.Retry(spool.Query{IDs: []string{"01ARZ3NDEKTSV4RRFFQ69G5FAV"}}); n != 0 {
			t.Fatal("retried an unknown record")
		}
		qs := s.Stats().Queues
		q := qs[len(qs)-1]
		if q.Dead != 1 || q.Records != 8 {
			t.Fatalf("queue b has %d records and %d dead letters, want 8 and 1", q.Records, q.Dead)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err = Open(cfg); err != nil {
			t.Fatal(err)
		}
	}
	if c := take(t, s, "b"); c.Meta().ID != ids[1] {
		t.Fatalf("after a restart first is %s, want %s", c.Meta().ID, ids[1])
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
