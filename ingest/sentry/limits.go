package sentry

import (
	"breakwater/ingest"
	"breakwater/schemas"
)

// bounds are what an envelope may hold of one kind of items; 0 is no limit.
// The figures that are not settings are those of Sentry's Relay.
type bounds struct {
	kind  kind
	each  int64 // bytes of one item
	total int64 // bytes of all items of the kind
	count int
}

// kind groups the item types that share a limit.
type kind int

const (
	kindOther kind = iota
	kindMain
	kindEventPart
	kindAttachment
	kindSession
	kindReport
	kindReplayEvent
	kindRecording
	kindCheckIn
	kindMetric
	kindProfile
	kindProfileChunk
	kindSpan
	kindSpans
	kindLogs
	kindTraceMetrics
	kindNel
	kinds
)

// boundsOf finds the limits of an item.
func boundsOf(h schemas.ItemHeader, c *ingest.Config) bounds {
	switch h.Type {
	case "event", "transaction", "security", "raw_security", "feedback":
		return bounds{kind: kindMain, each: c.EventSize}
	case "form_data":
		return bounds{kind: kindEventPart, each: c.EventSize, total: c.EventSize}
	case "replay_event":
		return bounds{kind: kindReplayEvent, each: c.EventSize, total: c.EventSize}
	case "user_report":
		return bounds{kindAttachment, c.EventSize, c.AttachmentSize, c.AttachmentsPerEnvelope}
	case "attachment", "unreal_report":
		return bounds{kindAttachment, c.AttachmentSize, c.AttachmentSize, c.AttachmentsPerEnvelope}
	case "session", "sessions":
		return bounds{kindSession, 0, 10 << 20, c.SessionsPerEnvelope}
	case "client_report":
		return bounds{kindReport, 0, 100 << 10, 100}
	case "replay_recording", "replay_video":
		return bounds{kind: kindRecording, each: 10 << 20}
	case "check_in":
		return bounds{kindCheckIn, 100 << 10, 0, 1}
	case "statsd", "metric_meta", "metric_buckets":
		return bounds{kind: kindMetric, each: 1 << 20}
	case "profile":
		return bounds{kindProfile, 50 << 20, 0, 1}
	case "profile_chunk":
		return bounds{kindProfileChunk, 50 << 20, 0, 1}
	case "nel":
		return bounds{kind: kindNel, each: 1 << 20}
	}
	container := h.IsContainer()
	switch {
	case h.Type == "span" && container:
		return bounds{kindSpans, 10 << 20, 0, 1}
	case h.Type == "span":
		return bounds{kindSpan, 0, 10 << 20, 25}
	case (h.Type == "log" || h.Type == "otel_log"):
		return bounds{kindLogs, 12 << 20, 0, 1}
	case h.Type == "trace_metric":
		return bounds{kindTraceMetrics, 10 << 20, 0, 1}
	}
	return bounds{each: c.AttachmentSize}
}

// tally is what an envelope has of one kind so far.
type tally struct {
	count int
	bytes int64
}
