package fleet

import "github.com/prometheus/client_golang/prometheus"

// metrics of a fleet; they are there only where one is configured.
type metrics struct {
	together, alone prometheus.Counter
	trips, calls    prometheus.Counter
	errors          *prometheus.CounterVec
	took            prometheus.Histogram
}

// failures are the closed list of reasons.
var failures = []string{"timeout", "connection", "refused", "crowded"}

func newMetrics(reg prometheus.Registerer, f *Fleet) (*metrics, error) {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "breakwater_limits_decisions_total",
		Help: "Requests decided by what all gateways know (shared) or by this one alone because Redis did not answer (alone). While it is away, limits hold per gateway.",
	}, []string{"by"})
	m := &metrics{
		together: decisions.WithLabelValues("shared"), alone: decisions.WithLabelValues("alone"),
		trips: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "breakwater_limits_redis_round_trips_total",
			Help: "Round trips to Redis on behalf of requests. Requests that ask at the same time share one.",
		}),
		calls: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "breakwater_limits_redis_calls_total",
			Help: "Calls in those round trips.",
		}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "breakwater_limits_redis_errors_total",
			Help: "Calls to Redis that failed. Each was decided without it.",
		}, []string{"reason"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "breakwater_limits_redis_duration_seconds",
			Help:    "What requests waited for Redis.",
			Buckets: []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1},
		}),
	}
	for _, reason := range failures {
		m.errors.WithLabelValues(reason)
	}
	if reg == nil {
		return m, nil
	}
	up := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "breakwater_limits_redis_up",
		Help: "1 while Redis answers and limits are shared, 0 while each gateway limits alone.",
	}, func() float64 {
		if f.Up() {
			return 1
		}
		return 0
	})
	for _, c := range []prometheus.Collector{decisions, m.trips, m.calls, m.errors, m.took, up} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) fail(reason string) { m.errors.WithLabelValues(reason).Inc() }
