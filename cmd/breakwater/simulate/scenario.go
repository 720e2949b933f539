package simulate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"breakwater/schemas"
)

// Scenarios are the names a run may have, with what each one sends.
var Scenarios = []struct{ Name, Help string }{
	{"mixed", "browser visits with errors, sessions, logs, spans and Web Vitals, beside phones with app starts and crashes"},
	{"errors", "browser visits: errors of two dozen bugs, some rare, and sessions"},
	{"storm", "one bug in 19 of 20 errors, as after a bad deployment"},
	{"vitals", "page views with Web Vitals only"},
	{"crash", "phones: app starts, fatal errors, plain JSON crash reports, sessions that crash"},
	{"release-gone-bad", "the last release takes over from the one before; it crashes in one session of eight and paints late"},
}

// ScenarioNames lists them for a command line.
func ScenarioNames() []string {
	names := make([]string, len(Scenarios))
	for i, s := range Scenarios {
		names[i] = s.Name
	}
	return names
}

// request is one thing to post.
type request struct {
	path        string // below the DSN's base
	contentType string
	userAgent   string
	address     string // the invented client's, for X-Forwarded-For
	body        []byte
	items       tally
	events      int // envelopes with an event id
}

// tally is items by category.
type tally map[schemas.Category]int

func (t tally) add(other tally) {
	for c, n := range other {
		t[c] += n
	}
}

func (t tally) total() (n int) {
	for _, v := range t {
		n += v
	}
	return n
}

// generator makes visits. It is used from one goroutine.
type generator struct {
	rnd       *rand.Rand
	key       string
	project   string
	scenario  string
	releases  []string
	addresses int
	now       func() time.Time
	progress  func() float64 // 0 to 1: how far the run is
	queue     []request
}

func newGenerator(o *Options, progress func() float64) (*generator, error) {
	if !slices.Contains(ScenarioNames(), o.Scenario) {
		return nil, fmt.Errorf("no scenario is named %q; there are %s", o.Scenario, strings.Join(ScenarioNames(), ", "))
	}
	releases := o.Releases
	if len(releases) == 0 {
		releases = []string{"shop@1.4.1", "shop@1.4.2"}
	}
	for _, r := range releases {
		if !schemas.ValidRelease(r) {
			return nil, fmt.Errorf("%q is no name for a release", r)
		}
	}
	if o.Scenario == "release-gone-bad" && len(releases) < 2 {
		return nil, fmt.Errorf("release-gone-bad needs two releases: the good one first")
	}
	return &generator{
		rnd: rand.New(rand.NewPCG(o.Seed, 0x5eed)), key: o.DSN.PublicKey, project: o.DSN.ProjectID,
		scenario: o.Scenario, releases: releases, addresses: o.Addresses, now: o.Now, progress: progress,
	}, nil
}

// next is the next request; the requests of a visit come in their order.
func (g *generator) next() request {
	for len(g.queue) == 0 {
		g.visit()
	}
	r := g.queue[0]
	g.queue = g.queue[1:]
	return r
}

func (g *generator) push(r request) { g.queue = append(g.queue, r) }

// visit queues what one person's visit makes an app send.
func (g *generator) visit() {
	p := g.person()
	switch g.scenario {
	case "errors":
		g.browserErrors(p, 0.5)
	case "storm":
		g.storm(p)
	case "vitals":
		g.pageView(p, 1)
	case "crash":
		g.phone(p)
	case "release-gone-bad":
		g.goneBad(p)
	default:
		switch n := g.rnd.IntN(10); {
		case n < 4:
			g.pageView(p, 1)
			g.browserErrors(p, 0.15)
		case n < 6:
			g.pageView(p, 1)
			g.push(g.spans(p))
		case n < 7:
			g.push(g.transaction(p))
			g.push(g.logs(p))
		default:
			g.phone(p)
		}
	}
}

// browserErrors is a visit with a session; in a share of them something breaks.
func (g *generator) browserErrors(p person, share float64) {
	s := g.newSession(p)
	g.push(g.session(p, &s, true, "ok"))
	if g.chance(share) {
		b := g.bug()
		s.errors++
		status := "ok"
		if !b.handled {
			status = "unhandled"
		}
		g.push(g.session(p, &s, false, status))
		g.push(g.browserEvent(p, b))
	}
	if g.chance(0.02) {
		g.push(g.clientReport(p))
	}
	g.push(g.session(p, &s, false, "exited"))
}

// storm is one bug over and over, and now and then another.
func (g *generator) storm(p person) {
	b := bugs[0]
	if g.chance(0.05) {
		b = g.bug()
	}
	g.push(g.browserEvent(p, b))
}

// phone is one start of the app; one in eight ends in a crash.
func (g *generator) phone(p person) {
	p.phone()
	s := g.newSession(p)
	g.push(g.session(p, &s, true, "ok"))
	g.push(g.appStart(p))
	switch {
	case g.chance(0.1):
		s.errors++
		g.push(g.nativeCrash(p, &s))
	case g.chance(0.03):
		g.push(g.crashReport(p))
	default:
		g.push(g.session(p, &s, false, "exited"))
	}
}

// goneBad moves people from the last but one release to the last one over the
// run; the last one crashes and paints late.
func (g *generator) goneBad(p person) {
	good, bad := g.releases[len(g.releases)-2], g.releases[len(g.releases)-1]
	p.release = good
	slow, crash := 1.0, 0.01
	if g.chance(min(0.95, 0.1+g.progress())) {
		p.release, slow, crash = bad, 2.2, 0.125
	}
	g.pageView(p, slow)
	s := g.newSession(p)
	g.push(g.session(p, &s, true, "ok"))
	if !g.chance(crash) {
		g.push(g.session(p, &s, false, "exited"))
		return
	}
	s.errors++
	g.push(g.browserEvent(p, bugs[1]))
	g.push(g.session(p, &s, false, "crashed"))
}

func (g *generator) chance(p float64) bool { return g.rnd.Float64() < p }
