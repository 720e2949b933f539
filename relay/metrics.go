package relay

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater/schemas"
)

// metrics of the delivery side. The label destination is "project/name": the
// configuration bounds it.
type metrics struct {
	attempts *prometheus.CounterVec
	duration *prometheus.HistogramVec
	latency  *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer, queues func() []*queue) (*metrics, error) {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "breakwater_relay_attempts_total",
			Help: "Delivery attempts by how they ended. delivered and partial are good; everything else names what the upstream or the way to it did.",
		}, []string{"destination", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "breakwater_relay_duration_seconds",
			Help:    "Time of one delivery attempt, whatever its result. When it nears the upstream's timeout, look at the upstream.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120, 600},
		}, []string{"destination"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "breakwater_relay_delivery_latency_seconds",
			Help:    "Time from receiving a record to its delivery, waiting in the spool included. It shows how late an outage made the reports.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 86400, 2 * 86400, 7 * 86400, 14 * 86400, 30 * 86400},
		}, []string{"destination"}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.attempts, m.duration, m.latency, stateCollector{queues}} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// open makes a destination's zero values.
func (m *metrics) open(dst string) {
	for _, r := range Results {
		m.attempts.WithLabelValues(dst, r)
	}
	m.duration.WithLabelValues(dst)
	m.latency.WithLabelValues(dst)
}

// forget removes a destination that is no longer configured. An attempt that
// still ends afterwards makes its counters again.
func (m *metrics) forget(dst string) {
	by := prometheus.Labels{"destination": dst}
	m.attempts.DeletePartialMatch(by)
	m.duration.DeletePartialMatch(by)
	m.latency.DeletePartialMatch(by)
}

func (m *metrics) attempt(dst, result string, took time.Duration) {
	m.attempts.WithLabelValues(dst, result).Inc()
	m.duration.WithLabelValues(dst).Observe(took.Seconds())
}

func (m *metrics) delivered(dst string, held time.Duration) {
	m.latency.WithLabelValues(dst).Observe(max(held, 0).Seconds())
}

// closedResult folds what is not in Results into "error", so that no
// destination can make new label values.
func closedResult(reason string) string {
	if slices.Contains(Results, reason) {
		return reason
	}
	return "error"
}

// stateCollector reads the queues when it is asked: nothing has to be kept in
// step.
type stateCollector struct{ queues func() []*queue }

var (
	descState = prometheus.NewDesc("breakwater_relay_circuit_state",
		"1 for the state a destination is in. open and half_open: the upstream is away and its records wait; held: it has no DSN.",
		[]string{"destination", "state"}, nil)
	descPaused = prometheus.NewDesc("breakwater_relay_paused",
		"1 while somebody paused the destination.", []string{"destination"}, nil)
	descInFlight = prometheus.NewDesc("breakwater_relay_in_flight",
		"Records being delivered now. At the configured concurrency all the time: the upstream is the bottleneck.",
		[]string{"destination"}, nil)
	descLimited = prometheus.NewDesc("breakwater_relay_upstream_limited_until_seconds",
		"Unix time until which the upstream wants nothing of a category; 0 when it does.",
		[]string{"destination", "category"}, nil)
)

func (c stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descState, descPaused, descInFlight, descLimited} {
		ch <- d
	}
}

func (c stateCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, q := range c.queues() {
		now := q.relay.cfg.Now()
		q.mu.Lock()
		state, paused := q.circuit.state, q.paused
		q.mu.Unlock()
		for _, s := range States {
			gauge(descState, truth(s == state), q.label, string(s))
		}
		gauge(descPaused, truth(paused), q.label)
		gauge(descInFlight, float64(q.seen.flying()), q.label)
		if _, ok := q.dc.Upstream.(Limiter); !ok {
			continue
		}
		limits := q.limits(now)
		for _, cat := range schemas.Categories {
			until := 0.0
			if t := longest(limits, cat, now); !t.IsZero() {
				until = float64(t.Unix())
			}
			gauge(descLimited, until, q.label, string(cat))
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
