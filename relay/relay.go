package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"breakwater/relay/spool"
)

// Relay moves records from a spool to their destinations. New makes one
// without destinations, Apply gives it some and starts them at once, Run or
// Shutdown ends it. All methods are safe for concurrent use.
type Relay struct {
	cfg     Config
	source  Source
	metrics *metrics

	ctx    context.Context // of the attempts; ends when a shutdown runs out of time
	cancel context.CancelFunc

	mu      sync.Mutex
	queues  map[spool.Destination]*queue
	paused  map[spool.Destination]bool
	leaving sync.WaitGroup // workers of all queues, replaced ones too
	closed  bool
}

// New makes a relay that claims from source. The error is that of registering
// metrics.
func New(cfg Config, source Source) (*Relay, error) {
	r := &Relay{cfg: cfg.withDefaults(), source: source, queues: map[spool.Destination]*queue{}, paused: map[spool.Destination]bool{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	var err error
	if r.metrics, err = newMetrics(r.cfg.Registerer, r.snapshot); err != nil {
		return nil, fmt.Errorf("registering relay metrics: %w", err)
	}
	return r, nil
}

// ErrStopped says that the relay was shut down.
var ErrStopped = errors.New("relay is stopped")

// Apply makes exactly these the destinations: new ones start, those no longer
// named stop, changed ones (see DestinationConfig.Key) are replaced. Attempts
// under way finish with the configuration they began with; an upstream that is
// an io.Closer is closed after its last attempt. An upstream passed in for a
// destination that did not change is closed at once. It does not wait.
// Errors: ErrStopped, or a destination named twice; then nothing changed.
func (r *Relay) Apply(list []DestinationConfig) error {
	seen := map[spool.Destination]bool{}
	for _, c := range list {
		if seen[c.Destination] {
			return fmt.Errorf("destination %s is configured twice", c.Destination)
		}
		seen[c.Destination] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrStopped
	}
	for dst, q := range r.queues {
		if !seen[dst] {
			r.retire(q)
			delete(r.queues, dst)
			delete(r.paused, dst)
			r.metrics.forget(dst.String())
		}
	}
	for _, c := range list {
		c = c.withDefaults()
		old := r.queues[c.Destination]
		same := old != nil && sameUpstream(old.dc.Upstream, c.Upstream)
		if old != nil && c.Key != "" && c.Key == old.dc.Key {
			if !same {
				closeUpstream(c.Upstream)
			}
			continue
		}
		if old != nil {
			old.keepUpstream = same
		}
		q := newQueue(r, c, old, r.paused[c.Destination])
		if old != nil {
			r.retire(old)
		}
		r.queues[c.Destination] = q
		r.metrics.open(c.String())
		q.start()
	}
	return nil
}

// retire stops a queue; what it has in flight finishes by itself.
func (r *Relay) retire(q *queue) {
	q.stop()
	go func() {
		q.workers.Wait()
		if !q.keepUpstream {
			closeUpstream(q.dc.Upstream)
		}
	}()
}

// sameUpstream is == for destinations of any type; those that cannot be
// compared are never the same.
func sameUpstream(a, b Destination) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

func closeUpstream(d Destination) {
	if c, ok := d.(io.Closer); ok {
		_ = c.Close() // closing idle connections; nothing to do about an error
	}
}

// Pause stops claiming for a destination until Resume; attempts under way
// finish. It is false when there is no such destination. A pause survives
// Apply, not a restart.
func (r *Relay) Pause(dst spool.Destination) bool { return r.setPaused(dst, true) }

// Resume ends a pause. A destination whose circuit is open is probed at once.
func (r *Relay) Resume(dst spool.Destination) bool { return r.setPaused(dst, false) }

func (r *Relay) setPaused(dst spool.Destination, paused bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.queues[dst]
	if q == nil {
		return false
	}
	if paused {
		r.paused[dst] = true
	} else {
		delete(r.paused, dst)
	}
	q.setPaused(paused)
	return true
}

// Run blocks until ctx ends and then shuts down within ShutdownTimeout.
func (r *Relay) Run(ctx context.Context) error {
	<-ctx.Done()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.ShutdownTimeout)
	defer cancel()
	return r.Shutdown(limit)
}

// stragglers is how long a destination may take to notice that its attempt
// was cancelled.
const stragglers = 2 * time.Second

// Shutdown stops claiming at once, lets attempts under way finish until ctx
// ends, cancels the others and puts their records back. Afterwards nothing
// touches the spool any more, unless an error says that a destination ignored
// the end of its context.
func (r *Relay) Shutdown(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	queues := make([]*queue, 0, len(r.queues))
	for _, q := range r.queues {
		q.stop()
		queues = append(queues, q)
	}
	r.mu.Unlock()
	defer r.cancel()

	done := make(chan struct{})
	go func() { r.leaving.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		r.cancel()
		late := time.NewTimer(stragglers)
		defer late.Stop()
		select {
		case <-done:
		case <-late.C:
			return errors.New("stopping the relay: an upstream did not give up its attempt in time; the spool delivers the record again")
		}
	}
	for _, q := range queues {
		closeUpstream(q.dc.Upstream)
	}
	return nil
}

// Status describes every destination, ordered by project and name.
func (r *Relay) Status() []Status {
	now := r.cfg.Now()
	var list []Status
	for _, q := range r.snapshot() {
		list = append(list, q.status(now))
	}
	return list
}

// Quiet leaves a destination alone until then, because its upstream has asked
// another gateway to: no record is claimed for it. It never shortens a quiet.
func (r *Relay) Quiet(dst spool.Destination, until time.Time) {
	r.mu.Lock()
	q := r.queues[dst]
	r.mu.Unlock()
	if q == nil {
		return
	}
	now := r.cfg.Now()
	until = q.believe(until, now)
	q.mu.Lock()
	defer q.mu.Unlock()
	if until.After(now) && until.After(q.quiet) {
		q.quiet = until
		q.shutGate()
	}
}

// snapshot is the queues, ordered by name.
func (r *Relay) snapshot() []*queue {
	r.mu.Lock()
	list := make([]*queue, 0, len(r.queues))
	for _, q := range r.queues {
		list = append(list, q)
	}
	r.mu.Unlock()
	slices.SortFunc(list, func(a, b *queue) int { return strings.Compare(a.label, b.label) })
	return list
}
