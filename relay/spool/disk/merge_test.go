package disk

import (
	"fmt"
	"strings"
	"testing"
	"time"

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
