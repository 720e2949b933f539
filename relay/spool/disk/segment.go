package disk

import (
	"encoding/binary"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// The extensions of a segment tell its state; see the package comment.
const (
	extActive = ".active" // the writer appends to it
	extSealed = ".sealed" // complete
	extMerged = ".merged" // complete, made of the living records of others
	extMerge  = ".merging"
	extIndex  = ".index"
	extAcks   = ".acks"
)

// segmentHeader begins each segment, for people and for `file`.
var segmentHeader = []byte("breakwater log1\n")

// entry is what memory holds of a record: 40 bytes.
type entry struct {
	seq     uint64
	recv    int64  // ReceivedAt, ms since 1970
	off     uint32 // of the frame
	size    uint32 // of the frame
	qty     uint32 // items
	route   uint32
	pending uint16 // destinations that are not done with it
	dead    uint16 // destinations that hold it as a dead letter
	filed   bool   // has payloads in files
}

func (e *entry) living() bool { return e.pending > 0 || e.dead > 0 }

// state is where a record stands with one destination.
type state uint8

const (
	stFresh   state = iota // never claimed; found by the queue's cursor
	stReady                // due again; in the queue's ready heap
	stDelayed              // released; in the queue's due heap
	stClaimed
	stDead
	stDone
	stMoved // lies in a newer segment now
)

func (st state) pending() bool { return st <= stClaimed }

// retryInfo is what memory keeps of attempts; made when the first is needed.
type retryInfo struct {
	due      int64 // ms since 1970
	attempts uint16
	reason   uint16 // index of Spool.reasons
}

// segQueue are the records of one segment for one destination.
type segQueue struct {
	seg     *segment
	q       *queue
	idx     []uint32 // entries, ascending
	st      []state
	retry   []retryInfo // nil until one was released
	next    int         // no fresh record before it
	low     int         // no pending record before it
	pending int
	dead    int
	fwd     map[uint32]ref // where records moved to
}

// ref is one record for one destination.
type ref struct {
	sq  *segQueue
	pos uint32
}

// now follows moves.
func (r ref) now() ref {
	for {
		n, ok := r.sq.fwd[r.pos]
		if !ok {
			return r
		}
		r = n
	}
}

func (r ref) entry() *entry { return &r.sq.seg.entries[r.sq.idx[r.pos]] }

func (r ref) state() state { return r.sq.st[r.pos] }

func (r ref) info() *retryInfo {
	if r.sq.retry == nil {
		r.sq.retry = make([]retryInfo, len(r.sq.st), cap(r.sq.st))
	}
	for len(r.sq.retry) < len(r.sq.st) {
		r.sq.retry = append(r.sq.retry, retryInfo{})
	}
	return &r.sq.retry[r.pos]
}

// peek is info without making room for it.
func (r ref) peek() retryInfo {
	if int(r.pos) < len(r.sq.retry) {
		return r.sq.retry[r.pos]
	}
	return retryInfo{}
}

// segment is one file of records. All fields are guarded by Spool.mu, but for
// what its comment says otherwise.
type segment struct {
	no   uint64
	salt uint32
	ext  string

	size      int64 // of the file, as far as it counts
	entries   []entry
	sqs       []*segQueue
	live      int   // entries that are living
	liveBytes int64 // their frames
	minRecv   int64 // no pending record is older
	lastAck   int64 // ms since 1970
	partial   map[uint32][]schemas.Final
	blobs     map[uint32][]blobRef

	ackBuf    []byte // entries not yet written
	ackLoose  []byte // the last of those written, not yet synced; guarded by Spool.ackIO
	ackDoubt  bool   // ackLoose must be written again; guarded by Spool.ackIO
	ackSize   int64  // guarded by Spool.ackIO
	ackFile   bool   // there is one; guarded by Spool.ackIO
	indexSize int64

	file   file
	pins   int
	sealed bool // the writer is through with it
	gone   bool
	used   uint64 // for choosing which file to close

	index indexBuilder // the writer's, while active
}

// name is without the extension.
func (g *segment) name() string { return fmt.Sprintf("%016x-%08x", g.no, g.salt) }

// parseSegmentName splits a file name of the directory.
func parseSegmentName(name string) (no uint64, salt uint32, ext string, ok bool) {
	base, ext, found := strings.Cut(name, ".")
	if !found || len(base) != 25 || base[16] != '-' {
		return 0, 0, "", false
	}
	no, err1 := strconv.ParseUint(base[:16], 16, 64)
	s, err2 := strconv.ParseUint(base[17:], 16, 32)
	if err1 != nil || err2 != nil {
		return 0, 0, "", false
	}
	return no, uint32(s), "." + ext, true
}

// queueOf finds or makes the segment's list for a queue.
func (g *segment) queueOf(q *queue) *segQueue {
	for i := len(q.all) - 1; i >= 0; i-- { // almost always the last
		if q.all[i].seg == g {
			return q.all[i]
		}
	}
	sq := &segQueue{seg: g, q: q}
	g.sqs = append(g.sqs, sq)
	q.all = append(q.all, sq)
	return sq
}

// find is where an entry stands for one queue.
func (g *segment) find(q *queue, idx uint32) (ref, bool) {
	for _, sq := range g.sqs {
		if sq.q != q {
			continue
		}
		i := sort.Search(len(sq.idx), func(i int) bool { return sq.idx[i] >= idx })
		if i < len(sq.idx) && sq.idx[i] == idx {
			return ref{sq, uint32(i)}, true
		}
	}
	return ref{}, false
}

// bytesOf is an entry's size with its files.
func (g *segment) bytesOf(idx uint32) int64 {
	e := &g.entries[idx]
	n := int64(e.size)
	if e.filed {
		for _, b := range g.blobs[idx] {
			n += b.size
		}
	}
	return n
}

// indexBuilder collects the index file of a segment as it grows.
type indexBuilder struct {
	body  []byte
	count uint32
}

func (b *indexBuilder) add(off, size uint32, kind frameKind, id recordID, headBytes []byte) {
	b.body = binary.LittleEndian.AppendUint32(b.body, off)
	b.body = binary.LittleEndian.AppendUint32(b.body, size)
	b.body = append(b.body, byte(kind))
	b.body = append(b.body, id[:]...)
	b.body = spool.AppendBytes(b.body, headBytes)
	b.count++
}
