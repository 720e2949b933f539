package relay

import (
	"context"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// maxRemembered bounds the records whose failed attempts a destination counts
// in memory, about 100 bytes each. The count of one that is pushed out starts
// again: it is tried more often, never less.
const maxRemembered = 16384

// queue is one destination with its workers and the gate they pass before
// they claim.
type queue struct {
	relay *Relay
	dc    DestinationConfig
	label string
	*memory

	keepUpstream bool // the next configuration delivers with the same one
	stopping     context.Context
	stop         context.CancelFunc
	workers      sync.WaitGroup

	mu      sync.Mutex
	circuit circuit
	paused  bool
	quiet   time.Time     // an upstream without limits of its own asked for quiet until then
	changed chan struct{} // closed and replaced when the gate may have opened
	// claims is the context of the waiting claims: it ends when the gate shuts.
	claims       context.Context
	cancelClaims context.CancelFunc
}

// memory is what a destination remembers across a reload.
type memory struct {
	seen     seen
	attempts *lru.Cache[string, int] // failed attempts of records that are still in the spool
}

func newQueue(r *Relay, dc DestinationConfig, old *queue, paused bool) *queue {
	q := &queue{relay: r, dc: dc, label: dc.Destination.String(), paused: paused, changed: make(chan struct{})}
	q.circuit = circuit{after: r.cfg.CircuitAfter, base: r.cfg.CircuitBase, cap: r.cfg.CircuitCap, rand: r.cfg.Rand, state: Closed}
	if dc.Upstream == nil {
		q.circuit.state = NoTarget
	}
	if old != nil {
		q.memory = old.memory
	} else {
		q.memory = &memory{}
		q.attempts, _ = lru.New[string, int](maxRemembered) // the error is for sizes below 1
	}
	q.stopping, q.stop = context.WithCancel(r.ctx)
	q.claims, q.cancelClaims = context.WithCancel(q.stopping)
	return q
}

func (q *queue) start() {
	if q.dc.Upstream == nil {
		return
	}
	for range q.dc.Concurrency {
		q.workers.Add(1)
		q.relay.leaving.Add(1)
		go func() {
			defer q.relay.leaving.Done()
			defer q.workers.Done()
			q.work()
		}()
	}
}

// claimFaultPause is how long a worker waits after the spool failed to hand
// out a record for another reason than its end.
const claimFaultPause = time.Second

// work is one worker: gate, claim, deliver, again.
func (q *queue) work() {
	for {
		ctx, probe, err := q.admit()
		if err != nil {
			return
		}
		claim, err := q.relay.source.Claim(ctx, q.dc.Destination)
		if err != nil {
			q.giveBack(probe)
			if ctx.Err() == nil && !q.sleep(claimFaultPause) {
				return
			}
			continue
		}
		if why := q.shut(probe); why != "" { // between the gate and the claim the gate shut
			claim.Release(q.relay.cfg.Now(), why)
			q.giveBack(probe)
			continue
		}
		q.handle(claim, probe)
		q.giveBack(probe)
	}
}

// sleep is false when the queue stopped before the time was over.
func (q *queue) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-q.stopping.Done():
		return false
	}
}

// admit waits at the gate until a record may be claimed. probe is true for
// the single claim of a half-open circuit, which must be given back.
func (q *queue) admit() (claims context.Context, probe bool, err error) {
	for {
		q.mu.Lock()
		if err := q.stopping.Err(); err != nil {
			q.mu.Unlock()
			return nil, false, err
		}
		now := q.relay.cfg.Now()
		until, ok := q.ready(now)
		if ok {
			if probe = q.circuit.state == HalfOpen; probe {
				q.circuit.probing = true
			}
			claims = q.claims
			q.mu.Unlock()
			return claims, probe, nil
		}
		changed := q.changed
		q.mu.Unlock()

		q.wait(changed, until, now)
	}
}

// wait returns when the gate may have opened: at until, if that is not zero,
// when something changed, or when the queue stops.
func (q *queue) wait(changed <-chan struct{}, until, now time.Time) {
	var wake <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(max(until.Sub(now), time.Millisecond))
		defer t.Stop()
		wake = t.C
	}
	select {
	case <-q.stopping.Done():
	case <-changed:
	case <-wake:
	}
}

// ready tells whether the gate is open; q.mu is held.
func (q *queue) ready(now time.Time) (until time.Time, ok bool) {
	if q.paused {
		return time.Time{}, false
	}
	if until := allLimited(q.limits(now), now, q.relay.cfg.HoldLimit); !until.IsZero() {
		return until, false
	}
	if now.Before(q.quiet) {
		return q.quiet, false
	}
	return q.circuit.try(now)
}

// shut tells why a record just claimed must go back, "" when it need not.
func (q *queue) shut(probe bool) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.stopping.Err() != nil:
		return "shutdown"
	case q.paused:
		return "paused"
	case q.relay.cfg.Now().Before(q.quiet):
		return "rate_limited"
	case q.circuit.state == Open, q.circuit.state == HalfOpen && !probe:
		return "circuit_open"
	}
	return ""
}

// giveBack ends a probe.
func (q *queue) giveBack(probe bool) {
	if !probe {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.circuit.probing = false
	q.wakeAll()
}

// wakeAll lets the waiting workers look at the gate again; q.mu is held.
func (q *queue) wakeAll() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// shutGate calls the waiting claims back; q.mu is held.
func (q *queue) shutGate() {
	q.cancelClaims()
	q.claims, q.cancelClaims = context.WithCancel(q.stopping)
}

func (q *queue) setPaused(paused bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.paused = paused
	if paused {
		q.shutGate()
		return
	}
	if q.circuit.state == Open {
		q.circuit.next = q.relay.cfg.Now()
	}
	q.wakeAll()
}

// limits are those of the upstream, nil where it has none to tell.
func (q *queue) limits(now time.Time) []schemas.RateLimit {
	if l, ok := q.dc.Upstream.(Limiter); ok {
		return l.Limits(now)
	}
	return nil
}

func (q *queue) limiter() bool {
	_, ok := q.dc.Upstream.(Limiter)
	return ok
}

var _ Source = spool.Spool(nil)
