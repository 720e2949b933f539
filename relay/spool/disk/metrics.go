package disk

import (
	"github.com/prometheus/client_golang/prometheus"

	"breakwater/relay/spool"
)

// metrics are what the spool tells Prometheus beside what Stats knows.
type metrics struct {
	append  prometheus.Histogram
	fsync   prometheus.Histogram
	evicted prometheus.Counter

	registered *spool.Registered
}

func newMetrics() *metrics {
	return &metrics{
		append: spool.AppendDuration(),
		fsync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "breakwater_spool_fsync_duration_seconds", Buckets: spool.Durations,
			Help: "Time of one fsync of the spool's segment. When it rises, the disk is slow or busy.",
		}),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "breakwater_spool_dead_letters_evicted_total",
			Help: "Dead letters dropped because they were over their part of the disk. Retry or drop them earlier, or give them more room.",
		}),
	}
}

func (m *metrics) register(reg prometheus.Registerer, s *Spool) (err error) {
	m.registered, err = spool.Register(reg, m.append, m.fsync, m.evicted, &spool.Gauges{Stats: s.Stats, Now: s.now, Files: true})
	return err
}
