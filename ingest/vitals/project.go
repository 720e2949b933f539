package vitals

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater/ingest"
)

// project is the state of one project: its slots, its series budget and the
// series themselves.
type project struct {
	name     string
	m        *metrics
	settings atomic.Pointer[settings]

	// Looked up once: a measurement counts in one of each.
	navigations [webVitals][len(navTypes)][len(ratings)]prometheus.Counter
	traffic     [len(trafficNames)]prometheus.Counter
	late        [webVitals]prometheus.Counter
	folded      prometheus.Counter
	biased      prometheus.Gauge
	sets        prometheus.Gauge

	noted [webVitals]noted // guarded by Vitals.mu

	mu         sync.Mutex
	envs       *ingest.FirstSlots
	releases   *ingest.NewestSlots
	perRelease map[string]*[webVitals][3]prometheus.Counter
	budget     *budget
	samples    int
	goods      int
	history    [webVitals][len(deviceClasses)]*history
}

type settings struct {
	router     *router
	fromSentry bool
}

func (v *Vitals) newProject(name string) *project {
	p := &project{
		name: name, m: v.m,
		folded: v.m.folded.WithLabelValues(name), biased: v.m.biased.WithLabelValues(name), sets: v.m.sets.WithLabelValues(name),
		envs: ingest.NewFirstSlots(v.cfg.Environments), releases: ingest.NewNewestSlots(v.cfg.ReleaseSlots),
		perRelease: map[string]*[webVitals][3]prometheus.Counter{},
	}
	p.budget = newBudget(v.cfg.SeriesPerProject, func(c *cell) {
		c.each(v.m, (*family).drop)
		v.cfg.Log.Info().Str("project", name).Str("environment", c.key.env).Str("route", c.key.route).Str("device", c.key.dim).
			Msg("route gave its place to a busier one")
	})
	v.m.zero(name)
	for i, t := range trafficNames {
		p.traffic[i] = v.m.traffic.WithLabelValues(name, t)
	}
	for k := range webVitals {
		for n, nav := range navTypes {
			for r, word := range ratings {
				if k != ttfb || nav != navSoft {
					p.navigations[k][n][r] = v.m.navigations.WithLabelValues(name, specs[k].name, nav, word)
				}
			}
		}
		p.late[k] = v.m.late.WithLabelValues(name, specs[k].name)
	}
	return p
}

func (p *project) reject(k vital, reason string) { p.rejectName(specs[k].name, reason) }

func (p *project) rejectName(vital, reason string) {
	p.m.rejected.WithLabelValues(p.name, vital, reason).Inc()
}

// slots turns environment and release into labels. A release that lost its
// place loses its series: from then on it is counted under __other__.
func (p *project) slots(env, release string, now time.Time) (string, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	env = p.envs.Label(env)
	if release == "" {
		return env, ""
	}
	release, retired := p.releases.Label(release, now)
	if retired != "" {
		delete(p.perRelease, retired)
		p.m.releases.DeletePartialMatch(prometheus.Labels{"project": p.name, "release": retired})
	}
	return env, release
}

// biasWindow is how many samples are judged before the count starts again.
const (
	biasMin    = 200
	biasWindow = 1000
)

// observe counts one settled measurement.
func (p *project) observe(o *observation, now time.Time) {
	if o.vital >= webVitals {
		p.observeMobile(o, now)
		return
	}
	rating := specs[o.vital].rate(o.value)
	p.navigations[o.vital][o.nav][rating].Inc()
	if o.nav == soft {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c, k := p.cell(now, setKey{env: o.env, route: o.route, dim: o.device})
	if c.hist[o.vital] == nil {
		c.hist[o.vital] = p.m.hist[o.vital].add(p.name, k.env, k.route, k.dim)
		for i, r := range ratings {
			c.ratings[o.vital][i] = p.m.ratings.add(p.name, k.env, k.route, k.dim, specs[o.vital].name, r)
		}
	}
	trace := ""
	if rating == poor {
		trace = o.trace.String()
	}
	c.hist[o.vital].add(o.value, trace)
	c.ratings[o.vital][rating].add(1, "")
	p.remember(o, rating, now)
	p.countRelease(o, rating)
	p.bias(rating)
}

func (p *project) countRelease(o *observation, r rating) {
	if o.release == "" {
		return
	}
	release := o.release
	if release != ingest.OtherLabel && !p.releases.Current(release) {
		release = ingest.OtherLabel // lost its place while this one was settling
	}
	counters := p.perRelease[release]
	if counters == nil {
		counters = &[webVitals][3]prometheus.Counter{}
		p.perRelease[release] = counters
	}
	if counters[o.vital][r] == nil {
		for i, word := range ratings {
			counters[o.vital][i] = p.m.releases.WithLabelValues(p.name, release, specs[o.vital].name, word)
		}
	}
	counters[o.vital][r].Inc()
}

func (p *project) bias(r rating) {
	p.samples++
	if r == good {
		p.goods++
	}
	if p.samples >= biasMin {
		flag := 0.0
		if p.goods == 0 {
			flag = 1
		}
		p.biased.Set(flag)
	}
	if p.samples >= biasWindow {
		p.samples, p.goods = 0, 0
	}
}

// cell finds the label set within the budget.
func (p *project) cell(now time.Time, k setKey) (*cell, setKey) {
	before := len(p.budget.sets)
	c, got, folded := p.budget.cell(k, now)
	if folded {
		p.folded.Inc()
	}
	if n := len(p.budget.sets); n != before {
		p.sets.Set(float64(n))
	}
	return c, got
}

func (p *project) observeMobile(o *observation, now time.Time) {
	if o.vital <= appStartHot {
		p.m.start[o.vital-appStartCold].WithLabelValues(p.name, o.env, o.device).Observe(o.value)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c, k := p.cell(now, setKey{mobile: true, env: o.env, route: o.route, dim: o.device})
	switch o.vital {
	case framesSlow, framesFrozen, framesTotal:
		if c.frames[0] == nil {
			for i, kind := range frameKinds {
				c.frames[i] = p.m.frames.add(p.name, k.env, k.route, k.dim, kind)
			}
		}
		c.frames[o.vital-framesSlow].add(o.value, "")
	case stallCount:
		if c.stalls == nil {
			c.stalls = p.m.stalls.add(p.name, k.env, k.route, k.dim)
		}
		c.stalls.add(o.value, "")
	default:
		if c.hist[o.vital] == nil {
			c.hist[o.vital] = p.m.hist[o.vital].add(p.name, k.env, k.route, k.dim)
		}
		c.hist[o.vital].add(o.value, "")
	}
}
