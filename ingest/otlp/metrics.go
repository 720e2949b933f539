package otlp

import (
	"errors"
	"slices"
	"sort"
	"strconv"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"breakwater/ingest"
	"breakwater/schemas"
)

// maxRepeats is how many equal measurements one data point may stand for.
const maxRepeats = 100

// metric takes the data points of one metric: those of a web vital's histogram
// whose values are known. An error is one of reading it.
func (d *decoder) metric(rec *schemas.OTLPRecord) error {
	var m metricspb.Metric
	if err := rec.Decode(&m); err != nil {
		return err
	}
	name, ok := metricVital(m.GetName())
	if !ok || m.GetHistogram() == nil && m.GetExponentialHistogram() == nil {
		if n := points(&m); n > 0 {
			d.drop("trace_metric", schemas.Filtered, reasonUnsupported, n)
		}
		return nil
	}
	h := histogram{name: name, seconds: m.GetUnit() == "s" && name != "CLS", series: ingest.DerivedID(cut(rec.Scope.GetName(), maxText), m.GetName())}
	for _, p := range m.GetHistogram().GetDataPoints() {
		if err := d.point(rec, &h, p.GetAttributes(), point{p.GetCount(), p.Sum, p.Min, p.Max, p.GetStartTimeUnixNano()}); err != nil {
			return err
		}
	}
	for _, p := range m.GetExponentialHistogram().GetDataPoints() {
		if err := d.point(rec, &h, p.GetAttributes(), point{p.GetCount(), p.Sum, p.Min, p.Max, p.GetStartTimeUnixNano()}); err != nil {
			return err
		}
	}
	return nil
}

// metricVital finds the vital in a metric's name: lcp, web_vitals.lcp,
// browser.web_vital.lcp, webvitals_LCP.
func metricVital(name string) (string, bool) {
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '_' || r == '-' || r == '/' })
	if len(parts) == 0 {
		return "", false
	}
	vital := vitalName(parts[len(parts)-1])
	switch vital {
	case "LCP", "INP", "CLS", "FCP", "TTFB":
	default:
		return "", false
	}
	return vital, len(parts) == 1 || strings.Contains(strings.ToLower(name), "vital")
}

// point is what both kinds of histogram know of their values.
type point struct {
	count         uint64
	sum, min, max *float64
	start         uint64
}

// histogram is what the data points of one metric share.
type histogram struct {
	name    string
	seconds bool
	series  string // a short text for the scope and the metric
	spent   bool   // one of them was too much, and so are those after it
}

// point takes one data point. An error is RejectOverload.
func (d *decoder) point(rec *schemas.OTLPRecord, h *histogram, own []*commonpb.KeyValue, p point) error {
	value := 0.0
	switch {
	case p.count == 0: // nothing was measured, and yet it came
		d.drop("trace_metric", schemas.Filtered, reasonEmpty, 1)
		return nil
	case p.count == 1 && p.sum != nil:
		value = *p.sum
	case p.count <= maxRepeats && p.min != nil && p.max != nil && *p.min == *p.max:
		value = *p.min
	default:
		d.drop("trace_metric", schemas.Filtered, reasonAggregated, 1)
		return nil
	}
	if h.spent {
		d.refuse("trace_metric", reasonTooLarge)
		return nil
	}
	if h.seconds {
		value *= 1000
	}
	a := of(rec, own)
	v := schemas.Vital{Name: h.name, Value: value, HasValue: true, Delta: value, NavigationType: cut(a.get(webVital+".navigation_type", "navigation_type"), 60)}
	vitals := slices.Repeat([]schemas.Vital{v}, int(p.count))
	if p.start != 0 {
		// A cumulative point is exported again and again: the same start and
		// attributes are the same measurement.
		series := ingest.DerivedID(d.req.Project.Name, "otlp", h.series, identity(a.own), d.about.identity(rec.Resource), strconv.FormatUint(p.start, 10), a.session())
		for i := range vitals {
			vitals[i].ID = ingest.DerivedID(series, strconv.Itoa(i))
		}
	}
	err := d.measured(a, "", vitals...)
	if errors.Is(err, errSpent) {
		h.spent = true
		d.refuse("trace_metric", reasonTooLarge)
		return nil
	}
	return err
}

// identity is a list of attributes as one text, whatever their order.
func identity(list []*commonpb.KeyValue) string {
	parts := make([]string, 0, len(list))
	for _, kv := range list {
		parts = append(parts, kv.GetKey()+"\x00"+schemas.OTLPText(kv.GetValue()))
	}
	sort.Strings(parts)
	return strings.Join(parts, "\x01")
}

// points is how many data points a metric of any kind has.
func points(m *metricspb.Metric) int {
	return len(m.GetGauge().GetDataPoints()) + len(m.GetSum().GetDataPoints()) + len(m.GetHistogram().GetDataPoints()) +
		len(m.GetExponentialHistogram().GetDataPoints()) + len(m.GetSummary().GetDataPoints())
}
