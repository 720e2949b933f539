package ingest

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Repeats remembers what was taken, so that a client that sends it again,
// because it never saw the answer, is told the same and nothing is taken twice.
// Per project it holds at most the newest Max keys of the last TTL, about 120
// bytes each; a key that was pushed out early counts as new again, and so does
// every key after a restart. Safe for concurrent use.
type Repeats struct {
	opts RepeatsOptions

	mu       sync.Mutex
	projects map[string]*taken
}

// RepeatsOptions say how much is remembered.
type RepeatsOptions struct {
	// Endpoint is the row of the endpoint table, for metrics, or "parts".
	Endpoint string
	// TTL is how long a key is remembered, from when it was taken.
	TTL time.Duration
	// Max is how many keys a project may hold.
	Max int
	Now func() time.Time
	// Metrics are shown to Prometheus; nil for none.
	Metrics *RepeatsMetrics
	// Fleet remembers the keys for all gateways; nil for none. See Claims.
	Fleet Fleet
}

// RepeatsMetrics are shared by all endpoints that remember keys.
type RepeatsMetrics struct {
	held    *prometheus.GaugeVec
	dropped *prometheus.CounterVec
}

// NewRepeatsMetrics registers them; reg may be nil.
func NewRepeatsMetrics(reg prometheus.Registerer) (*RepeatsMetrics, error) {
	m := &RepeatsMetrics{
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "breakwater_idempotency_keys",
			Help: "Keys remembered so that a request or report that is sent again counts once.",
		}, []string{"endpoint", "project"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "breakwater_idempotency_keys_dropped_total",
			Help: "Keys forgotten before their time because a project had too many: a repeat of one would count again.",
		}, []string{"endpoint", "project"}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.held, m.dropped} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// taken are one project's keys, in the order they were begun.
type taken struct {
	keys  map[repeatKey]*attempt
	order []*attempt
	gone  int // how many of order were given back
}

type repeatKey [16]byte

type attempt struct {
	key  repeatKey
	at   time.Time
	kept bool
	gone bool // given back: the order forgets it later
	// ended says that the claim was: the first of its ends counts.
	ended bool
}

// NewRepeats makes an empty memory.
func NewRepeats(o RepeatsOptions) *Repeats {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Metrics == nil {
		o.Metrics, _ = NewRepeatsMetrics(nil) // only registering fails
	}
	return &Repeats{opts: o, projects: map[string]*taken{}}
}

// Repeat says what is known of a key.
type Repeat int

// What Begin finds.
const (
	Fresh Repeat = iota // not seen: the caller owns the claim and must end it
	Again               // taken before
	Busy                // another request is being decided on it now
)

// Claim is a key between Begin and its end. The zero value ends without effect.
type Claim struct {
	r       *Repeats
	project string
	a       *attempt
}

// keyOf makes a key of its parts.
func keyOf(parts [][]byte) (key repeatKey) {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
		h.Write([]byte{0xff})
	}
	copy(key[:], h.Sum(nil))
	return key
}

// Claim is Repeats.Begin, with a claim that is given back at the request's
// end, however that comes, if nobody has ended it before.
func (r *Request) Claim(m *Repeats, parts ...[]byte) (Claim, Repeat) {
	c, state := m.Begin(r.Project.Name, parts...)
	if state == Fresh {
		r.claims = append(r.claims, c)
	}
	return c, state
}

// Begin asks for a key, made of parts, of a project.
func (r *Repeats) Begin(project string, parts ...[]byte) (Claim, Repeat) {
	key := keyOf(parts)
	now := r.opts.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.projects[project]
	if t == nil {
		t = &taken{keys: map[repeatKey]*attempt{}}
		r.projects[project] = t
	}
	r.expire(project, t, now)
	if a := t.keys[key]; a != nil {
		if a.kept {
			return Claim{}, Again
		}
		return Claim{}, Busy
	}
	a := &attempt{key: key, at: now}
	t.keys[key] = a
	t.order = append(t.order, a)
	r.show(project, t)
	return Claim{r, project, a}, Fresh
}

// Kept tells whether a key was taken, without asking for it.
func (r *Repeats) Kept(project string, parts ...[]byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.projects[project]
	if t == nil || len(t.keys) == 0 {
		return false
	}
	a := t.keys[keyOf(parts)]
	return a != nil && a.kept && r.opts.Now().Sub(a.at) < r.opts.TTL
}

// Forget makes a key that was taken new again.
func (r *Repeats) Forget(project string, parts ...[]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.projects[project]; t != nil {
		if a := t.keys[keyOf(parts)]; a != nil && a.kept {
			r.drop(project, t, a)
		}
	}
}

// Keep ends a claim: its key was taken. Of several ends the first counts.
func (c Claim) Keep() { c.end(true) }

// GiveBack ends a claim: its key was not taken and may come again.
func (c Claim) GiveBack() { c.end(false) }

func (c Claim) end(kept bool) {
	if c.r == nil || !c.settle(kept) {
		return
	}
	if f := c.r.opts.Fleet; f != nil {
		if kept {
			f.Keep(c.fleetKey(), c.r.holds(c.project))
		} else {
			f.Release(c.fleetKey())
		}
	}
}

// leastHeld is for how long the fleet remembers a key at least: a client that saw
// no answer sends again within it.
const leastHeld = time.Minute

// holds is for how long a key is remembered if keys go on coming as they did:
// RepeatsOptions.TTL, or what Max of them cover. The fleet keeps one no longer, so
// that ids without end take no more room there than here.
func (r *Repeats) holds(project string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.projects[project]
	if t == nil || len(t.keys) < r.opts.Max {
		return r.opts.TTL
	}
	for _, a := range t.order {
		if !a.gone {
			return min(max(r.opts.Now().Sub(a.at), leastHeld), r.opts.TTL)
		}
	}
	return r.opts.TTL
}

// settle ends the claim in this gateway's memory; false: it was ended before.
func (c Claim) settle(kept bool) bool {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if c.a.ended {
		return false
	}
	c.a.ended = true
	switch t := c.r.projects[c.project]; {
	case kept:
		c.a.kept = true
	case t != nil && t.keys[c.a.key] == c.a:
		c.r.drop(c.project, t, c.a)
	}
	return true
}

// drop makes a key new again; r.mu is held.
func (r *Repeats) drop(project string, t *taken, a *attempt) {
	a.gone = true
	delete(t.keys, a.key)
	t.sweep()
	r.show(project, t)
}

// sweep forgets what was given back once it is most of the order: while a spool
// is full, everything is.
func (t *taken) sweep() {
	if t.gone++; t.gone <= len(t.keys)+64 {
		return
	}
	t.order = slices.DeleteFunc(t.order, func(a *attempt) bool { return a.gone })
	t.gone = 0
}

// expire forgets what is too old and what is too much; r.mu is held.
func (r *Repeats) expire(project string, t *taken, now time.Time) {
	n := 0
	for n < len(t.order) {
		a := t.order[n]
		crowded := len(t.keys) >= r.opts.Max
		if !a.gone && !crowded && now.Sub(a.at) < r.opts.TTL {
			break
		}
		n++
		if a.gone {
			t.gone--
			continue
		}
		delete(t.keys, a.key)
		if now.Sub(a.at) < r.opts.TTL {
			r.opts.Metrics.dropped.WithLabelValues(r.opts.Endpoint, project).Inc()
		}
	}
	if n == 0 {
		return
	}
	clear(t.order[:n])
	t.order = t.order[n:]
	if cap(t.order) > 64 && len(t.order) < cap(t.order)/4 {
		t.order = append(make([]*attempt, 0, 2*len(t.order)), t.order...)
	}
	r.show(project, t)
}

func (r *Repeats) show(project string, t *taken) {
	r.opts.Metrics.held.WithLabelValues(r.opts.Endpoint, project).Set(float64(len(t.keys)))
}

// SetProjects shows the zero values of projects that are configured.
func (r *Repeats) SetProjects(names []string) {
	for _, name := range names {
		r.opts.Metrics.held.WithLabelValues(r.opts.Endpoint, name)
		r.opts.Metrics.dropped.WithLabelValues(r.opts.Endpoint, name)
	}
}

// Len is how many keys of a project are held.
func (r *Repeats) Len(project string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.projects[project]; t != nil {
		return len(t.keys)
	}
	return 0
}

// ReasonRepeat is the reason of outcome filtered of what was taken before.
const ReasonRepeat = "duplicate"
