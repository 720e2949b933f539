package disk

import (
	"strings"
	"testing"
	"time"

	"breakwater/relay/spool"
	"breakwater/relay/spool/spooltest"
)

// audit counts every state again and compares it with the counts that are
// kept along the way; each of them decides what lives, moves or goes. Nothing
// may be on its way in.
func audit(t failer, s *Spool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	type sums struct{ records, items, bytes, inFlight, dead, deadBytes int64 }
	queues, projects, records := map[*queue]*sums{}, map[*project]int64{}, int64(0)
	for _, q := range s.queues {
		queues[q] = &sums{}
	}
	for _, g := range s.segments {
		live, liveBytes := 0, int64(0)
		for i := range g.entries {
			e, pending, dead := &g.entries[i], 0, 0
			size := g.bytesOf(uint32(i))
			for _, q := range s.routes[e.route].queues {
				r, ok := g.find(q, uint32(i))
				if !ok {
					t.Fatalf("%s: record %d is not listed for %s", g.name(), e.seq, q.dst)
				}
				sum, st := queues[q], r.state()
				if st.pending() {
					pending++
					sum.records, sum.items, sum.bytes = sum.records+1, sum.items+int64(e.qty), sum.bytes+size
				}
				if st == stClaimed {
					sum.inFlight++
				}
				if st == stDead {
					dead++
					sum.dead, sum.deadBytes = sum.dead+1, sum.deadBytes+size
				}
			}
			if pending != int(e.pending) || dead != int(e.dead) {
				t.Fatalf("%s: record %d counts %d pending and %d dead, but %d and %d are", g.name(), e.seq, e.pending, e.dead, pending, dead)
			}
			if e.living() {
				live, liveBytes = live+1, liveBytes+int64(e.size)
				projects[s.routes[e.route].proj] += size
			}
		}
		if live != g.live || liveBytes != g.liveBytes {
			t.Fatalf("%s counts %d living records of %d bytes, but %d of %d are", g.name(), g.live, g.liveBytes, live, liveBytes)
		}
		records += int64(live)
	}
	if records != s.records {
		t.Fatalf("%d records are counted, but %d are there", s.records, records)
	}
	for _, p := range s.projects {
		if projects[p] != p.bytes {
			t.Fatalf("project %s counts %d bytes, but %d are there", p.name, p.bytes, projects[p])
		}
		if p.queued != 0 || s.queued != 0 {
			t.Fatalf("%d bytes of %s and %d in all are on their way, but nobody is appending", p.queued, p.name, s.queued)
		}
	}
	for q, n := range queues {
		if have := (sums{q.records, q.items, q.bytes, q.inFlight, q.dead, q.deadBytes}); have != *n {
			t.Fatalf("%s counts %+v, but %+v are there", q.dst, have, *n)
		}
	}
}

// A merged record that is a dead letter of one destination must count as one
// there, and go for good when that one is done with it too. Counted twice it
// stayed for ever, and the next merge made a second record of it.
func TestDeadLetterThroughTwoMerges(t *testing.T) {
	clock := spooltest.NewClock()
	s := open(t, Config{SegmentSize: 4 << 10, MaxSize: 4 << 20, Now: clock.Now})
	filler := strings.Repeat("x", 900)
	last := func() *segment {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.segments[len(s.segments)-1]
	}
	merge := func() {
		t.Helper()
		put(t, s, "stays", "b") // one that makes its segment worth a merge
		for range 5 {           // what is soon done, into the next segment, so that the first is sealed
			put(t, s, filler, "a")
			settle(t, take(t, s, "a"))
		}
		before := last()
		clock.Advance(time.Minute)
		s.Tick()
		if g := last(); g == before || g.ext != extMerged {
			t.Fatal("nothing was merged: the test proves nothing")
		}
		audit(t, s)
	}
	id := put(t, s, "x", "a", "b")
	if err := take(t, s, "a").Bury("no"); err != nil {
		t.Fatal(err)
	}
	merge()
	if n, err := s.Retry(spool.Query{IDs: []string{id}}); n != 1 || err != nil {
		t.Fatalf("retry: %d, %v", n, err)
	}
	if err := take(t, s, "a").Bury("no, again"); err != nil {
		t.Fatal(err)
	}
	settle(t, take(t, s, "b"))
	merge()
	n := 0
	if err := s.List(spool.Query{Dead: true}, func(spool.Entry) bool { n++; return true }); err != nil || n != 1 {
		t.Fatalf("%d dead letters are listed, want 1: %v", n, err)
	}
	if n, err := s.Drop(spool.Query{IDs: []string{id}, Dead: true}); n != 1 || err != nil {
		t.Fatalf("drop: %d, %v", n, err)
	}
	for range 2 {
		settle(t, take(t, s, "b"))
	}
	clock.Advance(time.Minute)
	s.Tick()
	audit(t, s)
	if st := s.Stats(); st.Records != 0 {
		t.Fatalf("%d records are left", st.Records)
	}
}
