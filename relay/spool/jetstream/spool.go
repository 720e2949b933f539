package jetstream

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/oklog/ulid/v2"
	"github.com/rs/zerolog"

	"breakwater/relay/spool"
)

var (
	_ spool.Engine  = (*Spool)(nil)
	_ spool.Adopter = (*Spool)(nil)
)

// Spool is one gateway's part in the spool on a set of streams. Make one with
// Open.
type Spool struct {
	cfg      Config
	names    names
	life     string // of this process, in what it stores
	now      func() time.Time
	log      zerolog.Logger
	observer spool.Observer
	metrics  *metrics
	conn     *nats.Conn
	js       jetstream.JetStream
	large    jetstream.ObjectStore

	recordStream, deadStream, stateStream jetstream.Stream

	dir    string
	ownDir bool // dir is temporary

	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	wg        sync.WaitGroup
	wakeProbe chan struct{}
	flushes   chan struct{} // bounds the flushes under way

	stats    statistics
	listed   *lru.Cache[cursor, position] // where records were listed
	looking  atomic.Bool                  // the keeper's look at the streams
	opened   atomic.Bool                  // the streams were there
	waits    atomic.Pointer[waits]        // while Open is at work
	suspect  atomic.Bool                  // one of them may not be there any more
	doubtful *lru.Cache[string, struct{}] // see doubt
	orphans  map[string]time.Time         // of the last sweep: what nobody needed, and since when

	// mu guards everything below, and all messages and queues. Nobody waits for
	// a server under it.
	mu       sync.Mutex
	closed   bool
	limits   spool.Limits
	entropy  *ulid.MonotonicEntropy
	projects map[string]*project
	queues   map[spool.Destination]*queue
	messages map[uint64]*message
	requests map[*request]struct{} // for messages, under way
	held     int64                 // bytes of messages
	waiting  int64                 // bytes of appends that are not confirmed
	encoded  int64                 // of those, what is in memory
	spilled  int64                 // bytes of payloads in files
	down     error                 // why nothing can be stored, nil when something can
	changes  int64                 // of the books; Stats looks again when it moved
	adds     []addition
	damaged  int64
	removed  recent // messages that were removed, for walks that read them before
	bad      recent // messages with what cannot be read
	chores   int    // removals of payloads under way
}

// Open connects, checks that the servers sync (*UnsyncedError otherwise),
// makes the streams or takes those that are there, and returns a spool in use.
// It tries until ctx ends where servers do not answer, or where one that a copy
// needs is not there, and says every ten seconds what it waits for. Where ctx is
// cancelled the error is context.Canceled with what it waited for.
func Open(ctx context.Context, cfg Config) (*Spool, error) {
	s, err := newSpool(cfg)
	if err != nil {
		return nil, fmt.Errorf("opening spool: %w", err)
	}
	s.waits.Store(&waits{log: s.log, now: s.now, since: s.now()})
	silent, err := s.open(ctx)
	if err != nil {
		s.release()
		if why := context.Cause(ctx); errors.Is(why, context.Canceled) {
			err = fmt.Errorf("%w; last: %w", why, err)
		}
		return nil, fmt.Errorf("opening spool: %w", err)
	}
	s.waits.Store(nil)
	s.wg.Add(3)
	go s.keep()
	go s.probe()
	go s.watchSync(silent)
	return s, nil
}

// maxListed bounds how many listed records' places are remembered, some 100
// bytes each.
const maxListed = 1 << 15

func newSpool(cfg Config) (*Spool, error) {
	if cfg.URL == "" {
		return nil, errors.New("no servers given")
	}
	cfg.times = cfg.times.withDefaults()
	cfg.Stream = cmp.Or(cfg.Stream, "breakwater")
	cfg.Gateway = cmp.Or(cfg.Gateway, rand.Text()[:8])
	cfg.Replicas = cmp.Or(cfg.Replicas, 3)
	s := &Spool{
		cfg: cfg, names: names{token(cfg.Stream)}, life: cfg.Gateway + "/" + rand.Text()[:8], now: cfg.Now, log: cfg.Logger, observer: cfg.Observer,
		metrics: newMetrics(), limits: cfg.limits(), entropy: ulid.Monotonic(rand.Reader, 0),
		projects: map[string]*project{}, queues: map[spool.Destination]*queue{}, messages: map[uint64]*message{}, requests: map[*request]struct{}{},
		wakeProbe: make(chan struct{}, 1), flushes: make(chan struct{}, 64),
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.listed, _ = lru.New[cursor, position](maxListed) // fails only for a size below 1
	if s.observer == nil {
		s.observer = spool.Nobody{}
	}
	s.doubtful, _ = lru.New[string, struct{}](maxDoubtful) // the error is for sizes below 1
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, s.openDir()
}

// maxDoubtful bounds the ids of refused records that may be stored all the same.
const maxDoubtful = 1 << 16

func (s *Spool) openDir() (err error) {
	if s.cfg.Dir == "" {
		s.ownDir = true
		s.dir, err = os.MkdirTemp("", "breakwater-spill-")
		return err
	}
	s.dir = filepath.Join(s.cfg.Dir, "spill")
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(s.dir, "*.spill"))
	for _, f := range old { // of a life that was killed
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

func (s *Spool) open(ctx context.Context) (silent []string, err error) {
	if err := s.dial(ctx); err != nil {
		return nil, err
	}
	silent, err = s.untilAsked(ctx)
	if err != nil {
		if !s.cfg.AllowUnsynced {
			return nil, err
		}
		silent = nil
		s.log.Warn().Err(err).Msg("opened all the same, because unsynced servers are allowed")
	}
	if err := s.prepare(ctx, s.limits); err != nil {
		return nil, err
	}
	s.opened.Store(true)
	if s.cfg.Registerer != nil {
		if err := s.metrics.register(s.cfg.Registerer, s); err != nil {
			return nil, err
		}
	}
	return silent, s.retry(ctx, s.refresh)
}

// release lets go of what newSpool and open took.
func (s *Spool) release() {
	s.cancel()
	if s.conn != nil {
		s.conn.Close()
	}
	s.metrics.registered.Unregister()
	if s.ownDir {
		_ = os.RemoveAll(s.dir) // a temporary directory
	}
}

// Close writes what waits, hands back what is leased so that another gateway
// gets it at once, and disconnects. Claims still out are given again.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	for _, q := range s.queues {
		q.wakeAll()
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	s.drainAppends(ctx)
	s.cancel()
	s.wg.Wait()
	left := s.flushAll(ctx)
	s.endRequests(ctx)
	s.handBackAll()
	err := s.conn.FlushWithContext(ctx)
	s.release()
	if left > 0 {
		s.log.Warn().Int("messages", left).Msg("closed before all settlements were stored; their records are delivered again")
	} else if err != nil {
		s.log.Warn().Err(err).Msg("closed without handing leases back; other gateways get them when they run out")
	}
	return nil
}

// closeWait is how long Close waits for servers that do not answer.
const closeWait = 5 * time.Second

// abandon ends everything as a kill would: nothing is written, nothing handed
// back.
func (s *Spool) abandon() {
	s.mu.Lock()
	s.closed = true
	for _, q := range s.queues {
		q.wakeAll()
	}
	s.mu.Unlock()
	s.cancel()
	s.conn.Close()
	s.wg.Wait()
	s.release()
}

// Expect makes the queues of configured destinations known before they get a
// record, so that Stats shows them empty.
func (s *Spool) Expect(dsts ...spool.Destination) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range dsts {
		s.queue(d)
	}
}

// SetLimits changes the limits of a spool in use; zero values get the
// defaults. All gateways share the streams' limits: the last one set counts.
func (s *Spool) SetLimits(l spool.Limits) {
	s.mu.Lock()
	old := s.limits
	s.limits = l.WithDefaults()
	l = s.limits
	closed := s.closed
	s.mu.Unlock()
	if closed || (old.MaxSize == l.MaxSize && old.ProjectShare == l.ProjectShare && old.DeadLetterSize == l.DeadLetterSize) {
		return
	}
	s.background(func() {
		ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
		defer cancel()
		if err := s.prepare(ctx, l); err != nil && s.ctx.Err() == nil {
			s.log.Error().Err(err).Msg("the streams keep their old limits")
		}
	})
}

// background runs f unless the spool is closed; Close waits for it.
func (s *Spool) background(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.wg.Add(1)
	go func() { defer s.wg.Done(); f() }()
}

// chore is background for what Tick waits for.
func (s *Spool) chore(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.choreLocked(f)
}

// choreLocked is chore. Under mu.
func (s *Spool) choreLocked(f func()) {
	if s.closed {
		return
	}
	s.chores++
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		f()
		s.mu.Lock()
		s.chores--
		s.mu.Unlock()
	}()
}

// choreContext is for a chore: Close waits for those that are under way, but not
// for long.
func (s *Spool) choreContext(most time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	stop := context.AfterFunc(s.ctx, func() { time.AfterFunc(closeWait/2, cancel) })
	return ctx, func() { stop(); cancel() }
}

// recent remembers the newest sequences it was given.
type recent struct {
	ring [4096]uint64
	next int
	in   map[uint64]struct{}
}

func (r *recent) add(seq uint64) {
	if r.in == nil {
		r.in = map[uint64]struct{}{}
	}
	delete(r.in, r.ring[r.next])
	r.ring[r.next], r.in[seq] = seq, struct{}{}
	r.next = (r.next + 1) % len(r.ring)
}

// newID gives a record its ULID. Its time is the real one: walks use it to
// find the place in a stream, whose messages have the servers' time.
func (s *Spool) newID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ms := ulid.Timestamp(time.Now())
	id, err := ulid.New(ms, s.entropy)
	if err != nil { // 2^80 in one millisecond
		id = ulid.MustNew(ms+1, rand.Reader)
	}
	return id.String()
}

func kick(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
