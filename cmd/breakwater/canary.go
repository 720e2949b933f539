package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater/ingest"
	"breakwater/relay"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

// canaries are the probes of `breakwater doctor`: what the door and the relay
// see of them, and the two metrics by which Prometheus tells that the path
// works. They are kept out of every other number but the ledger's.
type canaries struct {
	*ingest.Canaries
	vital  prometheus.Histogram
	passed *prometheus.GaugeVec
	now    func() time.Time
}

// consoleCanaries are the probes in the private listener's words.
type consoleCanaries struct{ canaries }

// View is what is known of one.
func (c consoleCanaries) View(id string) (any, bool) {
	return c.Canaries.View(id)
}

// canaryPaths are what a round of probes can pass: errors, from the door to
// every upstream; vitals, from the door to /metrics.
var canaryPaths = []string{"errors", "vitals"}

var _ relay.Tap = canaries{}

func newCanaries(reg prometheus.Registerer, now func() time.Time) canaries {
	c := canaries{
		Canaries: ingest.NewCanaries(now), now: now,
		vital: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "breakwater_canary_vital_seconds",
			Help: "Measurements of probes, in the way vitals are kept: classic and native buckets. Nobody's page view.",
			// The bounds of LCP: what becomes of these buckets on the way becomes of all.
			Buckets:                         []float64{0.5, 0.8, 1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 3, 3.5, 4, 5, 6, 8, 10, 15, 30, 60},
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}),
		passed: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "breakwater_canary_last_success_timestamp_seconds",
			Help: "When a probe last came through the whole of a path; 0 when none did since the start.",
		}, []string{"path"}),
	}
	reg.MustRegister(c.vital, c.passed)
	for _, p := range canaryPaths {
		c.passed.WithLabelValues(p)
	}
	return c
}

// Passed notes that a path works, now; false for a path that is none.
func (c canaries) Passed(path string) bool {
	for _, p := range canaryPaths {
		if p == path {
			c.passed.WithLabelValues(p).Set(float64(c.now().UnixMilli()) / 1000)
			return true
		}
	}
	return false
}

// Attempt keeps the deliveries of canaries.
func (c canaries) Attempt(dst spool.Destination, m *schemas.Meta, result string, _ time.Duration) {
	c.Attempted(m.EventID, dst.String(), result)
}

// recorder keeps the measurements of canaries apart from people's.
func (c canaries) recorder(next ingest.Recorder) ingest.Recorder { return canaryRecorder{c, next} }

type canaryRecorder struct {
	canaries
	next ingest.Recorder
}

// Record observes a canary's measurements, or passes the beacon on.
func (r canaryRecorder) Record(req *ingest.Request, b *schemas.Beacon) int {
	if !req.Canary {
		return r.next.Record(req, b)
	}
	used := 0
	for _, v := range b.Vitals {
		if v.Name == "LCP" && v.Value > 0 && v.Value <= 60_000 {
			r.vital.Observe(v.Value / 1000)
			used++
		}
	}
	return used
}
