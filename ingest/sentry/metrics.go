package sentry

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"

	"breakwater/ingest"
	"breakwater/schemas"
)

// maxDiscards bounds the entries of one client report that are counted.
const maxDiscards = 200

// maxDiscarded bounds one entry's quantity: no SDK drops more between two reports.
const maxDiscarded = 1_000_000

// reasons are the words SDKs and Relays give for what they dropped; others
// count as "other".
var reasons = map[string]bool{
	"queue_overflow": true, "cache_overflow": true, "buffer_overflow": true, "ratelimit_backoff": true,
	"network_error": true, "sample_rate": true, "before_send": true, "event_processor": true, "send_error": true,
	"internal_sdk_error": true, "insufficient_data": true, "backpressure": true, "ignored": true, "invalid": true,
	"no_parent_span": true,
}

// Metrics count what SDKs say they dropped before sending. A nil Metrics
// counts nothing.
type Metrics struct{ discarded *prometheus.CounterVec }

// NewMetrics registers breakwater_client_discarded_total.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{discarded: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "breakwater_client_discarded_total",
		Help: "Items that SDKs dropped before sending, by their own client reports. ratelimit_backoff follows our limits, network_error means that clients could not reach the gateway.",
	}, []string{"project", "category", "reason"})}
	if err := reg.Register(m.discarded); err != nil {
		return nil, fmt.Errorf("registering metrics of client reports: %w", err)
	}
	return m, nil
}

// Describe and Collect hand the counter on, so that who holds the Metrics can
// read it.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) { m.discarded.Describe(ch) }

// Collect sends the counts.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) { m.discarded.Collect(ch) }

// Open makes the zero values of a project for the commonest reasons.
func (m *Metrics) Open(project string) {
	for _, reason := range []string{"ratelimit_backoff", "network_error", "queue_overflow"} {
		m.discarded.WithLabelValues(project, string(schemas.CategoryError), reason)
	}
}

// countReports reads the client reports of a batch.
func (m *Metrics) countReports(b *ingest.Batch) {
	if m == nil || b.Request.Project == nil {
		return
	}
	for _, it := range b.Items {
		if it.Header.Type != "client_report" || !it.Alive() {
			continue
		}
		report := it.Event()
		if report == nil {
			continue
		}
		for _, list := range []string{"discarded_events", "rate_limited_events", "filtered_events", "filtered_sampling_events"} {
			if entries, ok := report.Get(list); ok && entries.Kind() == '[' {
				m.countList(b.Request.Project.Name, entries)
			}
		}
	}
}

func (m *Metrics) countList(project string, entries jsontext.Value) {
	for _, raw := range elements(entries, maxDiscards) {
		entry, err := schemas.ParseObject(raw)
		if err != nil {
			continue
		}
		reason, _ := entry.String("reason")
		if !reasons[reason] {
			reason = "other"
		}
		name, _ := entry.String("category")
		category, known := schemas.ParseCategory(name)
		if !known {
			category = "other"
		}
		v, _ := entry.Get("quantity")
		n, err := strconv.ParseUint(string(v), 10, 63)
		if err != nil || n == 0 {
			continue
		}
		m.discarded.WithLabelValues(project, string(category), reason).Add(float64(min(n, maxDiscarded)))
	}
}

// elements are the first values of a JSON array.
func elements(array jsontext.Value, most int) []jsontext.Value {
	dec := jsontext.NewDecoder(bytes.NewReader(array), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if _, err := dec.ReadToken(); err != nil {
		return nil
	}
	var list []jsontext.Value
	for dec.PeekKind() != ']' && len(list) < most {
		v, err := dec.ReadValue()
		if err != nil {
			return list
		}
		list = append(list, v.Clone())
	}
	return list
}
