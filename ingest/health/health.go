package health

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/axiomhq/hyperloglog"
	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/client_golang/prometheus"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Config is what an operator sets; the zero value of a field means its default.
type Config struct {
	// ReleaseSlots is how many releases of a project have their own label, the
	// newest ones; default 5.
	ReleaseSlots int
	// Environments is how many environments have their own label, the first
	// ones; default 10.
	Environments int
	// MaxSeen is how many counted things are remembered at least, over all
	// projects; a session makes one to three. Default 500 000, about 20 MB.
	MaxSeen int
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Health counts. It is safe for concurrent use.
type Health struct {
	cfg Config
	m   *metrics

	mu       sync.Mutex
	projects map[string]*project
	seen     *ingest.Seen[uint64]
	seed     uint64 // of the hashes in seen
	salt     uint64 // of user ids, new every day
	day      int64
}

var (
	_ ingest.Stage         = (*Health)(nil)
	_ prometheus.Collector = (*Health)(nil)
)

// New makes the stage and registers its metrics.
func New(cfg Config, reg prometheus.Registerer) *Health {
	def := func(p *int, n int) {
		if *p <= 0 {
			*p = n
		}
	}
	def(&cfg.ReleaseSlots, 5)
	def(&cfg.Environments, 10)
	def(&cfg.MaxSeen, 500_000)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	h := &Health{
		cfg: cfg, m: newMetrics(reg), projects: map[string]*project{}, seen: ingest.NewSeen[uint64](cfg.MaxSeen),
		seed: rand.Uint64(), salt: rand.Uint64(),
	}
	reg.MustRegister(h)
	return h
}

// project holds the places of one project's labels and the series in them.
type project struct {
	environments *ingest.FirstSlots
	releases     *ingest.NewestSlots
	firstSeen    map[string]time.Time // of the releases that hold a place
	series       map[key]*series
}

type key struct{ environment, release string }

type series struct {
	sessions     map[string]prometheus.Counter
	recent       recent
	errors       uint64
	first, last  time.Time
	users        *hyperloglog.Sketch
	crashedUsers *hyperloglog.Sketch
}

// SetProjects makes the series of closed lists of the projects, so that a
// first increase is seen as one. Projects not named here are made when they
// first send something.
func (h *Health) SetProjects(names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range names {
		h.project(n)
	}
}

func (h *Health) project(name string) *project {
	p := h.projects[name]
	if p == nil {
		p = &project{environments: ingest.NewFirstSlots(h.cfg.Environments), releases: ingest.NewNewestSlots(h.cfg.ReleaseSlots), firstSeen: map[string]time.Time{}, series: map[key]*series{}}
		h.projects[name] = p
		for _, r := range ignoredReasons {
			h.m.ignored.WithLabelValues(name, r)
		}
	}
	return p
}

// series finds the labels of an environment and a release. A release that
// lost its place to this one loses its series.
func (h *Health) series(name, environment, release string, now time.Time) (key, *series) {
	p := h.project(name)
	label, retired := noRelease, ""
	if release != noRelease {
		label, retired = p.releases.Label(release, now)
	}
	if _, known := p.firstSeen[label]; !known && label != ingest.OtherLabel && label != noRelease {
		p.firstSeen[label] = now
	}
	if retired != "" {
		delete(p.firstSeen, retired)
		for k := range p.series {
			if k.release == retired {
				delete(p.series, k)
			}
		}
		gone := prometheus.Labels{"project": name, "release": retired}
		h.m.sessions.DeletePartialMatch(gone)
		h.m.errors.DeletePartialMatch(gone)
	}
	k := key{p.environments.Label(environment), label}
	s := p.series[k]
	if s == nil {
		s = &series{sessions: make(map[string]prometheus.Counter, len(statuses)), first: now}
		for _, st := range statuses {
			s.sessions[st] = h.m.sessions.WithLabelValues(name, k.environment, k.release, st)
		}
		p.series[k] = s
	}
	s.last = now
	return k, s
}

// Name is "health".
func (h *Health) Name() string { return "health" }

// Apply counts the sessions and error events of a batch; it drops and changes
// nothing. Put it after the filters, so that what is filtered is not counted,
// and before sampling, limits and storm control, so that what is not relayed
// is.
func (h *Health) Apply(b *ingest.Batch) error {
	if b.Request == nil || b.Request.Project == nil {
		return nil
	}
	for _, it := range b.Items {
		if !it.Alive() {
			continue
		}
		switch it.Header.Type {
		case "session":
			h.session(b, it)
		case "sessions":
			h.aggregates(b, it)
		case "event":
			h.event(b, it)
		}
	}
	return nil
}

const (
	maxEnvironment = 64
	maxRelease     = 200
	// noRelease is the release of errors that name none. It takes no release's place.
	noRelease = "__unknown__"
)

// event counts one error.
func (h *Health) event(b *ingest.Batch, it *ingest.Item) {
	ev := it.Event()
	if ev == nil {
		return
	}
	p := b.Request.Project
	release := ingest.CleanLabel(first(ev.Release(), p.Release.Default), maxRelease)
	if release == "" {
		release = noRelease
	}
	handled := "unknown"
	if yes, known := ev.Handled(); known {
		handled = "false"
		if yes {
			handled = "true"
		}
	}
	level := ev.Level()
	h.mu.Lock()
	defer h.mu.Unlock()
	k, s := h.series(p.Name, environment(ev.Environment(), p), release, h.cfg.Now())
	s.errors++
	h.m.errors.WithLabelValues(p.Name, k.environment, k.release, level, handled).Inc()
}

func environment(s string, p *ingest.Project) string {
	if s = ingest.CleanLabel(first(s, p.Release.Environment), maxEnvironment); s == "" || !schemas.ValidEnvironment(s) {
		return "production"
	}
	return s
}

func first(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// fresh remembers that something happened to a session and tells whether it is
// news.
func (h *Health) fresh(project, sid, what string) bool {
	return h.seen.Add(hash(h.seed, project, sid, what))
}

func hash(seed uint64, parts ...string) uint64 {
	var buf [256]byte
	b := buf[:0]
	for s := seed; s != 0; s >>= 8 {
		b = append(b, byte(s))
	}
	for _, p := range parts {
		b = append(b, 0)
		b = append(b, p...)
	}
	return xxhash.Sum64(b)
}

// sawUser counts a user of today.
func (h *Health) sawUser(s *series, user string, crashed bool, now time.Time) {
	if user == "" {
		return
	}
	h.turnDay(now)
	x := hash(h.salt, user)
	if s.users == nil {
		s.users = hyperloglog.New14()
	}
	s.users.InsertHash(x)
	if crashed {
		if s.crashedUsers == nil {
			s.crashedUsers = hyperloglog.New14()
		}
		s.crashedUsers.InsertHash(x)
	}
}

// turnDay starts the sketches of a new day, with a new salt.
func (h *Health) turnDay(now time.Time) {
	day := now.Unix() / 86_400
	if day == h.day {
		return
	}
	h.day, h.salt = day, rand.Uint64()
	for _, p := range h.projects {
		for _, s := range p.series {
			s.users, s.crashedUsers = nil, nil
		}
	}
}

// sessionID checks a session id and writes it in one way; "" when it is none.
func sessionID(s string) string {
	if len(s) == 36 {
		s = strings.ReplaceAll(s, "-", "")
	}
	if len(s) != 32 {
		return ""
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return ""
		}
	}
	return strings.ToLower(s)
}
