package vitals

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// family is a metric family with a series per page: the label sets of the
// series budget, thousands of them. It is an ordinary vector, registered like
// any other, and beside it a list of its series that remembers how each was
// written for the last scrape (expose.go), because most have not changed since.
type family struct {
	name, help string
	typ        dto.MetricType
	with       func(labels []string) prometheus.Metric
	without    func(labels []string) bool
	collector  prometheus.Collector

	mu     sync.Mutex
	series []*series
}

// series is one label set of a family.
type series struct {
	metric prometheus.Metric
	labels []string
	at     int // in family.series
	// changed is set after every change of the metric, so whoever takes it down
	// and then reads the metric misses nothing: at worst the same is written twice.
	changed atomic.Bool
	// written is the series in each exposition format, nil when it is not known
	// or out of date; guarded by family.mu, never changed once it is made.
	written [formats][]byte
}

func histogramFamily(name, help string, v vital, labels []string) *family {
	vec := histogram(name, help, v, labels, nil)
	return &family{
		name: name, help: help, typ: dto.MetricType_HISTOGRAM, collector: vec,
		with:    func(l []string) prometheus.Metric { return vec.WithLabelValues(l...).(prometheus.Histogram) },
		without: func(l []string) bool { return vec.DeleteLabelValues(l...) },
	}
}

func counterFamily(name, help string, labels ...string) *family {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	return &family{
		name: name, help: help, typ: dto.MetricType_COUNTER, collector: vec,
		with:    func(l []string) prometheus.Metric { return vec.WithLabelValues(l...) },
		without: func(l []string) bool { return vec.DeleteLabelValues(l...) },
	}
}

// add makes the series of a label set. The budget asks once for each.
func (f *family) add(labels ...string) *series {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &series{metric: f.with(labels), labels: labels, at: len(f.series)}
	f.series = append(f.series, s)
	return s
}

// drop ends a series; nil is none.
func (f *family) drop(s *series) {
	if s == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.without(s.labels)
	last := f.series[len(f.series)-1]
	f.series[s.at], last.at = last, s.at
	f.series[len(f.series)-1] = nil
	f.series = f.series[:len(f.series)-1]
}

// observe adds a value to a histogram, with an exemplar when trace is not "".
func (s *series) observe(value float64, trace string) {
	h, ok := s.metric.(prometheus.Observer)
	if !ok {
		return // a counter: a mistake of ours
	}
	if ex, ok := s.metric.(prometheus.ExemplarObserver); ok && trace != "" {
		ex.ObserveWithExemplar(value, prometheus.Labels{"trace_id": trace})
	} else {
		h.Observe(value)
	}
	s.touch()
}

// count adds to a counter.
func (s *series) count(n float64) {
	if c, ok := s.metric.(prometheus.Counter); ok {
		c.Add(n)
		s.touch()
	}
}

func (s *series) touch() {
	if !s.changed.Load() { // the line is shared with the scrape: write only when it must be
		s.changed.Store(true)
	}
}
