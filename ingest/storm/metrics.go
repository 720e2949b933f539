package storm

import "github.com/prometheus/client_golang/prometheus"

// metrics of storm control.
type metrics struct {
	suppressed *prometheus.CounterVec
	fingers    *prometheus.Desc
	summaries  *prometheus.CounterVec
	control    *Control
}

func newMetrics(reg prometheus.Registerer, c *Control) (*metrics, error) {
	m := &metrics{
		suppressed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "breakwater_storm_suppressed_total",
			Help: "Errors answered 200 and not passed on because their fingerprint came too often. When it rises, one bug is flooding: the console lists the fingerprints.",
		}, []string{"project"}),
		summaries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "breakwater_storm_summaries_total",
			Help: "Storms that ended and were summed up in an event of their own.",
		}, []string{"project"}),
		fingers: prometheus.NewDesc("breakwater_storm_fingerprints",
			"Fingerprints of errors remembered. At its bound (max_fingerprints) the rarest are forgotten.",
			[]string{"project"}, nil),
		control: c,
	}
	if reg == nil {
		return m, nil
	}
	for _, col := range []prometheus.Collector{m.suppressed, m.summaries, m} {
		if err := reg.Register(col); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Describe is of prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) { ch <- m.fingers }

// Collect is of prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for name, p := range m.control.projects() {
		p.mu.Lock()
		n := p.table.len()
		p.mu.Unlock()
		ch <- prometheus.MustNewConstMetric(m.fingers, prometheus.GaugeValue, float64(n), name)
	}
}
