package vitals

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Vitals records measurements. It is safe for concurrent use.
type Vitals struct {
	cfg      Config
	m        *metrics
	clients  *clients
	logs     *rate.Limiter
	projects atomic.Pointer[map[string]*project]
	segments *lru.Cache[string, string] // span id of a page load → what it is called

	mu    sync.Mutex
	seed  [2]uint64
	table *table
	pages map[scope]time.Time // when a beacon of this scope was seen last

	addMu sync.Mutex // serialises changes of projects
}

var _ ingest.Recorder = (*Vitals)(nil)

// New makes a recorder and registers its metrics. Call SetProjects, LoadFile
// if there is a snapshot, and Run.
func New(cfg Config, reg prometheus.Registerer) *Vitals {
	cfg = cfg.withDefaults()
	v := &Vitals{cfg: cfg, clients: newClients(), seed: [2]uint64{rand.Uint64(), rand.Uint64()}, table: newTable(cfg.MaxSeen, cfg.Now()), pages: map[scope]time.Time{}}
	pages := cfg.Pages
	if pages == nil {
		pages = reg
	}
	v.m = newMetrics(reg, pages, func() float64 { return float64(v.Pending()) }, cfg.SeriesPerProject)
	v.logs = rate.NewLimiter(rate.Limit(max(cfg.LogPerSecond, 0)), 10)
	segments, err := lru.New[string, string](8192)
	if err != nil {
		panic(err) // only for a size below 1
	}
	v.segments = segments
	empty := map[string]*project{}
	v.projects.Store(&empty)
	return v
}

// SetProjects puts projects and their route templates in force, at start and
// after a reload. Projects that stay keep their budgets; those that are gone
// keep their series until the process ends.
func (v *Vitals) SetProjects(list []Project) {
	v.addMu.Lock()
	defer v.addMu.Unlock()
	old := *v.projects.Load()
	next := make(map[string]*project, len(list)+len(old))
	for name, p := range old {
		next[name] = p
	}
	for _, c := range list {
		p := next[c.Name]
		if p == nil {
			p = v.newProject(c.Name)
			next[c.Name] = p
		}
		p.settings.Store(&settings{router: newRouter(c.Routes), fromSentry: c.FromSentry})
	}
	v.projects.Store(&next)
}

// project finds the state of a project; one that SetProjects did not name gets
// defaults. Names come from the configuration, so they are few.
func (v *Vitals) project(name string) *project {
	if p := (*v.projects.Load())[name]; p != nil {
		return p
	}
	v.SetProjects([]Project{{Name: name, FromSentry: true}})
	return (*v.projects.Load())[name]
}

// Pending is how many page views wait to settle.
func (v *Vitals) Pending() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.table.waiting
}

// Run settles what is due, once a second, until ctx ends. What still waits
// then is for SaveFile, or for Flush.
func (v *Vitals) Run(ctx context.Context) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			v.Tick(v.cfg.Now())
		}
	}
}

// Tick observes what has settled at now.
func (v *Vitals) Tick(now time.Time) {
	v.mu.Lock()
	done := v.table.due(now, v.cfg.Settle, v.cfg.SettleMax, nil)
	for s, last := range v.pages {
		if now.Sub(last) > precedence {
			delete(v.pages, s)
		}
	}
	done = v.decide(done, now)
	v.mu.Unlock()
	observeAll(done, now)
}

// Flush observes everything that waits, settled or not.
func (v *Vitals) Flush() {
	now := v.cfg.Now()
	v.mu.Lock()
	var done []observation
	for v.table.waiting > 0 {
		done = v.table.quietest(done)
	}
	done = v.decide(done, now)
	v.mu.Unlock()
	observeAll(done, now)
}

func observeAll(done []observation, now time.Time) {
	for i := range done {
		done[i].project.observe(&done[i], now)
	}
}

// precedence is how long a beacon keeps Sentry's values of the same vital out: ten
// minutes, and as long as the note of it may be too early.
const (
	precedence = 10*time.Minute + noteEvery
	noteEvery  = time.Second
)

// maxScopes bounds the memory of the precedence rule.
const maxScopes = 10_000

// scope is where beacons and Sentry traffic would count the same page views.
type scope struct {
	project *project
	release string
	vital   vital
}

// noted is the scope of a project's vital that was noted last.
type noted struct {
	release string
	at      time.Time
}

// decide drops what a beacon supersedes. The caller holds mu.
func (v *Vitals) decide(done []observation, now time.Time) []observation {
	kept := done[:0]
	for i := range done {
		o := &done[i]
		switch {
		case o.sentry && v.superseded(o, now):
			o.project.reject(o.vital, reasonSuperseded)
		case len(kept) == i:
			kept = done[:i+1] // nothing was dropped before
		default:
			kept = append(kept, *o)
		}
	}
	clear(done[len(kept):]) // nothing of what was dropped may be kept alive
	return kept
}

func (v *Vitals) superseded(o *observation, now time.Time) bool {
	for _, release := range [2]string{o.release, ""} {
		if last, ok := v.pages[scope{o.project, release, o.vital}]; ok && now.Sub(last) <= precedence {
			return true
		}
	}
	return false
}

// Record takes the entries of a beacon and returns how many were usable: those
// that were counted, wait to settle, came late or came from a bot. It is
// cheap: no input or output, no waiting but for short locks.
func (v *Vitals) Record(req *ingest.Request, b *schemas.Beacon) int {
	c := v.clients.read(req.UserAgent, req.Header)
	return v.record(req, b, c)
}

// record does the work of Record; c is who sent it.
func (v *Vitals) record(req *ingest.Request, b *schemas.Beacon, c client) (used int) {
	name := ingest.UnknownProject
	rule := ingest.ReleaseRule{}
	if req.Project != nil {
		name, rule = req.Project.Name, req.Project.Release
	}
	p := v.project(name)
	set := p.settings.Load()
	now := v.cfg.Now()
	page := v.page(p, req, b, rule, c, now)
	wrong := inconsistent(b.Vitals)
	room := rooms.Get().(*[]observation)
	early := (*room)[:0]
	for i := range b.Vitals {
		e := &b.Vitals[i]
		r, ok, fine := v.judge(p, set, b, e, &page, wrong)
		if fine {
			used++
		}
		if !ok {
			continue
		}
		p.traffic[c.traffic].Inc()
		if c.traffic == bot && !v.cfg.CountBots {
			continue
		}
		r.sentry = b.Source == SourceSentry && r.vital < webVitals
		if v.elsewhere(req, &r, e, e.ID, now) {
			continue
		}
		early = v.settle(&r, e.ID, now, early)
		p.logPoor(v, &r, e)
	}
	observeAll(early, now)
	clear(early) // nothing of it may be kept alive
	*room = early[:0]
	rooms.Put(room)
	return used
}

// rooms are for what a beacon makes observed.
var rooms = sync.Pool{New: func() any { return new([]observation) }}

// earlyAtOnce is about how many are observed early at a time where the table is full, one
// where it is small: together they cost less than one with each report.
const earlyAtOnce = 64

// SourceSentry marks beacons that were read out of Sentry traffic.
const SourceSentry = "sentry"

// settle puts a report where it belongs: observed at once, waiting, or late.
// Entries that have to go early to make room are added to early.
func (v *Vitals) settle(r *report, id string, now time.Time, early []observation) []observation {
	if id != "" {
		r.key = v.key(r, id)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.vital < webVitals && !r.sentry {
		v.note(scope{r.project, r.release, r.vital}, now)
	}
	switch {
	case id == "":
		if r.sentry && v.superseded(&r.observation, now) {
			r.project.reject(r.vital, reasonSuperseded)
			return early
		}
		return append(early, r.observation)
	case r.vital >= webVitals:
		if !v.table.first(r.key) {
			return early
		}
		return append(early, r.observation)
	}
	if v.table.put(r, now) {
		r.project.late[r.vital].Inc()
		return early
	}
	if v.table.waiting > v.cfg.MaxPending {
		n := len(early)
		some := 1 + min(v.cfg.MaxPending/earlyAtOnce, earlyAtOnce)
		early = v.table.crowdOut(some, early)
		v.m.early.Add(float64(some)) // last: it waits for all that was written
		return early[:n+len(v.decide(early[n:], now))]
	}
	return early
}

// note remembers that a beacon of a scope was seen. One a second is enough: most
// beacons of a project are of one release. The caller holds mu.
func (v *Vitals) note(s scope, now time.Time) {
	last := &s.project.noted[s.vital]
	if since := now.Sub(last.at); since >= 0 && since < noteEvery && last.release == s.release {
		return
	}
	if _, ok := v.pages[s]; !ok && len(v.pages) >= maxScopes {
		return
	}
	v.pages[s], *last = now, noted{s.release, now}
}

// key is the identity of a page view's vital. The seeds keep a stranger from
// choosing ids that are taken for others.
func (v *Vitals) key(r *report, id string) key {
	var buf [192]byte
	b := append(buf[:8], r.project.name...)
	b = append(b, 0, byte(r.vital))
	if r.sentry {
		b = append(b, 's')
	}
	b = append(b, 0)
	b = append(b, id...)
	var h [2]uint64
	for i, seed := range v.seed {
		binary.LittleEndian.PutUint64(b, seed)
		h[i] = xxhash.Sum64(b)
	}
	return key{h[0], uint32(h[1])}
}
