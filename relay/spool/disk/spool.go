package disk

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/relay/spool"
)

var _ spool.Engine = (*Spool)(nil)

// Config is what a spool needs. Zero values get the default in brackets.
type Config struct {
	// Dir is the spool's own directory; it is made when missing.
	Dir string
	// MaxSize bounds what the spool takes on disk, in bytes [10 GiB].
	MaxSize int64
	// MinFree is what must stay free on the file system, in bytes [512 MiB; negative: 0].
	MinFree int64
	// MaxAge is how long after ReceivedAt a record still waits, before it
	// ends as expired [720 h; negative: for ever]. Dead letters do not expire.
	MaxAge time.Duration
	// ProjectShare is the part of MaxSize one project may hold, 0 to 1 [0.5].
	ProjectShare float64
	// SegmentSize is when a new segment begins, in bytes [64 MiB, at most a
	// sixteenth of MaxSize]. Smaller ones give disk back sooner.
	SegmentSize int64
	// DeadLetterSize bounds the dead letters, in bytes [a tenth of MaxSize];
	// beyond it the oldest are dropped.
	DeadLetterSize int64
	// Now is the clock [time.Now]. After turning one by hand, call Tick.
	Now func() time.Time
	// Logger is told of changes of state; never of payloads.
	Logger zerolog.Logger
	// Observer keeps the ledger [nobody].
	Observer spool.Observer
	// Registerer gets the metrics [none].
	Registerer prometheus.Registerer

	fs fileSystem // the real one unless a test says otherwise
}

// Spool is a spool in a directory. Make one with Open.
type Spool struct {
	dir      string
	fs       fileSystem
	now      func() time.Time
	log      zerolog.Logger
	observer spool.Observer
	metrics  *metrics
	lock     io.Closer
	segSize  int64
	chance   uint16 // the last bits of every id of this process

	// appendings are reused. They hold channels, so the pool is the spool's own.
	appendings sync.Pool

	used    atomic.Int64 // bytes on disk
	growth  spool.Growth // of used
	damaged atomic.Int64

	// ackIO guards the ack files and the removal of segments; taken before mu.
	ackIO   sync.Mutex
	newAcks map[*segment]struct{} // whose names are not durable

	// mu guards everything below and all segments and queues. No file is
	// touched under it.
	mu         sync.Mutex
	closed     bool
	limits     spool.Limits
	segments   []*segment // by number; the active one among them
	active     *segment   // nil until the next append
	lastNo     uint64
	lastSeq    uint64
	lastMs     int64
	lastAppend time.Time
	queues     map[spool.Destination]*queue
	projects   map[string]*project
	routes     []*route
	routeIDs   map[string]uint32
	reasons    []string
	reasonIDs  map[string]uint16
	records    int64
	waiting    []*appending
	queued     int64 // bytes of waiting and of what the writer has
	free       int64
	freeUsed   int64 // used when free was read
	dirty      []*segment
	unsynced   map[*segment]struct{}
	ackWaiters []chan error
	trash      []string // blobs to remove once the acknowledgements that say so are durable
	freed      []string // blobs to remove now
	openFiles  int
	useClock   uint64

	wakeWriter chan struct{}
	wakeKeeper chan struct{}
	ackWake    chan struct{}
	ackUrgent  chan struct{}
	ticks      chan chan struct{}
	done       chan struct{} // closed by Close: wakes claims
	writerDone chan struct{}
	quit       chan struct{} // stops acker and keeper
	wg         sync.WaitGroup
}

// Open opens or makes the spool in cfg.Dir and takes its lock. It removes what
// a crash left half done, tells cfg.Observer of every record found waiting,
// and never fails for a damaged record. Errors: spool.ErrLocked when another
// process has the directory; others are faults of the disk.
func Open(cfg Config) (*Spool, error) {
	s, err := newSpool(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("opening spool: %w", err), s.lock.Close())
	}
	if cfg.Registerer != nil {
		if err := s.metrics.register(cfg.Registerer, s); err != nil {
			return nil, errors.Join(err, s.lock.Close())
		}
	}
	s.refreshFree()
	s.wg.Add(2)
	go s.writer()
	go s.acker()
	go s.keeper()
	return s, nil
}

func newSpool(cfg Config) (*Spool, error) {
	if cfg.Dir == "" {
		return nil, errors.New("opening spool: no directory given")
	}
	limits := spool.Limits{
		MaxSize: cfg.MaxSize, MinFree: cfg.MinFree, MaxAge: cfg.MaxAge, ProjectShare: cfg.ProjectShare, DeadLetterSize: cfg.DeadLetterSize,
	}.WithDefaults()
	s := &Spool{
		dir: cfg.Dir, fs: cfg.fs, now: cfg.Now, log: cfg.Logger, observer: cfg.Observer,
		metrics: newMetrics(), segSize: cfg.SegmentSize, chance: uint16(rand.Uint32()), limits: limits,
		newAcks: map[*segment]struct{}{}, unsynced: map[*segment]struct{}{},
		queues: map[spool.Destination]*queue{}, projects: map[string]*project{}, routeIDs: map[string]uint32{},
		reasons: []string{""}, reasonIDs: map[string]uint16{"": 0},
		wakeWriter: make(chan struct{}, 1), wakeKeeper: make(chan struct{}, 1),
		ackWake: make(chan struct{}, 1), ackUrgent: make(chan struct{}, 1), ticks: make(chan chan struct{}),
		done: make(chan struct{}), writerDone: make(chan struct{}), quit: make(chan struct{}),
	}
	s.appendings.New = func() any { return &appending{done: make(chan struct{}, 1)} }
	if s.fs == nil {
		s.fs = osFS{}
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.observer == nil {
		s.observer = spool.Nobody{}
	}
	if s.segSize <= 0 {
		s.segSize = 64 << 20
	}
	s.segSize = max(min(s.segSize, limits.MaxSize/16, 1<<30), 4<<10)
	for _, dir := range []string{s.dir, s.path(dirBlobs), s.path(dirSpill), s.path(dirDamaged)} {
		if err := s.fs.MkdirAll(dir); err != nil {
			return nil, fmt.Errorf("opening spool: %w", err)
		}
	}
	lock, err := s.fs.Lock(s.path("lock"))
	if err != nil {
		return nil, fmt.Errorf("opening spool: %w", err)
	}
	s.lock = lock
	return s, nil
}

// SetLimits changes the limits of a spool in use; zero values get the defaults. What is stored stays, also where it is now too much.
func (s *Spool) SetLimits(l spool.Limits) {
	s.mu.Lock()
	s.limits = l.WithDefaults()
	s.mu.Unlock()
	kick(s.wakeKeeper)
}

// Expect makes the queues of configured destinations known before they get a
// record, so that Stats and the metrics show them empty.
func (s *Spool) Expect(dsts ...spool.Destination) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range dsts {
		s.queue(d)
	}
}

// Ready is nil until Close: whether there is room, an append tells.
func (s *Spool) Ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return spool.ErrClosed
	}
	return nil
}

// Tick makes the spool read its clock and do what is due: wake claims, expire
// records, give disk back. It returns when that is done. A spool on real time
// does so by itself, about once a second.
func (s *Spool) Tick() {
	s.mu.Lock()
	for _, q := range s.queues {
		q.signal()
	}
	s.mu.Unlock()
	finished := make(chan struct{})
	select {
	case s.ticks <- finished:
		<-finished
	case <-s.quit:
	}
}

// Close writes what waits, flushes acknowledgements and lets go of the
// directory. Claims still out are given again after the next Open.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.done)
	s.mu.Unlock()
	kick(s.wakeWriter)
	<-s.writerDone
	close(s.quit)
	s.wg.Wait()
	_ = s.flushAcks(true) // logged; what is lost is delivered again
	s.mu.Lock()
	g := s.active
	s.active = nil
	s.mu.Unlock()
	if g != nil {
		s.seal(g, false)
	}
	s.collect()
	s.mu.Lock()
	for _, g := range s.segments {
		if g.file != nil {
			_ = g.file.Close()
			g.file = nil
		}
	}
	s.mu.Unlock()
	s.metrics.registered.Unregister()
	return errors.Join(s.fs.SyncDir(s.dir), s.lock.Close())
}

// Stats describes the spool and every queue that has or had records or claims.
func (s *Spool) Stats() spool.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := spool.Stats{
		Capacity: s.limits.MaxSize, Used: s.used.Load(), Free: s.freeNow(),
		Records: s.records, Damaged: s.damaged.Load(), MinFree: s.limits.MinFree, Growth: s.growth.PerSecond(),
		Projects: []spool.ProjectUse{},
	}
	for _, p := range s.projects {
		st.Projects = append(st.Projects, spool.ProjectUse{
			Project: p.name, Bytes: p.bytes + p.queued, Limit: int64(s.limits.ProjectShare * float64(s.limits.MaxSize)),
		})
	}
	slices.SortFunc(st.Projects, func(a, b spool.ProjectUse) int { return strings.Compare(a.Project, b.Project) })
	for _, q := range s.queues {
		out := spool.Queue{
			Destination: q.dst, Records: q.records, Items: q.items, Bytes: q.bytes,
			InFlight: q.inFlight, Dead: q.dead, DeadSize: q.deadBytes,
		}
		if ms := q.oldest(); ms != 0 {
			out.Oldest = fromMillis(ms)
		}
		st.Queues = append(st.Queues, out)
	}
	sortQueues(st.Queues)
	return st
}

// queue finds or makes the queue of a destination. Under mu.
func (s *Spool) queue(dst spool.Destination) *queue {
	q, ok := s.queues[dst]
	if !ok {
		q = &queue{dst: dst, proj: s.project(dst.Project), wake: make(chan struct{}, 1)}
		s.queues[dst] = q
	}
	return q
}

func (s *Spool) project(name string) *project {
	p, ok := s.projects[name]
	if !ok {
		p = &project{name: name}
		s.projects[name] = p
	}
	return p
}

// routeOf finds or makes the route of a key. Under mu.
func (s *Spool) routeOf(key []byte) (uint32, error) {
	if id, ok := s.routeIDs[string(key)]; ok {
		return id, nil
	}
	name, pid, dests, err := parseRouteKey(key)
	if err != nil {
		return 0, err
	}
	r := &route{proj: s.project(name), projectID: pid, dests: dests}
	for _, d := range dests {
		r.queues = append(r.queues, s.queue(spool.Destination{Project: name, Name: d}))
	}
	id := uint32(len(s.routes))
	s.routes = append(s.routes, r)
	s.routeIDs[string(key)] = id
	return id, nil
}

// maxReasons bounds how many different reasons are remembered.
const maxReasons = 4096

// reasonID keeps one copy of a reason's text. Under mu.
func (s *Spool) reasonID(text string) uint16 {
	text = clip(text)
	if id, ok := s.reasonIDs[text]; ok {
		return id
	}
	if len(s.reasons) >= maxReasons {
		if text == otherReason {
			return 0
		}
		return s.reasonIDs[otherReason]
	}
	if len(s.reasons) == maxReasons-1 {
		text = otherReason
	}
	id := uint16(len(s.reasons))
	s.reasons = append(s.reasons, text)
	s.reasonIDs[text] = id
	return id
}

const otherReason = "other"

func kick(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
