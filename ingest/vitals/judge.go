package vitals

import (
	"encoding/hex"
	"strings"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

// page is what all entries of a beacon share.
type page struct {
	env, release, device, os string
	trace                    trace
	sent                     int64
	route                    string // of entries that name no page of their own
	path                     string // of the page that sent the beacon, "" when unknown
}

const (
	maxEnvironment = 64
	maxRelease     = 200
)

// page reads the beacon's frame: labels bounded by slots, the page's route.
func (v *Vitals) page(p *project, req *ingest.Request, b *schemas.Beacon, rule ingest.ReleaseRule, c client, now time.Time) page {
	g := page{trace: traceID(b.TraceID), sent: micros(b.SentAt), device: deviceOf(b.Device, c), os: c.os}
	if b.OS != "" {
		g.os = osName(b.OS)
	}
	env := b.Environment
	if env == "" {
		env = rule.Environment
	}
	if env = ingest.CleanLabel(env, maxEnvironment); env == "" {
		env = "production"
	}
	release := b.Release
	if release == "" {
		release = rule.Default
	}
	release = ingest.CleanLabel(release, maxRelease)
	g.env, g.release = p.slots(env, release, now)
	g.path = pathOf(b.URL)
	router := p.settings.Load().router
	switch {
	case b.Route != "":
		g.route = router.name(b.Route)
	case g.path != "":
		g.route = router.route(g.path)
	case req.Header != nil && b.Source != SourceSentry:
		// Same-origin pages send their whole URL here; others only the origin,
		// which names no page.
		if path := pathOf(req.Header.Get("Referer")); path != "" && (path != "/" || req.Header.Get("Sec-Fetch-Site") == "same-origin") {
			g.route = router.route(path)
		}
	}
	if g.route == "" {
		g.route = UnknownRoute
	}
	return g
}

// traceID keeps only what is a trace id: it goes into exemplars.
func traceID(s string) (t trace) {
	if len(s) != 2*len(t) {
		return trace{}
	}
	var text [2 * len(t)]byte
	copy(text[:], s)
	if _, err := hex.Decode(t[:], text[:]); err != nil {
		return trace{}
	}
	return t
}

// judge validates one entry. ok tells that the report counts; fine that the
// entry made sense, even if it is discarded.
func (v *Vitals) judge(p *project, set *settings, b *schemas.Beacon, e *schemas.Vital, g *page, wrong []bool) (r report, ok, fine bool) {
	if e.Rejected != "" {
		p.rejectName("other", closedReason(e.Rejected))
		return r, false, false
	}
	k, known := lookup(e.Name)
	if !known {
		if strings.EqualFold(e.Name, "FID") {
			p.rejectName("FID", reasonUnsupported)
		} else {
			p.rejectName("other", reasonUnknown)
		}
		return r, false, false
	}
	reason := ""
	if !e.HasValue {
		reason = reasonNotANumber
	} else {
		reason = k.check(e.Value)
	}
	nav := navType(e.NavigationType)
	if reason == "" && k < webVitals {
		switch {
		case nav == soft && k == ttfb:
			reason, fine = reasonSoft, true
		case wrong != nil && k < vital(len(wrong)) && wrong[k] && nav != soft:
			reason = reasonInconsistent
		}
	}
	if reason != "" {
		p.reject(k, reason)
		return r, false, fine
	}
	r = report{sent: g.sent, observation: observation{
		labels: labels{project: p, env: g.env, release: g.release, route: g.route, device: g.device},
		vital:  k, nav: nav, value: e.Value / specs[k].div, trace: g.trace,
	}}
	if k >= webVitals {
		r.device = g.os
	} else if k == inp {
		r.delta = e.Delta / specs[k].div
	}
	if e.NavigationURL != "" && (b.Route == "" || g.path != "" || nav == soft) {
		// The page that was measured need not be the page that sends: a beacon
		// may leave after the next route change.
		if path := pathOf(e.NavigationURL); path != g.path || g.path == "" {
			r.route = set.router.route(path)
		}
	}
	return r, true, true
}

// closedReason keeps the decoder's words to those that metrics were made for.
func closedReason(reason string) string {
	for _, r := range decodeReasons {
		if r == reason {
			return r
		}
	}
	return reasonUnknown
}

// inconsistent finds vitals of one page load that contradict each other: the
// first byte comes before the first paint, the first paint not after the
// largest. Of two that do, neither can be believed. The result is indexed by
// vital; nil when all is well.
func inconsistent(list []schemas.Vital) []bool {
	if len(list) < 2 {
		return nil
	}
	var least, most [webVitals]float64
	var have [webVitals]bool
	nav := ""
	for i := range list {
		e := &list[i]
		k, ok := lookup(e.Name)
		if !ok || k != lcp && k != fcp && k != ttfb || !e.HasValue || k.check(e.Value) != "" || navType(e.NavigationType) == soft {
			continue
		}
		// Entries of several page loads in one beacon cannot be compared.
		load := e.NavigationType + "\x00" + e.NavigationURL
		if nav == "" {
			nav = load
		} else if nav != load {
			return nil
		}
		if !have[k] || e.Value < least[k] {
			least[k] = e.Value
		}
		if !have[k] || e.Value > most[k] {
			most[k] = e.Value
		}
		have[k] = true
	}
	var wrong [webVitals]bool
	found := false
	for _, pair := range [2][2]vital{{fcp, lcp}, {ttfb, fcp}} {
		a, b := pair[0], pair[1]
		if have[a] && have[b] && least[a] > most[b] {
			wrong[a], wrong[b], found = true, true, true
		}
	}
	if !found {
		return nil
	}
	return wrong[:]
}
