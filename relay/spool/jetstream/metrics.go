package jetstream

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the spool tells Prometheus. What Stats knows is read from
// it at each scrape.
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

	reg   prometheus.Registerer
	owned []prometheus.Collector
}

const prefix = "breakwater_spool_jetstream_"

func newMetrics() *metrics {
	buckets := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	}
	m := &metrics{
		append: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "breakwater_spool_append_duration_seconds", Buckets: append([]float64{.0001, .00025}, buckets...),
			Help: "Time to make one accepted record durable, waiting for the shared fsync included. It is most of a client's wait.",
		}),
		publish: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: prefix + "publish_duration_seconds", Buckets: buckets,
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
	}
	for _, why := range []string{"max_size", "project_share", "disk", "unavailable"} {
		m.refused.WithLabelValues(why)
	}
	return m
}

func (m *metrics) register(reg prometheus.Registerer, s *Spool) error {
	m.reg = reg
	for _, c := range []prometheus.Collector{
		m.append, m.publish, m.packed, m.reconnects, m.refused, m.leases, m.redelivered, m.conflicts, m.unsynced, m.foreign, &collector{s},
	} {
		if err := reg.Register(c); err != nil {
			m.unregister()
			return errors.Join(errors.New("registering spool metrics"), err)
		}
		m.owned = append(m.owned, c)
	}
	return nil
}

func (m *metrics) unregister() {
	for _, c := range m.owned {
		m.reg.Unregister(c)
	}
	m.owned = nil
}

func queueDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"project", "destination"}, nil)
}

func plainDesc(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

// The names are those of every spool, so that dashboards and alerts fit both.
var (
	descItems    = queueDesc("breakwater_spool_items", "Items waiting for a destination. When it only grows, the upstream is down or too slow.")
	descBytes    = queueDesc("breakwater_spool_bytes", "Bytes on disk waiting for a destination; a record with several destinations counts for each.")
	descOldest   = queueDesc("breakwater_spool_oldest_age_seconds", "Age of the oldest record waiting for a destination, 0 when none waits.")
	descDead     = prometheus.NewDesc("breakwater_relay_dead_letters", "Records a destination refused for good, kept for retry. Look at them in the console.", []string{"destination"}, nil)
	descCapacity = plainDesc("breakwater_spool_capacity_bytes", "How much the spool may take on disk (spool.max_size).")
	descUsed     = plainDesc("breakwater_spool_used_bytes", "How much the spool takes on disk now. Near the capacity requests are answered 503.")
	descDamaged  = plainDesc("breakwater_spool_damaged_records_total", "Damaged records set aside in the folder damaged since the first start. When it moves, suspect the disk.")
)

// collector turns Stats into gauges. All gateways of a stream tell the same:
// take the largest, not the sum.
type collector struct{ s *Spool }

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descItems, descBytes, descOldest, descDead, descCapacity, descUsed, descDamaged} {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	st := c.s.Stats()
	now := c.s.now()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descCapacity, float64(st.Capacity))
	gauge(descUsed, float64(st.Used))
	ch <- prometheus.MustNewConstMetric(descDamaged, prometheus.CounterValue, float64(st.Damaged))
	for _, q := range st.Queues {
		age := 0.0
		if !q.Oldest.IsZero() {
			age = max(now.Sub(q.Oldest).Seconds(), 0)
		}
		gauge(descItems, float64(q.Items), q.Project, q.Name)
		gauge(descBytes, float64(q.Bytes), q.Project, q.Name)
		gauge(descOldest, age, q.Project, q.Name)
		gauge(descDead, float64(q.Dead), q.Destination.String())
	}
}
