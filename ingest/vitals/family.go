package vitals

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// family is a metric family with a series per page: the label sets of the
// series budget, thousands of them. It is a collector, registered like any
// other, that remembers how each series was written for the last scrape
// (expose.go), because most have not changed since.
type family struct {
	name, help string
	typ        dto.MetricType
	desc       *prometheus.Desc
	make       func(labels []string) metric

	mu     sync.Mutex
	series []*series
}

// metric is a histogram or a counter.
type metric interface {
	prometheus.Metric
	// add counts a value, with an exemplar where there is a trace.
	add(v float64, trace string)
	// append writes the metric as protobuf.
	append(b []byte, s *scratch) []byte
}

// series is one label set of a family.
type series struct {
	metric metric
	at     int // in family.series
	// changed is set after every change of the metric, so whoever takes it down
	// and then reads the metric misses nothing: at worst the same is written twice.
	changed atomic.Bool
	// written is the series in each exposition format, nil when it is not known
	// or out of date; guarded by family.mu, never changed once it is made.
	written [formats][]byte
}

func histogramFamily(name, help string, v vital, labels []string) *family {
	f := &family{name: name, help: help, typ: dto.MetricType_HISTOGRAM, desc: prometheus.NewDesc(name, help, labels, nil)}
	layout := layoutOf(v)
	f.make = func(l []string) metric { return newHistogram(f.desc, layout, l) }
	return f
}

func counterFamily(name, help string, labels ...string) *family {
	f := &family{name: name, help: help, typ: dto.MetricType_COUNTER, desc: prometheus.NewDesc(name, help, labels, nil)}
	f.make = func(l []string) metric {
		return &counter{desc: f.desc, labels: prometheus.MakeLabelPairs(f.desc, l), created: time.Now()}
	}
	return f
}

// Describe is part of prometheus.Collector.
func (f *family) Describe(ch chan<- *prometheus.Desc) { ch <- f.desc }

// Collect is part of prometheus.Collector.
func (f *family) Collect(ch chan<- prometheus.Metric) {
	f.mu.Lock()
	all := slices.Clone(f.series)
	f.mu.Unlock()
	for _, s := range all {
		ch <- s.metric
	}
}

// add makes the series of a label set. The budget asks once for each.
func (f *family) add(labels ...string) *series {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &series{metric: f.make(labels), at: len(f.series)}
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
	last := f.series[len(f.series)-1]
	f.series[s.at], last.at = last, s.at
	f.series[len(f.series)-1] = nil
	f.series = f.series[:len(f.series)-1]
}

// add counts a value, with an exemplar when trace is not "".
func (s *series) add(v float64, trace string) {
	s.metric.add(v, trace)
	if !s.changed.Load() { // the line is shared with the scrape: write only when it must be
		s.changed.Store(true)
	}
}

// counter is what prometheus.Counter is, and can write itself as protobuf.
type counter struct {
	desc    *prometheus.Desc
	labels  []*dto.LabelPair
	created time.Time

	mu  sync.Mutex
	sum float64
}

func (c *counter) add(v float64, _ string) {
	c.mu.Lock()
	c.sum += v
	c.mu.Unlock()
}

func (c *counter) value() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum
}

// Desc is part of prometheus.Metric.
func (c *counter) Desc() *prometheus.Desc { return c.desc }

// Write is part of prometheus.Metric.
func (c *counter) Write(out *dto.Metric) error {
	v := c.value()
	out.Label = c.labels
	out.Counter = &dto.Counter{Value: &v, CreatedTimestamp: timestamppb.New(c.created)}
	return nil
}
