package storm

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Reason is the word under which the ledger counts what was suppressed.
const Reason = "storm"

// The tags an error carries that was forwarded during a storm.
const (
	// TagSampleRate is the share of errors forwarded: "0.01", or "1".
	TagSampleRate = "storm.sample_rate"
	// TagSuppressed is how many of its fingerprint were suppressed since the
	// last one that was forwarded.
	TagSuppressed = "storm.suppressed_since_last"
)

// limitFor is how long a client is asked to send no errors.
const limitFor = time.Minute

// Options are what storm control is made of. The zero value works.
type Options struct {
	// Emit stores a summary: a batch with one event item, of the gateway's own
	// making, that the ledger has not seen yet. An error has it tried again at
	// the next sweep. nil: storms end without a summary.
	Emit func(b *ingest.Batch) error
	// Mark is told the fingerprint and release of every error, for the record's
	// description; nil for nobody.
	Mark func(b *ingest.Batch, fingerprint, release string)
	// Scrub removes personal data from a title before it is kept; nil keeps the
	// title, in which numbers, quoted text, addresses and URLs are folded anyway.
	Scrub func(p *ingest.Project, title string) string
	// Fleet counts for all gateways; nil for none. Plan asks it.
	Fleet ingest.Fleet
	// Project finds a project by its name, for the summaries of storms that other
	// gateways saw; nil when there is none. Needed with a Fleet.
	Project func(name string) *ingest.Project
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	// Log is told when storms begin to be summed up and when that fails.
	Log zerolog.Logger
}

// Control is storm control for all projects. It is safe for concurrent use.
type Control struct {
	opts    Options
	metrics *metrics
	state   atomic.Pointer[map[string]*project]
	mu      sync.Mutex // serialises configuring; guards leaving
	// leaving are projects taken out of the configuration whose storms have not
	// been summed up yet.
	leaving []*project
}

// New makes a storm control that lets everything pass until Configure. The
// error is a metric that could not be registered.
func New(opts Options) (*Control, error) {
	c := &Control{opts: opts}
	c.state.Store(&map[string]*project{})
	m, err := newMetrics(opts.Registerer, c)
	if err != nil {
		return nil, fmt.Errorf("registering storm metrics: %w", err)
	}
	c.metrics = m
	return c, nil
}

func (c *Control) projects() map[string]*project { return *c.state.Load() }

// Configure puts the settings of all projects in force, by configured name; an
// error changes nothing. Projects that stay keep their counts and storms.
// Projects that are not named pass uncounted.
func (c *Control) Configure(projects map[string]Config) error {
	for name, cfg := range projects {
		if err := cfg.Validate(); err != nil {
			return fmt.Errorf("project %s: storm.%w", name, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.projects()
	next := make(map[string]*project, len(projects))
	for name, cfg := range projects {
		cfg = cfg.withDefaults()
		c.metrics.suppressed.WithLabelValues(name)
		c.metrics.summaries.WithLabelValues(name)
		if p := old[name]; p != nil {
			p.configure(cfg)
			next[name] = p
			continue
		}
		next[name] = newProject(name, cfg)
	}
	for name, p := range old {
		if next[name] == nil {
			c.leaving = append(c.leaving, p)
		}
	}
	c.state.Store(&next)
	return nil
}

// Name is "storm".
func (c *Control) Name() string { return "storm" }

// Apply decides on the errors of a batch. What is suppressed is dropped with
// its attachments, as suppressed/storm; what is forwarded during a storm gets
// two tags. Browsers' security reports are thinned out in the same way, by
// directive and blocked host. Other items are not touched. It never returns an error.
func (c *Control) Apply(b *ingest.Batch) error {
	req := b.Request
	if req.Project == nil || len(b.Items) == 0 {
		return nil
	}
	p := c.projects()[req.Project.Name]
	if p == nil {
		return nil
	}
	for _, it := range b.Items {
		switch {
		case !it.Alive():
		case it.Header.Type == "event":
			c.event(p, b, it)
		case it.Header.Type == "raw_security":
			c.security(p, b, it)
		}
	}
	return nil
}

func (c *Control) event(p *project, b *ingest.Batch, it *ingest.Item) {
	req := b.Request
	o, ok := c.occurrence(b, it)
	if !ok {
		p.unknown(o.client, req.ReceivedAt)
		return
	}
	if c.opts.Mark != nil {
		c.opts.Mark(b, o.id.String(), o.release)
	}
	if p.off() {
		return
	}
	v := c.decide(p, b, it, &o)
	switch {
	case !v.forward:
		b.Drop(it, schemas.Suppressed, Reason)
		c.metrics.suppressed.WithLabelValues(p.name).Inc()
	case v.oneIn > 1 || v.since > 0:
		it.Event().AddTags(
			TagSampleRate, strconv.FormatFloat(1/float64(v.oneIn), 'g', 4, 64),
			TagSuppressed, strconv.FormatUint(v.since, 10),
		)
	}
	if v.stop {
		b.Limits = schemas.MergeRateLimits(b.Limits, []schemas.RateLimit{{
			Categories: []schemas.Category{schemas.CategoryError}, Scope: "key", Reason: Reason,
			Until: req.ReceivedAt.Add(limitFor),
		}}, req.ReceivedAt)
	}
}

// occurrence reads an error event; ok is false when it cannot be read. What Plan
// has read is not read again.
func (c *Control) occurrence(b *ingest.Batch, it *ingest.Item) (o occurrence, ok bool) {
	if asked, ok := b.Request.Ballot().Subject(ingest.StepStorm, it).(*occurrence); ok {
		return *asked, true
	}
	o = occurrence{project: b.Request.Project, publicKey: b.Request.Key}
	o.client = newClientID(o.public(), b.Request.ClientIP)
	ev := it.Event()
	if ev == nil {
		return o, false
	}
	f := Read(ev)
	o.id, o.release, o.env, o.level, o.title = f.ID, f.Release, f.Environment, f.Level, f.Title
	return o, true
}

// decide counts an occurrence, by what all gateways have counted if they were
// asked.
func (c *Control) decide(p *project, b *ingest.Batch, it *ingest.Item, o *occurrence) verdict {
	share, shared := 1, (*ingest.Answer)(nil)
	if a, ok := b.Request.Ballot().Answer(ingest.StepStorm, it); ok {
		shared = &a
	} else if c.opts.Fleet != nil {
		share = c.opts.Fleet.Share()
	}
	v := p.decide(o, b.Request.ReceivedAt, share, shared)
	if v.fresh {
		p.describe(o.key(), c.scrubbed(o))
	}
	return v
}

// scrubbed is an occurrence's title as it may be kept.
func (c *Control) scrubbed(o *occurrence) string {
	if !o.clean && c.opts.Scrub != nil {
		o.title = c.opts.Scrub(o.project, o.title)
	}
	o.clean = true
	return o.title
}

func (p *project) off() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cfg.Off
}

// Sweep ends the storms that are over, stores their summaries and forgets what
// was not seen for a day. Run calls it; tests call it with a clock of theirs.
func (c *Control) Sweep(now time.Time) { c.sweep(now, false) }

// Close ends every storm, so that none is lost with the process: call it when
// no request comes in any more and the spool is still open.
func (c *Control) Close(now time.Time) { c.sweep(now, true) }

func (c *Control) sweep(now time.Time, all bool) {
	c.mu.Lock()
	leaving := c.leaving
	c.leaving = nil
	c.mu.Unlock()
	for _, p := range leaving {
		c.sumUp(p, p.sweep(now, true), now)
	}
	for _, p := range c.projects() {
		c.sumUp(p, p.sweep(now, all), now)
	}
	if !all {
		c.sumUpShared(now)
	}
}

// sumUp stores the summaries of storms that ended. Those of a project that is
// no longer configured have one try.
func (c *Control) sumUp(p *project, ended []*storm, now time.Time) {
	if c.opts.Emit == nil {
		return
	}
	failed := 0
	for _, st := range ended {
		b, err := st.batch(now)
		if err == nil {
			err = c.opts.Emit(b)
		}
		if err == nil {
			c.metrics.summaries.WithLabelValues(p.name).Inc()
			continue
		}
		if failed == 0 {
			c.opts.Log.Warn().Err(err).Str("project", p.name).Msg("storm summary not stored, trying again")
		}
		failed++
		p.giveBack(st)
	}
}

// Run sweeps every second until ctx ends. It blocks; Close is left to the
// caller.
func (c *Control) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			c.Sweep(now) //nolint:contextcheck // what is told must not end with the deadline of what was asked
		}
	}
}
