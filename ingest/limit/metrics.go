package limit

import "github.com/prometheus/client_golang/prometheus"

// metrics of the limiter; what it refused is in the ledger's
// breakwater_items_outcome_total{outcome="rate_limited"}.
type metrics struct {
	keys      prometheus.GaugeFunc
	evictions prometheus.Counter
}

func newMetrics(l *Limiter) *metrics {
	return &metrics{
		keys: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "breakwater_limit_keys",
			Help: "Rate limit buckets in memory: client addresses, keys and categories. It stays at its highest value; 16 bytes each.",
		}, func() float64 { return float64(l.Keys()) }),
		evictions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "breakwater_limit_evictions_total",
			Help: "Address buckets given up while they were not full again. When it rises, more addresses send at once than are remembered and some get more than per_ip allows.",
		}),
	}
}

func (m *metrics) register(reg prometheus.Registerer) error {
	if reg == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.keys, m.evictions} {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}
