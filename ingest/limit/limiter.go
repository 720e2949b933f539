package limit

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Upstream tells which limits the upstreams of a project have announced.
type Upstream interface {
	// Limits are the limits in force, by the project's configured name. It is
	// asked for every batch: it must be quick.
	Limits(project string, now time.Time) []schemas.RateLimit
}

// The closed list of reasons, in the ledger and in the listing.
const (
	ReasonPerIP    = "per_ip"
	ReasonPerKey   = "per_key"
	ReasonCategory = "category"
	ReasonQuota    = "quota"
	ReasonUpstream = "upstream"
)

var (
	_ ingest.Gatekeeper = (*Limiter)(nil)
	_ ingest.Stage      = (*Limiter)(nil)
)

// Reasons are all words the limiter gives as the reason of a drop.
var Reasons = []string{ReasonPerIP, ReasonPerKey, ReasonCategory, ReasonQuota, ReasonUpstream}

// Options are what a limiter is made of. The zero value works: nothing is
// limited until Configure, quotas are not kept on disk.
type Options struct {
	// QuotaFile keeps the quotas' counts over a restart; "" keeps them in memory.
	QuotaFile string
	// SaveEvery is how often Run writes QuotaFile; 0 means DefaultSaveEvery.
	SaveEvery time.Duration
	// MaxAddresses bounds the remembered client addresses, rounded down to a
	// power of two of at least 4096; 0 means DefaultMaxAddresses.
	MaxAddresses int
	// Upstream adds the limits of the upstreams; nil for none.
	Upstream Upstream
	// Fleet shares the limits with other gateways; nil for none. Requests and Items
	// ask it.
	Fleet ingest.Fleet
	// ShowAddresses lists limited clients with their whole address. Otherwise
	// the listing names their network only (/24, /48).
	ShowAddresses bool
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Log is told of a quota file that cannot be read or written.
	Log zerolog.Logger
}

// Limiter holds every bucket and quota. It is safe for concurrent use.
type Limiter struct {
	opts    Options
	refused *refusals
	quotas  *quotas
	metrics *metrics
	state   atomic.Pointer[state]
	mu      sync.Mutex // serialises configuring
}

// state is the configuration in force. It never changes; the buckets it points
// to are handed on to the next one.
type state struct {
	perIP     Rate
	addressIn gcra
	addresses *table
	projects  map[string]*project
}

type project struct {
	config     Config
	perKey     gcra
	keys       *keyBuckets
	categories map[schemas.Category]categoryLimit
	quota      map[schemas.Category]quotaLimit
	vitals     bool // something limits measurements
}

type categoryLimit struct {
	gcra   gcra
	bucket *bucket
}

type quotaLimit struct {
	quota   Quota
	counter *counter
}

// keyBuckets are the buckets of a project's public keys, one for each budget.
// Only keys that authenticated get one, so the configuration bounds their number.
type keyBuckets struct {
	mu sync.RWMutex
	m  map[string]*bucket
}

func (k *keyBuckets) get(public string) *bucket {
	k.mu.RLock()
	b := k.m[public]
	k.mu.RUnlock()
	if b != nil {
		return b
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if b = k.m[public]; b == nil {
		b = &bucket{}
		k.m[public] = b
	}
	return b
}

func (k *keyBuckets) len() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.m)
}

// New makes a limiter that limits nothing yet and reads the quota file. A
// missing file starts the quotas at 0; one that cannot be understood is set
// aside with the suffix .bad and does the same, so it never stops a start. The
// error is a metric that could not be registered.
func New(opts Options) (*Limiter, error) {
	if opts.SaveEvery <= 0 {
		opts.SaveEvery = DefaultSaveEvery
	}
	if opts.MaxAddresses <= 0 {
		opts.MaxAddresses = DefaultMaxAddresses
	}
	l := &Limiter{opts: opts, refused: newRefusals()}
	l.metrics = newMetrics(l)
	l.quotas = loadQuotas(opts.QuotaFile, opts.Fleet != nil, opts.Log)
	l.state.Store(&state{projects: map[string]*project{}})
	if err := l.metrics.register(opts.Registerer); err != nil {
		return nil, fmt.Errorf("registering limit metrics: %w", err)
	}
	return l, nil
}

// SetPerIP puts the limit of requests per client address in force; the zero
// Rate ends it. The same rate again keeps every bucket's level, another one
// begins with full buckets.
func (l *Limiter) SetPerIP(r Rate) error {
	if err := r.Validate(); err != nil {
		return fmt.Errorf("per_ip: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.state.Load()
	if old.perIP == r {
		return nil
	}
	next := *old
	next.perIP, next.addresses = r, nil
	if r.Limits() {
		next.addressIn = newGCRA(r)
		next.addresses = newTable(l.opts.MaxAddresses, l.metrics.evictions.Inc)
	}
	l.state.Store(&next)
	return nil
}

// Configure puts the limits of all projects in force, by configured name; an
// error changes nothing. Limits that did not change keep the level of their
// buckets, changed ones begin with full buckets, quotas go on counting. A
// renamed project begins anew.
func (l *Limiter) Configure(projects map[string]Config) error {
	for name, c := range projects {
		if err := c.Validate(); err != nil {
			return fmt.Errorf("project %s: limits.%w", name, err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.state.Load()
	next := *old
	next.projects = make(map[string]*project, len(projects))
	for name, c := range projects {
		next.projects[name] = l.project(name, c, old.projects[name])
	}
	l.state.Store(&next)
	return nil
}

func (l *Limiter) project(name string, c Config, old *project) *project {
	p := &project{
		config:     c,
		categories: map[schemas.Category]categoryLimit{},
		quota:      map[schemas.Category]quotaLimit{},
	}
	if c.PerKey.Limits() {
		p.perKey = newGCRA(c.PerKey)
		p.keys = &keyBuckets{m: map[string]*bucket{}}
		if old != nil && old.config.PerKey == c.PerKey {
			p.keys = old.keys
		}
	}
	for cat, r := range c.Categories {
		if !r.Limits() {
			continue
		}
		p.categories[cat] = categoryLimit{newGCRA(r), &bucket{}}
		if old != nil && old.config.Categories[cat] == r {
			p.categories[cat] = old.categories[cat]
		}
	}
	for cat, q := range c.Quota {
		p.quota[cat] = quotaLimit{q, l.quotas.counter(name, cat)}
	}
	_, limited := p.categories[schemas.CategoryVital]
	_, counted := p.quota[schemas.CategoryVital]
	p.vitals = limited || counted
	return p
}

// AllowRequest is the check before the body is read: one request is charged to
// the client's address, then to its key, both within Request.Budget: each
// budget has buckets of its own, of the same rates. nil lets it in; else a 429 that says
// how long to wait (1 to 60 s) with the reason per_ip or per_key. A request
// without a valid address (a unix socket) has no limit per address; one that is
// not authenticated yet has none per key.
func (l *Limiter) AllowRequest(req *ingest.Request) *ingest.Rejection {
	st := l.state.Load()
	now := req.ReceivedAt
	if st.addresses != nil && req.ClientIP.IsValid() {
		if wait, ok := st.addresses.take(st.addressIn.share(l.share()), budgetKey(addressKey(req.ClientIP), req.Budget), now.UnixNano(), 1); !ok {
			return l.refuse(req, ReasonPerIP, l.subject(req.ClientIP), wait)
		}
	}
	if req.Project == nil || req.Key == nil {
		return nil
	}
	p := st.projects[req.Project.Name]
	if p == nil || p.keys == nil {
		return nil
	}
	bucket := req.Key.Public
	if req.Budget != "" {
		bucket += "/" + req.Budget
	}
	if wait, ok := p.keys.get(bucket).take(p.perKey.share(l.share()), now.UnixNano(), 1); !ok {
		return l.refuse(req, ReasonPerKey, keyName(req.Key), wait)
	}
	return nil
}

// share is the divisor of what this gateway may give away alone.
func (l *Limiter) share() int {
	if l.opts.Fleet == nil {
		return 1
	}
	return l.opts.Fleet.Share()
}

// keyName names a key for people: its configured name, else how it begins.
func keyName(k *ingest.Key) string {
	if k.Name != "" {
		return k.Name
	}
	if len(k.Public) > 8 {
		return k.Public[:8] + "…"
	}
	return k.Public
}

func (l *Limiter) refuse(req *ingest.Request, reason, subject string, wait time.Duration) *ingest.Rejection {
	wait = clampRetry(wait)
	name := ingest.UnknownProject
	if req.Project != nil {
		name = req.Project.Name
	}
	l.refused.add(refusal{name, reason, subject}, 1, req.ReceivedAt, req.ReceivedAt.Add(wait))
	r := *ingest.RejectLimited
	r.Reason, r.RetryAfter = reason, wait
	return &r
}

// subject is how the listing names an address.
func (l *Limiter) subject(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	bits := 48
	if a.Is4() {
		bits = 24
	}
	if l.opts.ShowAddresses {
		if a.Is4() {
			return a.String()
		}
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// Keys is how many buckets are in memory: addresses, keys and categories.
func (l *Limiter) Keys() int {
	st := l.state.Load()
	n := 0
	if st.addresses != nil {
		n = st.addresses.len()
	}
	for _, p := range st.projects {
		n += len(p.categories)
		if p.keys != nil {
			n += p.keys.len()
		}
	}
	return n
}
