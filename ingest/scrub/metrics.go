package scrub

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	scrubbed *prometheus.CounterVec
}

// newMetrics registers the package's one metric. Its rule label is RuleNames
// and the names of custom rules, its project label the configured names.
func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{scrubbed: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "breakwater_scrubbed_total",
		Help: "Pieces of personal data and secrets removed, by rule. A sudden rise names a client that has begun to send what it should not.",
	}, []string{"project", "rule"})}
	reg.MustRegister(m.scrubbed)
	return m
}

// prepare makes the series of a project exist from the start.
func (m *metrics) prepare(project string, r *Rules) {
	for _, name := range r.names {
		m.scrubbed.WithLabelValues(project, name)
	}
}

func (m *metrics) count(project string, r *Rules, hits []int) {
	for rule, n := range hits {
		if n > 0 {
			m.scrubbed.WithLabelValues(project, r.names[rule]).Add(float64(n))
		}
	}
}
