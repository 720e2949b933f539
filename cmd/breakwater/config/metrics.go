package config

import "github.com/prometheus/client_golang/prometheus"

// register makes the metrics of the configuration.
func (r *Reloader) register(reg prometheus.Registerer) {
	r.success = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "breakwater_config_reload_success",
		Help: "1 when the last attempt to load the configuration was successful, 0 when it was refused and the one before stays in force: run breakwater check.",
	})
	r.timestamp = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "breakwater_config_reload_timestamp_seconds",
		Help: "When the configuration in force was loaded, in seconds since 1970.",
	})
	r.hash = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "breakwater_config_hash_info",
		Help: "Always 1; the label identifies the configuration in force, secrets apart. Gateways that should be equal have the same.",
	}, []string{"hash"})
	reg.MustRegister(r.success, r.timestamp, r.hash)
}

// inForce remembers and shows what is in force from now on.
func (r *Reloader) inForce(c *Config) {
	r.current = c
	r.success.Set(1)
	r.timestamp.Set(float64(r.now().UnixMilli()) / 1000)
	r.hash.Reset()
	r.hash.WithLabelValues(c.Hash()).Set(1)
}
