package otlp

import (
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
	if h := m.GetHistogram(); h != nil && ok {
		for _, p := range h.GetDataPoints() {
			d.point(of(rec, p.GetAttributes()), &m, name, point{p.GetCount(), p.Sum, p.Min, p.Max, p.GetStartTimeUnixNano()})
		}
		return nil
	}
	if h := m.GetExponentialHistogram(); h != nil && ok {
		for _, p := range h.GetDataPoints() {
			d.point(of(rec, p.GetAttributes()), &m, name, point{p.GetCount(), p.Sum, p.Min, p.Max, p.GetStartTimeUnixNano()})
		}
		return nil
	}
	if n := points(&m); n > 0 {
		d.drop("trace_metric", schemas.Filtered, reasonUnsupported, n)
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

func (d *decoder) point(a about, m *metricspb.Metric, name string, p point) {
	value := 0.0
	switch {
	case p.count == 0:
		return
	case p.count == 1 && p.sum != nil:
		value = *p.sum
	case p.count <= maxRepeats && p.min != nil && p.max != nil && *p.min == *p.max:
		value = *p.min
	default:
		d.drop("trace_metric", schemas.Filtered, reasonAggregated, 1)
		return
	}
	if m.GetUnit() == "s" && name != "CLS" {
		value *= 1000
	}
	// A cumulative point is exported again and again: the same start and
	// attributes are the same measurement.
	series := []string{d.req.Project.Name, "otlp", a.scope, m.GetName(), identity(a.own), identity(a.resource), strconv.FormatUint(p.start, 10), a.session()}
	for i := range p.count {
		v := schemas.Vital{Name: name, Value: value, HasValue: true, Delta: value}
		if p.start != 0 {
			v.ID = ingest.DerivedID(append(series, strconv.FormatUint(i, 10))...)
		}
		v.NavigationType = cut(a.get(webVital+".navigation_type", "navigation_type"), 60)
		d.measured(a, "", v)
	}
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
