package disk

import (
	"time"

	"breakwater/relay/spool"
)

// queue is one destination. What waits for it is found in three places: fresh
// records by a cursor over the segments' lists, released ones in the due heap
// until their time comes, then in the ready heap. Guarded by Spool.mu.
type queue struct {
	dst  spool.Destination
	proj *project

	all   []*segQueue // in the order of the segments
	cur   int         // no fresh record before all[cur]
	ready refHeap     // by sequence
	due   refHeap     // by time, in ns

	records, items, bytes int64
	inFlight              int64
	dead, deadBytes       int64

	// wake holds a token when a record may be ready; who takes it and leaves
	// more behind puts it back.
	wake chan struct{}
}

// project is what is shared by a project's queues.
type project struct {
	name   string
	bytes  int64 // of living records, each once
	queued int64 // of records in line for the writer, and of files that are in no record yet
}

// route is a project and the destinations one record goes to.
type route struct {
	proj      *project
	projectID uint64
	dests     []string
	queues    []*queue
}

// indexOf is the place of a queue in a route.
func (r *route) indexOf(q *queue) int {
	for i, have := range r.queues {
		if have == q {
			return i
		}
	}
	return -1
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// nextFresh is the oldest fresh record.
func (q *queue) nextFresh() (ref, bool) {
	for ; q.cur < len(q.all); q.cur++ {
		sq := q.all[q.cur]
		for ; sq.next < len(sq.st); sq.next++ {
			if sq.st[sq.next] == stFresh {
				return ref{sq, uint32(sq.next)}, true
			}
		}
		// One that may still grow is not passed, also where a merged segment,
		// which never holds fresh records, came behind it meanwhile.
		if q.cur == len(q.all)-1 || !sq.seg.sealed {
			break
		}
	}
	return ref{}, false
}

// ripen moves what is due into the ready heap.
func (q *queue) ripen(now time.Time) {
	ns := uint64(max(now.UnixNano(), 0))
	for len(q.due) > 0 && q.due[0].key <= ns {
		r := q.due.pop().ref
		if r.state() == stDelayed {
			r.sq.st[r.pos] = stReady
			q.ready.push(heapItem{r.entry().seq, r})
		}
	}
}

// peek finds the oldest record that is due; nextDue is when to look again
// when there is none (zero: when woken).
func (q *queue) peek(now time.Time) (r ref, ok bool, nextDue time.Time) {
	q.ripen(now)
	for len(q.ready) > 0 && q.ready[0].ref.state() != stReady {
		q.ready.pop()
	}
	fresh, haveFresh := q.nextFresh()
	if len(q.ready) > 0 && (!haveFresh || q.ready[0].key < fresh.entry().seq) {
		return q.ready[0].ref, true, time.Time{}
	}
	if haveFresh {
		return fresh, true, time.Time{}
	}
	if len(q.due) > 0 {
		return ref{}, false, time.Unix(0, int64(q.due[0].key))
	}
	return ref{}, false, time.Time{}
}

// forget removes a deleted segment's list, and stale references to it.
func (q *queue) forget(sq *segQueue) {
	for i, have := range q.all {
		if have == sq {
			q.all = append(q.all[:i], q.all[i+1:]...)
			if i < q.cur {
				q.cur--
			}
			break
		}
	}
	q.ready.dropOf(sq)
	q.due.dropOf(sq)
}

// oldest is the ReceivedAt of the oldest waiting record, 0 when there is none.
func (q *queue) oldest() (ms int64) {
	for _, sq := range q.all {
		if sq.pending == 0 {
			continue
		}
		for sq.low < len(sq.st) && !sq.st[sq.low].pending() {
			sq.low++
		}
		if sq.low == len(sq.st) {
			continue
		}
		if recv := (ref{sq, uint32(sq.low)}).entry().recv; ms == 0 || recv < ms {
			ms = recv
		}
	}
	return ms
}

// refHeap is a binary min-heap by key. Entries may be stale: who pops one
// checks its state.
type refHeap []heapItem

type heapItem struct {
	key uint64
	ref ref
}

func (h *refHeap) push(it heapItem) {
	*h = append(*h, it)
	s := *h
	for i := len(s) - 1; i > 0; {
		up := (i - 1) / 2
		if s[up].key <= s[i].key {
			break
		}
		s[up], s[i] = s[i], s[up]
		i = up
	}
}

func (h *refHeap) pop() heapItem {
	s := *h
	top := s[0]
	last := len(s) - 1
	s[0] = s[last]
	s[last] = heapItem{}
	s = s[:last]
	s.down(0)
	*h = s
	if cap(s) > 1024 && len(s) < cap(s)/4 {
		*h = append(make(refHeap, 0, len(s)*2), s...)
	}
	return top
}

func (h refHeap) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1].key < h[c].key {
			c++
		}
		if h[i].key <= h[c].key {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

func (h *refHeap) dropOf(sq *segQueue) {
	s := *h
	kept := s[:0]
	for _, it := range s {
		if it.ref.sq != sq {
			kept = append(kept, it)
		}
	}
	if len(kept) == len(s) {
		return
	}
	clear(s[len(kept):])
	for i := len(kept)/2 - 1; i >= 0; i-- {
		kept.down(i)
	}
	*h = kept
}
