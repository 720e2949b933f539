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
	// average bounds a container's bytes divided by its members.
	average int64
}

// maxContainer bounds a container as a whole, in bytes: what is scrubbed has to
// be in memory. Sentry bounds logs in the same way, spans and metrics by their
// average only.
const maxContainer = 12 << 20

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
		return bounds{kind: kindAttachment, each: c.EventSize, total: c.AttachmentSize, count: c.AttachmentsPerEnvelope}
	case "attachment", "unreal_report":
		return bounds{kind: kindAttachment, each: c.AttachmentSize, total: c.AttachmentSize, count: c.AttachmentsPerEnvelope}
	case "session", "sessions":
		return bounds{kind: kindSession, total: 10 << 20, count: c.SessionsPerEnvelope}
	case "client_report":
		return bounds{kind: kindReport, total: 100 << 10, count: 100}
	case "replay_recording", "replay_video":
		return bounds{kind: kindRecording, each: 10 << 20}
	case "check_in":
		return bounds{kind: kindCheckIn, each: 100 << 10, count: 1}
	case "statsd", "metric_meta", "metric_buckets":
		return bounds{kind: kindMetric, each: 1 << 20}
	case "profile":
		return bounds{kind: kindProfile, each: 50 << 20, count: 1}
	case "profile_chunk":
		return bounds{kind: kindProfileChunk, each: 50 << 20, count: 1}
	case "nel":
		return bounds{kind: kindNel, each: 1 << 20}
	}
	switch container := h.IsContainer(); {
	case h.Type == "span" && container:
		return bounds{kind: kindSpans, each: maxContainer, count: 1, average: 10 << 20}
	case h.Type == "span":
		return bounds{kind: kindSpan, each: 10 << 20, total: 10 << 20, count: 25}
	case h.Type == "log":
		return bounds{kind: kindLogs, each: maxContainer, count: 1, average: 2 << 20}
	case h.Type == "otel_log": // one log each, of SDKs from before containers
		return bounds{each: 2 << 20}
	case h.Type == "trace_metric":
		return bounds{kind: kindTraceMetrics, each: maxContainer, count: 1, average: 1 << 20}
	}
	return bounds{each: c.AttachmentSize}
}

// tally is what an envelope has of one kind so far.
type tally struct {
	count int
	bytes int64
}
