// Package vitals turns measurements of pages and apps into Prometheus series
// that can be trusted at the thresholds.
//
//	beacon, Faro, OTLP ──Record──┐
//	                             ▼
//	               validate → settle (one entry per id) → label budget → histogram
//	                             ▲                                       rating counter
//	Sentry envelopes ─FromSentry─┘
//
// # What it promises
//
// One observation per (project, vital, id), whatever is repeated, reordered
// or retried. The web-vitals library reports LCP, CLS and INP again whenever a
// page is hidden, so an id is observed only after Settle (60 s) of quiet, at the
// latest SettleMax (10 min) after its first report. LCP and CLS never fall for
// one id: their maximum is final in any order. INP can fall (beyond 50
// interactions it is a 98th percentile): its latest report counts, by the
// client's send time when it has one, else by the chain of value and delta,
// else by arrival. In a chain the same step twice is a repeat, since retries look
// like that: an INP that goes 104, 200, 104, 200 ms before it settles counts as
// 104. FCP and TTFB do not change: the first report counts. The
// mobile measurements are final when they are sent and are observed at once.
//
// The table of waiting ids is bounded (MaxPending). When it is full those that
// have been quiet longest are observed early, some dozens at a time; none is lost.
// A report for an id that was already observed is counted as late
// (web_vitals_late_updates_total), never observed again: hashes of observed ids
// are remembered, at least the newest MaxSeen.
//
// A value exactly at a threshold has the better rating and falls below the
// bucket bound of the same number: milliseconds are divided by 1000 (700 * 0.001
// is not 0.7), and rating and bucket are taken from the same number. So the
// share of good page views is exact, from the buckets and from
// web_vitals_ratings_total alike. Nothing is clamped: what cannot be a real
// measurement is counted by reason in web_vitals_rejected_total.
//
// No project has more than SeriesPerProject label sets (environment, route,
// device or os) at a time, whatever is sent; see budget.go for who gets them.
//
// # What is lost when
//
// A graceful stop writes waiting and observed ids to a snapshot (SaveFile)
// which the next start loads: nothing is lost or doubled. kill -9 loses the
// page views that were still settling: at most the reports of the last Settle
// (60 s), SettleMax for a page that keeps reporting. It also forgets which ids
// were observed: a report that comes for one after that counts again. Like all of a process's
// counters, the histograms themselves start again from zero; Prometheus
// expects that.
//
// # Two sources, one page
//
// A page may run both the web-vitals library and a Sentry SDK, and both
// report the same page view under ids that have nothing in common. The rule is
// precedence: a vital from Sentry traffic is dropped (reason superseded) when
// a beacon of the same project and vital was seen within the last ten minutes
// (beacons are noted once a second, so it may be a second more) under the same
// release, or under none. It is decided when the Sentry value has settled, so the
// beacon may come up to a minute later. A page view that is alone for ten minutes
// and whose beacon comes later still counts from both: by then Sentry's value is
// in the histograms. Projects whose pages use one of the two are not touched by
// the rule, nor are two apps of one project with different releases.
//
// # Who is counted
//
// Crawlers and headless browsers are kept out of the histograms and counted
// in web_vitals_traffic_total{traffic="bot"}. Clients whose User-Agent names no
// browser count as suspect there but stay in the histograms: test tools and
// backends that forward beacons look just like that. CountBots brings
// the bots in, for test rigs that drive a headless browser.
//
// Soft navigations (route changes inside a page) have their own place,
// web_vitals_navigations_total{navigation_type="soft-navigation"}, and are never
// blended with page loads; their TTFB is a placeholder and discarded.
package vitals
