package schemas

import (
	"slices"
	"testing"
)

func TestParseCategory(t *testing.T) {
	tests := map[string]Category{
		"error": CategoryError, "ERROR": CategoryError, " error ": CategoryError, "default": CategoryDefault,
		"metric": CategoryTraceMetric, "trace_metric": CategoryTraceMetric, "profile_chunk_ui": CategoryProfileChunk,
		"profile_backend": CategoryProfile, "profile_ui": CategoryProfile, "profile_indexed": CategoryProfile,
		"user_report_v2": CategoryFeedback, "attachment_item": CategoryAttachment, "log_byte": CategoryLog, "log_item": CategoryLog,
		"transaction_indexed": CategoryTransaction, "transaction_processed": CategoryTransaction, "span_indexed": CategorySpan,
		"check_in": CategoryMonitor, "monitor": CategoryMonitor, "internal": CategoryInternal, "metric_bucket": CategoryMetricBucket,
	}
	for name, want := range tests {
		if got, ok := ParseCategory(name); !ok || got != want {
			t.Errorf("%q: got %q, %v", name, got, ok)
		}
	}
	for _, name := range []string{"", "errors", "seer_autofix", "replay_video", "error;transaction"} {
		if got, ok := ParseCategory(name); ok {
			t.Errorf("%q became %q", name, got)
		}
	}
	for _, c := range Categories {
		if got, ok := ParseCategory(string(c)); !ok || got != c {
			t.Errorf("%q does not read itself", c)
		}
		names := c.WireNames()
		if names[0] != string(c) {
			t.Errorf("%q is announced as %q first", c, names[0])
		}
		if c == CategoryFeedback && !slices.Contains(names, "default") { // where user_report is looked up
			t.Errorf("%q is announced as %q", c, names)
		}
		if c != CategoryProfileChunk { // older SDKs look chunks up under profile
			for _, name := range names {
				if c == CategoryFeedback && name == "default" {
					continue
				}
				if got, ok := ParseCategory(name); !ok || got != c {
					t.Errorf("%q is announced as %q, which reads as %q", c, name, got)
				}
			}
		}
	}
}

func TestItemTypes(t *testing.T) {
	tests := []struct {
		typ                   string
		category              Category
		dependent, main, json bool
	}{
		{"event", CategoryError, true, true, true},
		{"transaction", CategoryTransaction, true, true, true},
		{"raw_security", CategorySecurity, true, true, true},
		{"feedback", CategoryFeedback, true, true, true},
		{"attachment", CategoryAttachment, true, false, false},
		{"user_report", CategoryFeedback, true, false, true},
		{"profile", CategoryProfile, true, false, true},
		{"profile_chunk", CategoryProfileChunk, false, false, true},
		{"session", CategorySession, false, false, true},
		{"sessions", CategorySession, false, false, true},
		{"client_report", CategoryInternal, false, false, true},
		{"replay_event", CategoryReplay, true, false, true},
		{"replay_recording", CategoryReplay, false, false, false},
		{"replay_video", CategoryReplay, false, false, false},
		{"check_in", CategoryMonitor, false, false, true},
		{"span", CategorySpan, false, false, true},
		{"log", CategoryLog, false, false, true},
		{"trace_metric", CategoryTraceMetric, false, false, true},
		{"statsd", CategoryMetricBucket, false, false, false},
	}
	for _, tt := range tests {
		got, ok := LookupItemType(tt.typ)
		if !ok || got != (ItemType{tt.category, tt.dependent, tt.main, tt.json}) {
			t.Errorf("%s: %+v", tt.typ, got)
		}
	}
	if got, ok := LookupItemType("from_the_future"); ok || got.Category != CategoryUnknown || got.Main || got.Dependent {
		t.Errorf("unknown type: %+v", got)
	}
	for typ, it := range itemTypes {
		if !KnownCategory(it.Category) || !slices.Contains(Categories, it.Category) {
			t.Errorf("%s counts as %q, which no metric shows", typ, it.Category)
		}
	}
	for typ, want := range map[string]bool{
		"": false, "event.attachment": false, "event.view_hierarchy": false, "unreal.logs": false,
		"event.minidump": true, "event.applecrashreport": true, "event.payload": true, "event.breadcrumbs": true, "playstation.prosperodump": true,
	} {
		if CreatesEvent(typ) != want {
			t.Errorf("attachment type %q", typ)
		}
	}
}

func TestIsContainer(t *testing.T) {
	for _, tt := range []struct {
		typ, ct string
		want    bool
	}{
		{"log", "application/vnd.sentry.items.log+json", true},
		{"span", "application/vnd.sentry.items.span.v2+json", true},
		{"span", "", false},
		{"span", "application/json", false},
		{"trace_metric", "application/vnd.sentry.items.trace-metric+json", true},
		{"log", "application/vnd.sentry.items.span.v2+json", false},
		{"event", "application/vnd.sentry.items.log+json", false},
	} {
		if got := NewItemHeader(tt.typ, "content_type", tt.ct).IsContainer(); got != tt.want {
			t.Errorf("%s with %q: %v", tt.typ, tt.ct, got)
		}
	}
}
