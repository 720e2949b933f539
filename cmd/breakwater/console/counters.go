package console

import "github.com/prometheus/client_golang/prometheus"

// counters are the console's own metrics.
type counters struct {
	viewers *prometheus.GaugeVec
	full    prometheus.Counter
	missed  prometheus.Counter
	refused prometheus.Counter
	actions *prometheus.CounterVec
}

func newCounters(reg prometheus.Registerer) *counters {
	m := &counters{
		viewers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "breakwater_console_viewers",
			Help: "Open streams of the private listener: live pages, and tails of the item stream.",
		}, []string{"stream"}),
		full: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "breakwater_console_viewers_refused_total",
			Help: "Streams refused because as many as may be were open already.",
		}),
		missed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "breakwater_console_tail_missed_total",
			Help: "Lines of the item stream that a slow listener did not get; it was told how many.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "breakwater_console_sign_in_refused_total",
			Help: "Wrong admin tokens on the private listener. When it grows, somebody guesses or a script has an old token.",
		}),
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "breakwater_console_actions_total",
			Help: "Actions by hand, as the audit history lists them.",
		}, []string{"action"}),
	}
	for _, s := range []string{streamLive, streamTail} {
		m.viewers.WithLabelValues(s)
	}
	for _, v := range append(verbs, "reload") {
		m.actions.WithLabelValues(v)
	}
	if reg != nil {
		reg.MustRegister(m.viewers, m.full, m.missed, m.refused, m.actions)
	}
	return m
}
