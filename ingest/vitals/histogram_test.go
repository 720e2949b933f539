package vitals

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

// twin is a histogram of ours beside one of the library with the same options.
type twin struct {
	ours   *histogram
	theirs prometheus.Histogram
}

var twinLabels = prometheus.Labels{"project": "shop", "environment": "production", "route": "/ünï", "device": "mobile"}

func newTwin(v vital) twin {
	opts := histogramOpts("x", "X.", v)
	opts.ConstLabels = twinLabels
	theirs := prometheus.NewHistogram(opts)
	desc := prometheus.NewDesc("x", "X.", webLabels, nil)
	return twin{ours: newHistogram(desc, layoutOf(v), []string{"shop", "production", "/ünï", "mobile"}), theirs: theirs}
}

func (w *twin) add(v float64, trace string) {
	w.ours.add(v, trace)
	if trace == "" {
		w.theirs.Observe(v)
	} else {
		w.theirs.(prometheus.ExemplarObserver).ObserveWithExemplar(v, prometheus.Labels{"trace_id": trace})
	}
}

// compare holds the library's series against both ways in which ours is
// written. Of times only that they are there can be compared, and that ours are
// not in the future of theirs.
func (w *twin) compare(t rapid.TB) {
	t.Helper()
	var theirs, written, appended dto.Metric
	if err := w.theirs.Write(&theirs); err != nil {
		t.Fatal(err)
	}
	if err := w.ours.Write(&written); err != nil {
		t.Fatal(err)
	}
	raw := w.ours.append(nil, &scratch{})
	if err := proto.Unmarshal(raw, &appended); err != nil {
		t.Fatal(err)
	}
	if len(appended.ProtoReflect().GetUnknown()) > 0 {
		t.Fatal("unknown fields")
	}
	if !proto.Equal(&written, &appended) {
		t.Fatalf("Write and append differ:\n%s\n%s", protojson.Format(&written), protojson.Format(&appended))
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(&written)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, raw) {
		t.Fatalf("other bytes than the library's encoder writes:\n%x\n%x", raw, again)
	}
	withoutTimes(t, &theirs)
	withoutTimes(t, &written)
	if !proto.Equal(&written, &theirs) {
		t.Fatalf("ours\n%s\nthe library's\n%s", protojson.Format(&written), protojson.Format(&theirs))
	}
}

// withoutTimes makes all times of a series the same, in a copy of what is shared.
func withoutTimes(t rapid.TB, m *dto.Metric) {
	t.Helper()
	same := func(s *timestamppb.Timestamp) *timestamppb.Timestamp {
		if s.GetSeconds() < 1e9 {
			t.Fatalf("time %v", s)
		}
		return &timestamppb.Timestamp{Seconds: 1}
	}
	h := m.Histogram
	h.CreatedTimestamp = same(h.CreatedTimestamp)
	forget := func(x *dto.Exemplar) *dto.Exemplar {
		if x == nil {
			return nil
		}
		return &dto.Exemplar{Label: x.Label, Value: x.Value, Timestamp: same(x.Timestamp)}
	}
	for _, b := range h.Bucket {
		b.Exemplar = forget(b.Exemplar)
	}
	list := make([]*dto.Exemplar, len(h.Exemplars))
	for i, x := range h.Exemplars {
		list[i] = forget(x)
	}
	h.Exemplars = list
}

func histogramVitals() (all []vital) {
	for v := range vitalCount {
		if len(specs[v].buckets) > 0 {
			all = append(all, v)
		}
	}
	return all
}

// valueOf draws values that pass validation: any, those on a bound of a classic or native
// bucket or beside one, those around the zero threshold.
func valueOf(v vital) *rapid.Generator[float64] {
	limit := specs[v].max / specs[v].div
	return rapid.Custom(func(t *rapid.T) float64 {
		x := 0.0
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0:
			x = rapid.Float64Range(0, limit).Draw(t, "any")
		case 1:
			x = rapid.SampledFrom(specs[v].buckets).Draw(t, "classic bound")
		case 2:
			x = math.Ldexp(rapid.SampledFrom(nativeBounds[:]).Draw(t, "native bound"), rapid.IntRange(-16, 7).Draw(t, "exponent"))
		case 3:
			x = zeroThreshold(v) * rapid.Float64Range(0, 2).Draw(t, "near zero")
		case 4:
			x = math.Round(specs[v].good*specs[v].div*rapid.Float64Range(0, 3).Draw(t, "as sent")) / specs[v].div
		}
		switch rapid.IntRange(0, 2).Draw(t, "side") {
		case 1:
			x = math.Nextafter(x, math.Inf(1))
		case 2:
			x = math.Nextafter(x, 0)
		}
		return min(max(x, 0), limit)
	})
}

// TestHistogramIsTheLibrarys: after any observations, with exemplars or without, and any
// scrapes in between, a series of ours is that of prometheus.Histogram, field by field.
func TestHistogramIsTheLibrarys(t *testing.T) {
	for _, v := range histogramVitals() {
		t.Run(specs[v].name, rapid.MakeCheck(func(t *rapid.T) {
			w := newTwin(v)
			w.compare(t) // one without observations, too
			for range rapid.IntRange(0, 3).Draw(t, "scrapes") {
				for range rapid.IntRange(0, 40).Draw(t, "observations") {
					trace := ""
					if rapid.IntRange(0, 2).Draw(t, "traced") == 0 {
						trace = fmt.Sprintf("%032x", rapid.Uint64().Draw(t, "trace"))
					}
					w.add(valueOf(v).Draw(t, "value"), trace)
				}
				w.compare(t)
			}
		}))
	}
}

// TestHistogramHoldsEveryNativeBucket fills every native bucket there can be: they are no
// more than the limit at which the library would widen or reset its own.
func TestHistogramHoldsEveryNativeBucket(t *testing.T) {
	for _, v := range histogramVitals() {
		w := newTwin(v)
		for e := -16; e <= 7; e++ {
			for _, bound := range nativeBounds {
				for _, x := range []float64{math.Ldexp(bound, e), math.Nextafter(math.Ldexp(bound, e), 100)} {
					if x <= w.ours.max {
						w.add(x, "")
					}
				}
			}
		}
		w.add(w.ours.max, "")
		w.compare(t)
		for i, n := range w.ours.native {
			if n == 0 && i > 0 { // the first one lies partly below the threshold
				t.Errorf("%s: native bucket %d of %d cannot be reached", specs[v].name, i, len(w.ours.native))
			}
		}
		if limit := int(histogramOpts("", "", v).NativeHistogramMaxBucketNumber); len(w.ours.native) > limit {
			t.Errorf("%s: %d native buckets, the limit is %d", specs[v].name, len(w.ours.native), limit)
		}
	}
}

// TestHistogramLeavesOutWhatCannotBe: no value can make it panic or reach beyond its rows.
func TestHistogramLeavesOutWhatCannotBe(t *testing.T) {
	h := newTwin(lcp).ours
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1e-300, math.Nextafter(60, 61), math.MaxFloat64} {
		h.add(v, strings.Repeat("ab", 16))
	}
	if h.count != 0 || h.sum != 0 || h.zero != 0 || h.all() != nil {
		t.Errorf("counted %d", h.count)
	}
	h.add(math.SmallestNonzeroFloat64, "")
	h.add(60, "")
	if h.count != 2 || h.zero != 1 {
		t.Errorf("count %d, zero %d", h.count, h.zero)
	}
}

func TestCounterIsTheLibrarys(t *testing.T) {
	f := counterFamily("x_total", "X.", "a")
	theirs := prometheus.NewCounter(prometheus.CounterOpts{Name: "x_total", Help: "X.", ConstLabels: prometheus.Labels{"a": "b"}})
	s := f.add("b")
	for _, n := range []float64{0, 1, 2, 0.5, 1e6} {
		s.add(n, "")
		theirs.Add(n)
		var ours, want, read dto.Metric
		if err := s.metric.Write(&ours); err != nil {
			t.Fatal(err)
		}
		if err := theirs.Write(&want); err != nil {
			t.Fatal(err)
		}
		raw := s.metric.append(nil, &scratch{})
		if err := proto.Unmarshal(raw, &read); err != nil || !proto.Equal(&read, &ours) {
			t.Fatalf("Write and append differ: %v %v %v", &read, &ours, err)
		}
		want.Counter.CreatedTimestamp = ours.Counter.CreatedTimestamp
		if !proto.Equal(&ours, &want) {
			t.Fatalf("%v, want %v", &ours, &want)
		}
	}
}
