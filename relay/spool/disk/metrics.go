package disk

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the spool tells Prometheus. What Stats knows is read from
// it at each scrape; no goroutine keeps gauges up to date.
type metrics struct {
	append  prometheus.Histogram
	fsync   prometheus.Histogram
	evicted prometheus.Counter

	reg   prometheus.Registerer
	owned []prometheus.Collector
}

func newMetrics() *metrics {
	buckets := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	return &metrics{
		append: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "breakwater_spool_append_duration_seconds", Buckets: buckets,
			Help: "Time to make one accepted record durable, waiting for the shared fsync included. It is most of a client's wait.",
		}),
		fsync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "breakwater_spool_fsync_duration_seconds", Buckets: buckets,
			Help: "Time of one fsync of the spool's segment. When it rises, the disk is slow or busy.",
		}),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "breakwater_spool_dead_letters_evicted_total",
			Help: "Dead letters dropped because they were over their part of the disk. Retry or drop them earlier, or give them more room.",
		}),
	}
}

func (m *metrics) register(reg prometheus.Registerer, s *Spool) error {
	m.reg = reg
	for _, c := range []prometheus.Collector{m.append, m.fsync, m.evicted, &collector{s}} {
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

var (
	descItems    = queueDesc("breakwater_spool_items", "Items waiting for a destination. When it only grows, the upstream is down or too slow.")
	descBytes    = queueDesc("breakwater_spool_bytes", "Bytes on disk waiting for a destination; a record with several destinations counts for each.")
	descOldest   = queueDesc("breakwater_spool_oldest_age_seconds", "Age of the oldest record waiting for a destination, 0 when none waits.")
	descDead     = prometheus.NewDesc("breakwater_relay_dead_letters", "Records a destination refused for good, kept for retry. Look at them in the console.", []string{"destination"}, nil)
	descCapacity = plainDesc("breakwater_spool_capacity_bytes", "How much the spool may take on disk (spool.max_size).")
	descUsed     = plainDesc("breakwater_spool_used_bytes", "How much the spool takes on disk now. Near the capacity requests are answered 503.")
	descFree     = plainDesc("breakwater_spool_free_bytes", "Free bytes of the spool's file system. Below spool.min_free requests are answered 503.")
	descDamaged  = plainDesc("breakwater_spool_damaged_records_total", "Damaged records set aside in the folder damaged since the first start. When it moves, suspect the disk.")
)

// collector turns Stats into gauges. Its series are those of the queues: the
// configured destinations, and such as were configured and still hold records.
type collector struct{ s *Spool }

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descItems, descBytes, descOldest, descDead, descCapacity, descUsed, descFree, descDamaged} {
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
	gauge(descFree, float64(st.Free))
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
