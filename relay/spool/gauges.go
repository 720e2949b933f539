package spool

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func queueDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"project", "destination"}, nil)
}

func plainDesc(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

// The names are those of every spool, so that dashboards and alerts fit all.
var (
	descItems    = queueDesc("breakwater_spool_items", "Items waiting for a destination. When it only grows, the upstream is down or too slow.")
	descBytes    = queueDesc("breakwater_spool_bytes", "Bytes on disk waiting for a destination; a record with several destinations counts for each.")
	descOldest   = queueDesc("breakwater_spool_oldest_age_seconds", "Age of the oldest record waiting for a destination, 0 when none waits.")
	descDead     = prometheus.NewDesc("breakwater_relay_dead_letters", "Records a destination refused for good, kept for retry. Look at them in the console.", []string{"destination"}, nil)
	descCapacity = plainDesc("breakwater_spool_capacity_bytes", "How much the spool may take on disk (spool.max_size).")
	descUsed     = plainDesc("breakwater_spool_used_bytes", "How much the spool takes on disk now, payloads that are still coming in included. Near the capacity requests are answered 503.")
	descFree     = plainDesc("breakwater_spool_free_bytes", "Free bytes of the spool's file system. Below spool.min_free requests are answered 503.")
	descDamaged  = plainDesc("breakwater_spool_damaged_records_total", "Damaged records set aside in the folder damaged since the first start. When it moves, suspect the disk.")
)

// Gauges tells Prometheus what Stats says, read at each scrape: no goroutine
// keeps gauges up to date. Its series are those of the queues: the configured
// destinations, and such as were configured and still hold records.
type Gauges struct {
	Stats func() Stats
	Now   func() time.Time
	// Files says that the spool has a file system of its own, whose free bytes
	// are told.
	Files bool
}

// Describe is part of prometheus.Collector.
func (g *Gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descItems, descBytes, descOldest, descDead, descCapacity, descUsed, descDamaged} {
		ch <- d
	}
	if g.Files {
		ch <- descFree
	}
}

// Collect is part of prometheus.Collector.
func (g *Gauges) Collect(ch chan<- prometheus.Metric) {
	st := g.Stats()
	now := g.Now()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descCapacity, float64(st.Capacity))
	gauge(descUsed, float64(st.Used))
	if g.Files {
		gauge(descFree, float64(st.Free))
	}
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

// Durations are the buckets of a spool's histograms, in seconds.
var Durations = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// AppendDuration is the histogram of how long an Append takes.
func AppendDuration() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "breakwater_spool_append_duration_seconds",
		Buckets: Durations,
		Help:    "Time to make one accepted record durable, waiting for the shared fsync included. It is most of a client's wait.",
	})
}

// Registered are a spool's collectors in a registry: all of them or none.
type Registered struct {
	reg   prometheus.Registerer
	owned []prometheus.Collector
}

// Register adds collectors to reg. Where one cannot be added, those before it
// are taken out again.
func Register(reg prometheus.Registerer, list ...prometheus.Collector) (*Registered, error) {
	r := &Registered{reg: reg}
	for _, c := range list {
		if err := reg.Register(c); err != nil {
			r.Unregister()
			return nil, errors.Join(errors.New("registering spool metrics"), err)
		}
		r.owned = append(r.owned, c)
	}
	return r, nil
}

// Unregister takes them out again; of a nil Registered there is nothing to take.
func (r *Registered) Unregister() {
	if r == nil {
		return
	}
	for _, c := range r.owned {
		r.reg.Unregister(c)
	}
	r.owned = nil
}
