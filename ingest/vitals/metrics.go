package vitals

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the families of this package. Labels come from closed lists,
// from slots or from the series budget; never straight from a client.
type metrics struct {
	// hist, ratings, frames and stalls have a series per page; pages lists them.
	hist    [vitalCount]*family // nil for vitals that are counted, and for app starts
	ratings *family
	frames  *family
	stalls  *family
	pages   []*family

	navigations *prometheus.CounterVec
	releases    *prometheus.CounterVec
	rejected    *prometheus.CounterVec
	late        *prometheus.CounterVec
	folded      *prometheus.CounterVec
	traffic     *prometheus.CounterVec
	biased      *prometheus.GaugeVec
	sets        *prometheus.GaugeVec
	early       prometheus.Counter

	start [3]*prometheus.HistogramVec // cold, warm, hot
}

var (
	startTypes   = [...]string{"cold", "warm", "hot"}
	frameKinds   = [...]string{"slow", "frozen", "total"}
	webLabels    = []string{"project", "environment", "route", "device"}
	mobileLabels = []string{"project", "environment", "route", "os"}
)

// histogramOpts are of a histogram that is classic and native at once. The zero
// threshold bounds the native buckets below 160 for every value that passes
// validation (0.1 ms to 60 s, 0.001 to 10), so that the reset after an hour,
// which would take the classic buckets with it, never comes.
func histogramOpts(name, help string, v vital) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help,
		Buckets:                         specs[v].buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
		NativeHistogramZeroThreshold:    zeroThreshold(v),
	}
}

func zeroThreshold(v vital) float64 {
	if v == cls {
		return 0.001
	}
	return 0.0001
}

// newMetrics registers the families that have a series per page with pages, the
// others with reg.
func newMetrics(reg, pages prometheus.Registerer, pending func() float64, limit int) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		ratings: counterFamily("web_vitals_ratings_total",
			"Page loads by the rating the gateway gave, exact at the published thresholds. Use it for verdicts and alerts: the share of good must be 0.75 or more.",
			"project", "environment", "route", "device", "vital", "rating"),
		navigations: counter("web_vitals_navigations_total",
			"Measurements by navigation type. Soft navigations are only here, never in the histograms.",
			"project", "vital", "navigation_type", "rating"),
		releases: counter("web_vitals_releases_total",
			"Page loads by release: the newest releases by name, the rest as __other__. Compare a new release with the one before it.",
			"project", "release", "vital", "rating"),
		rejected: counter("web_vitals_rejected_total",
			"Measurements that were not counted, by reason. A rise after a release of the site means that its measuring code is broken.",
			"project", "vital", "reason"),
		late: counter("web_vitals_late_updates_total",
			"Reports for a page view that was already counted. A high share means that the settle period is too short for this site.",
			"project", "vital"),
		folded: counter("web_vitals_folded_total",
			"Measurements counted under route __other__ because the series budget was spent. Add route templates when it rises.",
			"project"),
		traffic: counter("web_vitals_traffic_total",
			"Measurements as they were reported, repeats included, by who sent them. Bots are kept out of the histograms.",
			"project", "traffic"),
		biased: gauge("web_vitals_biased",
			"1 when 200 or more measurements held no good one: the client reports only poor values, so shares and percentiles mean nothing.",
			"project"),
		sets: gauge("web_vitals_label_sets",
			"Label sets in use of those the series budget allows (web_vitals_label_sets_limit).",
			"project"),
		early: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "web_vitals_settled_early_total",
			Help: "Measurements counted before their time because 100 000 were waiting. What a page reports of them later is late. When it grows, shorten vitals.settle or add a gateway.",
		}),
		frames: counterFamily("mobile_frames_total",
			"Rendered frames: slow (over 16 ms, scaled for faster screens), frozen (over 700 ms) and total. Divide for a ratio.",
			"project", "environment", "route", "os", "kind"),
		stalls: counterFamily("mobile_stalls_total", "Stalls of the JavaScript thread.", mobileLabels...),
	}
	m.hist[ttid] = histogramFamily("mobile_ttid_seconds", "Time to initial display of a screen.", ttid, mobileLabels)
	m.hist[ttfd] = histogramFamily("mobile_ttfd_seconds", "Time to full display of a screen.", ttfd, mobileLabels)
	m.hist[stallLongest] = histogramFamily("mobile_stall_longest_seconds", "Longest stall of the JavaScript thread during one screen.", stallLongest, mobileLabels)
	names := [webVitals][2]string{
		lcp:  {"web_vitals_lcp_seconds", "Largest Contentful Paint of page loads. Good up to 2.5 s, poor over 4 s."},
		inp:  {"web_vitals_inp_seconds", "Interaction to Next Paint of page loads. Good up to 0.2 s, poor over 0.5 s."},
		cls:  {"web_vitals_cls", "Cumulative Layout Shift of page loads, without a unit. Good up to 0.1, poor over 0.25."},
		fcp:  {"web_vitals_fcp_seconds", "First Contentful Paint of page loads. Good up to 1.8 s, poor over 3 s."},
		ttfb: {"web_vitals_ttfb_seconds", "Time to First Byte of page loads. Good up to 0.8 s, poor over 1.8 s."},
	}
	for v, n := range names {
		m.hist[v] = histogramFamily(n[0], n[1], vital(v), webLabels)
	}
	for _, f := range append(m.hist[:], m.ratings, m.frames, m.stalls) {
		if f != nil {
			m.pages = append(m.pages, f)
			pages.MustRegister(f)
		}
	}
	for i, typ := range startTypes {
		// One family, but cold starts need other bounds than warm and hot ones.
		opts := histogramOpts("mobile_app_start_seconds", "App starts until the first frame, by type: cold, warm, hot.", appStartCold+vital(i))
		opts.ConstLabels = prometheus.Labels{"type": typ}
		m.start[i] = prometheus.NewHistogramVec(opts, []string{"project", "environment", "os"})
		reg.MustRegister(m.start[i])
	}
	reg.MustRegister(m.navigations, m.releases, m.rejected, m.late, m.folded, m.traffic, m.biased, m.sets, m.early,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "web_vitals_pending",
			Help: "Page views waiting to settle before they are counted.",
		}, pending),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "web_vitals_label_sets_limit",
			Help: "Label sets one project may have at most (vitals.series_per_project).",
		}, func() float64 { return float64(limit) }))
	return m
}

// zero makes the series of closed lists of one project, so that a first
// increase is seen as one.
func (m *metrics) zero(project string) {
	for v := range webVitals {
		name := specs[v].name
		m.late.WithLabelValues(project, name)
		for _, r := range webReasons {
			m.rejected.WithLabelValues(project, name, r)
		}
	}
	for v := range vitalCount {
		for _, r := range valueReasons {
			m.rejected.WithLabelValues(project, specs[v].name, r)
		}
	}
	m.rejected.WithLabelValues(project, "LCP", reasonZero)
	m.rejected.WithLabelValues(project, "TTFB", reasonSoft)
	m.rejected.WithLabelValues(project, "FID", reasonUnsupported)
	m.rejected.WithLabelValues(project, "other", reasonUnknown)
	for _, r := range decodeReasons {
		m.rejected.WithLabelValues(project, "other", r)
	}
	for _, t := range trafficNames {
		m.traffic.WithLabelValues(project, t)
	}
	m.folded.WithLabelValues(project)
	m.biased.WithLabelValues(project)
	m.sets.WithLabelValues(project)
}
