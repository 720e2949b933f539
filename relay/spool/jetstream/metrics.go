package jetstream

import (
	"github.com/prometheus/client_golang/prometheus"

	"breakwater/relay/spool"
)

// metrics are what the spool tells Prometheus beside what Stats knows. All
// gateways of a stream tell the same of that: take the largest, not the sum.
type metrics struct {
	append      prometheus.Histogram
	publish     prometheus.Histogram
	packed      prometheus.Histogram
	reconnects  prometheus.Counter
	refused     *prometheus.CounterVec
	leases      prometheus.Gauge
	redelivered prometheus.Counter
	conflicts   prometheus.Counter
	unsynced    prometheus.Counter
	foreign     prometheus.Counter
	lost        prometheus.Counter

	registered *spool.Registered
}

const prefix = "breakwater_spool_jetstream_"

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	}
	m := &metrics{
		append: spool.AppendDuration(),
		publish: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "publish_duration_seconds", Buckets: spool.Durations[2:],
			Help: "Time until the servers confirmed one message. When it rises, their disks or the network between them are slow.",
		}),
		packed: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "packed_records", Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512},
			Help: "Records that went into one message together. It grows with the load, which keeps fsyncs few.",
		}),
		reconnects: counter("reconnects_total", "Connections to a server that were made again."),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "refused_total",
			Help: "Records refused with 503, by why: max_size, project_share, disk, or unavailable, which is servers without a majority or without a connection.",
		}, []string{"why"}),
		leases: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: prefix + "leases", Help: "Messages this gateway holds for delivery, once per destination.",
		}),
		redelivered: counter("redelivered_total", "Messages that came from the servers more than once: after waiting, or after a gateway ended without handing them back."),
		conflicts:   counter("state_conflicts_total", "Times two gateways wrote about the same message at once; they agree by trying again."),
		unsynced:    counter("unsynced_servers_total", "Servers found without sync_interval: always after the start. Above 0, a power cut can lose what was acknowledged."),
		foreign:     counter("unknown_version_total", "Times a message of a version came that this gateway does not know. It is left to newer gateways; when there are none any more, start one."),
		lost:        counter("lost_records_total", "Records that waited in a stream which somebody removed, as far as the last look knew. The stream was made again; the records are lost."),
	}
	for _, why := range []string{"max_size", "project_share", "disk", "unavailable"} {
		m.refused.WithLabelValues(why)
	}
	return m
}

func (m *metrics) register(reg prometheus.Registerer, s *Spool) (err error) {
	m.registered, err = spool.Register(reg, m.append, m.publish, m.packed, m.reconnects, m.refused, m.leases, m.redelivered,
		m.conflicts, m.unsynced, m.foreign, m.lost, &spool.Gauges{Stats: s.Stats, Now: s.now})
	return err
}
