package health

import "github.com/prometheus/client_golang/prometheus"

// Statuses of release_sessions_total, a closed list.
const (
	started  = "started"
	crashed  = "crashed"
	errored  = "errored"
	abnormal = "abnormal"
	exited   = "exited"
)

var statuses = []string{started, crashed, errored, abnormal, exited}

type metrics struct {
	sessions *prometheus.CounterVec
	errors   *prometheus.CounterVec
	ignored  *prometheus.CounterVec
	users    *prometheus.Desc
	crashed  *prometheus.Desc
	first    *prometheus.Desc
}

// ignoredReasons is why a session update is not counted, a closed list.
var ignoredReasons = []string{"invalid", "release", "too_old", "in_future"}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		sessions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "release_sessions_total",
			Help: "Sessions by release and what became of them. Crash-free rate: 1 - increase(status=crashed) / increase(status=started).",
		},
			[]string{"project", "environment", "release", "status"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "release_errors_total",
			Help: "Error events by release, before storm control: exact even when not all are relayed. handled is true, false or unknown.",
		},
			[]string{"project", "environment", "release", "level", "handled"}),
		ignored: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "release_sessions_ignored_total",
			Help: "Session updates that were not counted: not readable, no valid release, older than five days, or in the future.",
		},
			[]string{"project", "reason"}),
		users: prometheus.NewDesc("release_users_estimate",
			"Different users with a session today (UTC), estimated to about 1 %. Starts from zero at midnight and after a crash of the gateway.",
			[]string{"project", "environment", "release"}, nil),
		crashed: prometheus.NewDesc("release_crashed_users_estimate",
			"Different users with a crashed session today (UTC), estimated to about 1 %. For crash-free users divide by release_users_estimate.",
			[]string{"project", "environment", "release"}, nil),
	}
	m.first = prometheus.NewDesc("release_first_seen_timestamp_seconds",
		"When this process saw the release first. The newest release has the greatest value; take the minimum over time and gateways, because a restart sees all of them anew.",
		[]string{"project", "release"}, nil)
	reg.MustRegister(m.sessions, m.errors, m.ignored)
	return m
}

// Describe names what Collect makes when it is asked for: estimates cost some
// microseconds each, and change with every session.
func (h *Health) Describe(ch chan<- *prometheus.Desc) {
	ch <- h.m.users
	ch <- h.m.crashed
	ch <- h.m.first
}

// Collect sends the estimates of today and when releases were seen first.
func (h *Health) Collect(ch chan<- prometheus.Metric) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turnDay(h.cfg.Now())
	for name, p := range h.projects {
		for release, t := range p.firstSeen {
			ch <- prometheus.MustNewConstMetric(h.m.first, prometheus.GaugeValue, float64(t.UnixMilli())/1000, name, release)
		}
		for k, s := range p.series {
			if s.users == nil {
				continue
			}
			bad := 0.0
			if s.crashedUsers != nil {
				bad = float64(s.crashedUsers.Estimate())
			}
			ch <- prometheus.MustNewConstMetric(h.m.users, prometheus.GaugeValue, float64(s.users.Estimate()), name, k.environment, k.release)
			ch <- prometheus.MustNewConstMetric(h.m.crashed, prometheus.GaugeValue, bad, name, k.environment, k.release)
		}
	}
}
