package vitals

import (
	"math"
	"sort"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// histogram is what prometheus.Histogram with the options of histogramOpts is,
// for values that pass validation: the same buckets, classic and native, the
// same exemplars, the same series in every exposition format (a test holds the
// two against each other). Validation bounds the values, and so the native
// buckets: they are a row of counters instead of two concurrent maps, which takes
// a fraction of the library's time to write (go test -bench Scrape ./cmd/breakwater).
type histogram struct {
	desc   *prometheus.Desc
	labels []*dto.LabelPair
	*layout

	mu      sync.Mutex
	created time.Time
	count   uint64
	zero    uint64 // native zero bucket
	sum     float64
	classic []uint64 // not cumulative; the last is +Inf
	native  []uint64 // from key layout.first on
	*exemplars
}

// layout is what the histograms of one vital share.
type layout struct {
	bounds        []float64 // of the classic buckets
	zeroThreshold float64
	first, keys   int // of the native buckets: the lowest, and how many there are
	max           float64
}

// nativeSchema has 8 buckets for each power of two, each a factor 1.09 wider
// than the one before. It is what client_golang takes for the factor 1.1.
const nativeSchema = 3

// nativeBounds are the upper bounds of the schema's buckets between 0.5 and 1,
// as Prometheus and its libraries write them: 2^(i/8) / 2.
var nativeBounds = [1 << nativeSchema]float64{
	0.5, 0.5452538663326288, 0.5946035575013605, 0.6484197773255048, 0.7071067811865475, 0.7711054127039704, 0.8408964152537144, 0.9170040432046711,
}

// nativeKey is the number of the native bucket of a positive value: the one
// that ends at 1 is 0.
func nativeKey(v float64) int {
	fraction, exponent := math.Frexp(v)
	return sort.SearchFloat64s(nativeBounds[:], fraction) + (exponent-1)*len(nativeBounds)
}

func layoutOf(v vital) *layout {
	l := &layout{bounds: specs[v].buckets, zeroThreshold: zeroThreshold(v), max: specs[v].max / specs[v].div}
	l.first = nativeKey(l.zeroThreshold)
	l.keys = nativeKey(l.max) - l.first + 1
	return l
}

func newHistogram(desc *prometheus.Desc, l *layout, labels []string) *histogram {
	classic := len(l.bounds) + 1
	counts := make([]uint64, classic+l.keys)
	return &histogram{
		desc: desc, labels: prometheus.MakeLabelPairs(desc, labels), layout: l, created: time.Now(),
		classic: counts[:classic:classic], native: counts[classic:],
	}
}

// add counts a value, with an exemplar when trace is not "". It leaves alone
// what validation lets nobody send.
func (h *histogram) add(v float64, trace string) {
	if !(v >= 0 && v <= h.max) {
		return
	}
	bucket := sort.SearchFloat64s(h.bounds, v)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count++
	h.sum += v
	h.classic[bucket]++
	if v > h.zeroThreshold {
		h.native[nativeKey(v)-h.first]++
	} else {
		h.zero++
	}
	if trace != "" {
		if h.exemplars == nil {
			h.exemplars = newExemplars(len(h.classic))
		}
		h.exemplars.add(v, bucket, trace)
	}
}

// exemplars are those of one histogram. Which native ones are kept is decided
// by the library, in a histogram of its own that has hardly a bucket.
type exemplars struct {
	keeper    prometheus.Histogram
	perBucket []*dto.Exemplar // the newest of each classic bucket, or nil
	spread    []*dto.Exemplar // the native ones, by value
}

func newExemplars(classic int) *exemplars {
	return &exemplars{perBucket: make([]*dto.Exemplar, classic), keeper: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "exemplars", NativeHistogramBucketFactor: 1 << 16, // as coarse as can be
	})}
}

func (x *exemplars) add(v float64, bucket int, trace string) {
	o, ok := x.keeper.(prometheus.ExemplarObserver)
	if !ok {
		return // every histogram of the library is one
	}
	o.ObserveWithExemplar(v, prometheus.Labels{"trace_id": trace})
	var m dto.Metric
	if x.keeper.Write(&m) != nil || len(m.Histogram.Bucket) != 1 {
		return // of a histogram without classic buckets it writes +Inf alone, for its exemplar
	}
	x.perBucket[bucket], x.spread = m.Histogram.Bucket[0].Exemplar, m.Histogram.Exemplars
}

// of is the exemplar of a classic bucket, nil for none.
func (x *exemplars) of(bucket int) *dto.Exemplar {
	if x == nil {
		return nil
	}
	return x.perBucket[bucket]
}

// all are the native ones.
func (x *exemplars) all() []*dto.Exemplar {
	if x == nil {
		return nil
	}
	return x.spread
}

// span is a run of native buckets: offset empty ones after the run before it,
// then length others.
type span struct {
	offset int32
	length uint32
}

// nativeRow is the native buckets as they are written: each with its
// difference from the one before it. Runs that are less than three buckets apart
// are one. The slices are appended to.
func (h *histogram) nativeRow(spans []span, deltas []int64) ([]span, []int64) {
	next, before := 0, int64(0) // the key after the last one written, and its count
	for i, n := range h.native {
		if n == 0 {
			continue
		}
		key := h.first + i
		gap := key - next
		if len(spans) == 0 || gap > 2 {
			spans = append(spans, span{offset: int32(gap)})
			gap = 0
		}
		last := &spans[len(spans)-1]
		for range gap {
			deltas = append(deltas, -before)
			before = 0
		}
		deltas = append(deltas, int64(n)-before)
		last.length += uint32(gap) + 1
		before, next = int64(n), key+1
	}
	return spans, deltas
}

// Desc is part of prometheus.Metric.
func (h *histogram) Desc() *prometheus.Desc { return h.desc }

var infinity = math.Inf(1)

// Write is part of prometheus.Metric; append makes the same in protobuf at once.
func (h *histogram) Write(out *dto.Metric) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	schema, count, sum, zero := int32(nativeSchema), h.count, h.sum, h.zero
	d := &dto.Histogram{
		SampleCount: &count, SampleSum: &sum, CreatedTimestamp: timestamppb.New(h.created), Exemplars: h.all(),
		Schema: &schema, ZeroThreshold: &h.zeroThreshold, ZeroCount: &zero,
	}
	cumulative, buckets := make([]uint64, len(h.classic)), make([]dto.Bucket, len(h.classic))
	total := uint64(0)
	for i, n := range h.classic {
		bound := &infinity
		if i < len(h.bounds) {
			bound = &h.bounds[i]
		} else if h.of(i) == nil {
			break // +Inf is left out, but for its exemplar
		}
		total += n
		cumulative[i] = total
		b := &buckets[i]
		b.CumulativeCount, b.UpperBound, b.Exemplar = &cumulative[i], bound, h.of(i)
		d.Bucket = append(d.Bucket, b)
	}
	spans, deltas := h.nativeRow(nil, nil)
	for i := range spans {
		d.PositiveSpan = append(d.PositiveSpan, &dto.BucketSpan{Offset: &spans[i].offset, Length: &spans[i].length})
	}
	d.PositiveDelta = deltas
	out.Label, out.Histogram = h.labels, d
	return nil
}
