package schemas

import "strings"

// Category is what is counted and limited: Sentry's data category by its wire
// name (protocol §3.2).
type Category string

// The categories a gateway meets. Unknown is ours: requests refused before
// anything could be read, and item types nobody knows.
const (
	CategoryUnknown      Category = "unknown"
	CategoryDefault      Category = "default"
	CategoryError        Category = "error"
	CategoryTransaction  Category = "transaction"
	CategorySecurity     Category = "security"
	CategoryAttachment   Category = "attachment"
	CategorySession      Category = "session"
	CategoryProfile      Category = "profile"
	CategoryProfileChunk Category = "profile_chunk"
	CategoryReplay       Category = "replay"
	CategoryFeedback     Category = "feedback"
	CategoryMonitor      Category = "monitor"
	CategorySpan         Category = "span"
	CategoryLog          Category = "log_item"
	CategoryMetricBucket Category = "metric_bucket"
	CategoryTraceMetric  Category = "trace_metric"
	CategoryInternal     Category = "internal" // client reports: never limited
	CategoryVital        Category = "vital"    // ours: entries of a Web Vitals beacon
)

// Categories is the closed list, in the order metrics show it.
var Categories = []Category{
	CategoryError, CategoryTransaction, CategorySession, CategoryAttachment, CategoryReplay, CategoryFeedback,
	CategorySpan, CategoryLog, CategoryTraceMetric, CategoryMetricBucket, CategoryProfile, CategoryProfileChunk,
	CategorySecurity, CategoryMonitor, CategoryInternal, CategoryVital, CategoryDefault, CategoryUnknown,
}

// KnownCategory tells whether a name of the protocol is one of ours. Aliases
// that SDKs use are understood: see ParseCategory.
func KnownCategory(c Category) bool {
	for _, k := range Categories {
		if k == c {
			return true
		}
	}
	return false
}

// ParseCategory reads a category name as servers and SDKs write it; the
// second spellings (metric, profile_chunk_ui, …) map to the first. ok is
// false for names nobody here counts.
func ParseCategory(name string) (c Category, ok bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "metric":
		return CategoryTraceMetric, true
	case "profile_chunk_ui":
		return CategoryProfileChunk, true
	case "user_report_v2", "user_report":
		return CategoryFeedback, true
	case "attachment_item":
		return CategoryAttachment, true
	case "log_byte":
		return CategoryLog, true
	case "transaction_indexed", "transaction_processed":
		return CategoryTransaction, true
	case "span_indexed":
		return CategorySpan, true
	case "profile_indexed", "profile_backend", "profile_ui":
		return CategoryProfile, true
	case "check_in":
		return CategoryMonitor, true
	}
	c = Category(name)
	return c, KnownCategory(c)
}

// WireNames are all spellings under which SDKs look a limit of this category
// up (protocol §3.3): a limit header lists each of them.
func (c Category) WireNames() []string {
	switch c {
	case CategoryTraceMetric:
		return []string{"trace_metric", "metric"}
	case CategoryProfileChunk:
		return []string{"profile_chunk", "profile_chunk_ui", "profile"}
	case CategoryAttachment:
		return []string{"attachment", "attachment_item"}
	case CategoryLog:
		return []string{"log_item", "log_byte"}
	case CategoryMonitor:
		return []string{"monitor", "check_in"}
	case CategoryFeedback:
		// The JavaScript SDK looks for user_report items under default, which no
		// other item of it has.
		return []string{"feedback", "default"}
	}
	return []string{string(c)}
}

// ItemType is what the gateway knows of an item type (protocol §2.4).
type ItemType struct {
	Category Category
	// Dependent items go when the envelope's main item goes.
	Dependent bool
	// Main marks the event-like types of which an envelope holds one.
	Main bool
	// JSON payloads can be read and scrubbed; others are opaque.
	JSON bool
}

var itemTypes = map[string]ItemType{
	"event":            {CategoryError, true, true, true},
	"transaction":      {CategoryTransaction, true, true, true},
	"security":         {CategorySecurity, true, true, true},
	"raw_security":     {CategorySecurity, true, true, true},
	"feedback":         {CategoryFeedback, true, true, true},
	"form_data":        {CategoryUnknown, true, false, true},
	"replay_event":     {CategoryReplay, true, false, true},
	"attachment":       {CategoryAttachment, true, false, false},
	"user_report":      {CategoryFeedback, true, false, true},
	"unreal_report":    {CategoryError, true, false, false},
	"profile":          {CategoryProfile, true, false, true},
	"profile_chunk":    {CategoryProfileChunk, false, false, true},
	"session":          {CategorySession, false, false, true},
	"sessions":         {CategorySession, false, false, true},
	"client_report":    {CategoryInternal, false, false, true},
	"replay_recording": {CategoryReplay, false, false, false},
	"replay_video":     {CategoryReplay, false, false, false},
	"check_in":         {CategoryMonitor, false, false, true},
	"statsd":           {CategoryMetricBucket, false, false, false},
	"metric_meta":      {CategoryMetricBucket, false, false, true},
	"metric_buckets":   {CategoryMetricBucket, false, false, true},
	"span":             {CategorySpan, false, false, true},
	"log":              {CategoryLog, false, false, true},
	"otel_log":         {CategoryLog, false, false, true},
	"trace_metric":     {CategoryTraceMetric, false, false, true},
	// Sentry counts NEL reports as nothing. Here they share the budget of what
	// browsers report by themselves, so that a broken network cannot flood.
	"nel":     {CategorySecurity, false, false, true},
	OTLPSpans: {CategorySpan, false, false, true},
}

// OTLPSpans is the gateway's own item type for spans on their way to an OTLP
// upstream: the payload is TracesData in OTLP's JSON form. No client may send
// it, and no other upstream gets it.
const OTLPSpans = "otlp_spans"

// LookupItemType returns what is known of a type; ok is false for unknown
// types, which are kept and forwarded.
func LookupItemType(typ string) (t ItemType, ok bool) {
	t, ok = itemTypes[typ]
	if !ok {
		t = ItemType{Category: CategoryUnknown}
	}
	return t, ok
}

// CreatesEvent tells whether an attachment makes an event by itself, so that
// an envelope of nothing else counts as an error (protocol §2.4).
func CreatesEvent(attachmentType string) bool {
	switch attachmentType {
	case "event.minidump", "event.applecrashreport", "event.payload", "event.breadcrumbs", "playstation.prosperodump":
		return true
	}
	return false
}

// IsContainer tells whether an item holds many logs, spans or trace metrics
// (protocol §2.5), by its type and content type.
func (h ItemHeader) IsContainer() bool {
	ct := h.ContentType()
	switch h.Type {
	case "log":
		return ct == "application/vnd.sentry.items.log+json"
	case "span":
		return ct == "application/vnd.sentry.items.span.v2+json"
	case "trace_metric":
		return ct == "application/vnd.sentry.items.trace-metric+json"
	}
	return false
}
