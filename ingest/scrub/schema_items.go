package scrub

import "breakwater/schemas"

var (
	spanData = &node{flags: freeFlags, kids: attributeKids}
	attrs    = &node{flags: freeFlags, does: attributes, kids: attributeKids}

	// attributeKids are the attributes of spans, logs and metrics that are not
	// free: addresses, cookies, queries, generated text, what SDKs say of themselves.
	attributeKids = join(
		with(address, "client.address", "user.ip_address", "user.ip", "net.peer.ip"),
		with(allJar, "http.request.header.cookie", "http.request.header.set-cookie", "http.response.header.set-cookie"),
		with(agent, "user_agent.original", "http.user_agent", "http.request.header.user-agent", "http.request.header.user_agent"),
		with(query, "url.query", "http.query", "url.fragment", "http.fragment"),
		with(text, "gen_ai.input.messages", "gen_ai.prompt", "gen_ai.request.messages", "gen_ai.tool.call.arguments", "gen_ai.tool.input",
			"gen_ai.tool.call.result", "gen_ai.tool.output", "gen_ai.output.messages", "gen_ai.response.tool_calls", "gen_ai.response.text",
			"gen_ai.response.object", "gen_ai.tool.definitions", "gen_ai.request.available_tools", "gen_ai.tool.name",
			"mcp.prompt.result", "mcp.tool.result.content", "sentry.message.template"),
		with(route, "sentry.segment.name", "sentry.transaction", "transaction", "ui.component_name", "code.filepath", "code.file.path",
			"code.function", "code.function.name", "code.namespace", "thread.name"),
		with(kept, "sentry.release", "sentry.environment", "sentry.op", "sentry.origin", "sentry.source", "sentry.span.source", "sentry.sdk.name",
			"sentry.sdk.version", "sentry.segment.id", "sentry.trace_lifecycle", "sentry.replay_id", "sentry.pageload.span_id", "sentry.dist",
			"sentry.profile_id", "sentry.profiler_id", "release", "environment", "replay_id", "profile_id", "code.lineno", "code.line.number",
			"http.request.method", "http.method", "http.request_method", "db.system", "db.operation"),
		with(version, "browser.version", "os.version", "app.version"),
	)

	span1 = &node{flags: freeFlags, typ: inSpan, kids: join(ids, kids{
		"data": spanData, "attributes": attrs, "measurements": deep, "name": route, "_metrics_summary": deep,
		"links":       {flags: freeFlags, elem: &node{flags: freeFlags, kids: join(ids, kids{"attributes": attrs})}},
		"sentry_tags": {flags: freeFlags, kids: kids{"user.ip": address}},
	})}

	event = &node{flags: freeFlags, kids: join(ids,
		with(kept, "fingerprint_version", "logger_id", "project", "key_id", "version", "checksum", "time_spent", "replay_type",
			"replay_start_timestamp", "main_thread"),
		with(deep, "fingerprint", "modules", "debug_meta", "measurements", "breakdowns", "grouping_config", "transaction_info",
			"error_ids", "trace_ids", "_metrics_summary", "_metrics"),
		kids{
			"logger": typed, "transaction": route, "culprit": route, "site": typed,
			"message": logentry, "logentry": logentry, "sentry.interfaces.Message": logentry,
			"exception": exception, "sentry.interfaces.Exception": exception,
			"stacktrace": stack, "sentry.interfaces.Stacktrace": stack, "threads": thread,
			"template": frame, "sentry.interfaces.Template": frame,
			"user": user, "sentry.interfaces.User": user,
			"request": request, "sentry.interfaces.Http": request,
			"contexts": contexts, "sentry.interfaces.Contexts": contexts,
			"breadcrumbs": breadcrumb, "sentry.interfaces.Breadcrumbs": breadcrumb,
			"spans": {flags: freeFlags, elem: span1}, "sdk": sdk, "csp": security, "_meta": meta,
		})}
	replayEvent = &node{flags: freeFlags, typ: inReplay, kids: event.kids}

	security = &node{flags: freeFlags, kids: join(
		with(kept, "effective-directive", "violated-directive", "disposition", "effectiveDirective", "effective_directive", "violated_directive"),
		with(route, "blocked-uri", "document-uri", "source-file", "original-policy", "blockedURL", "documentURL", "sourceFile",
			"originalPolicy", "blocked_uri", "document_uri", "source_file", "original_policy"))}
	report = &node{flags: freeFlags, kids: kids{
		"csp-report": security, "body": security, "type": kept, "user_agent": agent, "url": route,
	}}

	// containers hold their entries in items; a v1 span is its own root.
	logEntry = &node{flags: freeFlags, typ: inLog, kids: join(
		with(kept, "timestamp", "trace_id", "span_id", "level", "severity_number", "severity_text"), kids{"body": text, "attributes": attrs})}
	metric = &node{flags: freeFlags, typ: inMetric, kids: join(
		with(kept, "timestamp", "trace_id", "span_id", "type", "unit", "value"), kids{"name": typed, "attributes": attrs})}

	sessionKids = join(with(kept, "sid", "seq", "init", "started", "timestamp", "duration", "status", "errors", "abnormal_mechanism",
		"exited", "errored", "abnormal", "unhandled", "crashed"), kids{"did": typed, "attrs": {flags: freeFlags, typ: inSession, kids: join(
		with(kept, "release", "environment"), kids{"ip_address": address, "user_agent": agent})}})
	session = &node{flags: freeFlags, typ: inSession, kids: join(sessionKids, kids{
		"aggregates": {flags: freeFlags, elem: &node{flags: freeFlags, typ: inSession, kids: sessionKids}},
	})}

	// otlpSpans is TracesData in OTLP's JSON form: attributes are lists of
	// {"key": …, "value": {"stringValue": …}}, where the key counts for the value.
	otlpSpans = func() *node {
		kept := join(ids, with(kept, "traceId", "spanId", "parentSpanId", "startTimeUnixNano", "endTimeUnixNano", "timeUnixNano",
			"kind", "flags", "code", "schemaUrl", "droppedAttributesCount", "droppedEventsCount", "droppedLinksCount"), with(version, "version"))
		list := func(n *node) *node { return &node{flags: freeFlags, elem: n} }
		event := &node{flags: freeFlags, kids: join(kept, kids{"name": typed})}
		link := &node{flags: freeFlags, kids: kept}
		span := &node{flags: freeFlags, typ: inSpan, kids: join(kept, kids{
			"name": route, "events": list(event), "links": list(link),
			"status": {flags: freeFlags, kids: join(kept, kids{"message": text})},
		})}
		scope := &node{flags: freeFlags, kids: join(kept, kids{"scope": {flags: freeFlags, kids: join(kept, kids{"name": typed})}, "spans": list(span)})}
		resource := &node{flags: freeFlags, kids: join(kept, kids{"scopeSpans": list(scope)})}
		return &node{flags: freeFlags, kids: kids{"resourceSpans": list(resource)}}
	}()

	checkIn = &node{flags: freeFlags, kids: join(with(kept, "check_in_id", "monitor_slug", "status", "duration", "environment", "release"),
		kids{"monitor_config": deep, "contexts": contexts})}

	// clientReport counts what an SDK dropped: its words are short, and its own.
	clientReport = func() *node {
		events := &node{flags: freeFlags, elem: &node{flags: freeFlags, kids: kids{"reason": typed, "category": typed, "quantity": kept}}}
		return &node{flags: freeFlags, kids: join(with(kept, "timestamp"),
			with(events, "discarded_events", "rate_limited_events", "filtered_events", "filtered_sampling_events"))}
	}()

	userReport = &node{flags: freeFlags, kids: kids{"event_id": kept, "comments": text, "name": typed, "email": typed}}

	profileTx = &node{flags: freeFlags, kids: join(ids, kids{"id": kept, "name": route, "active_thread_id": kept})}
	profile   = &node{flags: freeFlags, kids: join(ids,
		with(kept, "version", "chunk_id", "sampled_profile", "sampledProfile", "build_id", "transaction_id"),
		with(deep, "debug_meta", "measurements", "client_sdk"),
		kids{
			"transaction_name": route, "transaction": profileTx, "transactions": {flags: freeFlags, elem: profileTx},
			"device": device, "os": device, "runtime": device,
			"profile": {flags: freeFlags, kids: join(with(deep, "samples", "stacks", "queue_metadata"), kids{
				"frames": frames, "thread_metadata": {flags: freeFlags, rest: &node{flags: freeFlags, kids: kids{"name": typed, "priority": kept}}},
			})},
		})}

	envelopeHeader = &node{flags: freeFlags, kids: join(ids,
		with(kept, "sent_at", "dsn", "client", "version", "retention"),
		with(address, "remote_addr", "forwarded_for"),
		kids{"sdk": sdk, "user_agent": agent, "client_hints": deep, "origin": route, "trace": {flags: freeFlags, kids: join(ids,
			with(kept, "public_key", "sample_rate", "sample_rand", "sampled", "org_id"), kids{"transaction": route})}})}
	itemHeader = &node{flags: freeFlags, kids: join(ids,
		with(kept, "length", "content_type", "attachment_type", "item_count", "sampled", "routing_hint", "meta_length",
			"sentry_release", "sentry_environment", "sample_rates"), kids{"filename": fileName})}

	// Replays: events of rrweb. What Sentry's SDK adds (tag and payload) is
	// free, pages and their attributes keep everything but the found pieces.
	rrPayload = &node{flags: freeFlags, kids: join(kids{"type": kept, "category": typed, "timestamp": kept, "op": kept, "level": kept})}
	rrData    = &node{flags: fSub | fFields | fKey | fHome, kids: rrKids}
	rrAttrs   = &node{flags: fSub | fFields | fKey | fHome, rest: rrAttr, kids: with(free, "value", "placeholder", "alt", "title", "aria-label", "content")}
	rrAttr    = &node{flags: fSub | fFields | fKey | fHome}
	pageText  = &node{flags: freeFlags, does: styledText}
	rrKids    = kids{"payload": rrPayload, "tag": kept, "attributes": rrAttrs, "textContent": pageText, "text": pageText, "value": pageText}
	recording = &node{flags: fSub | fFields | fKey, kids: kids{"data": rrData, "type": kept, "timestamp": kept}}
)

// meta is the parallel tree of remarks: only the original values it quotes
// ("val") are data.
var meta = func() *node {
	leaf := &node{does: metaLeaf, kids: kids{"val": free}, rest: deep}
	tree := &node{does: metaTree, kids: kids{"": leaf}}
	tree.rest, tree.elem = tree, tree
	return tree
}()

func init() {
	deep.rest, deep.elem = deep, deep
	// rrweb nests nodes without end; loops cannot stand in the declarations.
	rrData.rest, rrData.elem = rrData, rrData
	recording.elem, recording.rest = recording, rrData
	rrAttrs.elem = rrData
	for _, n := range []*node{envelopeHeader, itemHeader, recording, meta, free} {
		n.buildIndex()
	}
	for _, n := range roots {
		n.buildIndex()
	}
}

func container(entry *node, own kids) *node {
	return &node{flags: freeFlags, typ: entry.typ, kids: join(own, kids{"version": kept, "ingest_settings": settings, "items": {flags: freeFlags, elem: entry}})}
}

// roots are the nodes item types begin at; every other type is free.
var roots = map[string]*node{
	"event": event, "transaction": event, "feedback": event, "security": event, "replay_event": replayEvent,
	"raw_security": report, "nel": report, "user_report": userReport,
	"span": container(span1, span1.kids), "log": container(logEntry, logEntry.kids), "otel_log": container(logEntry, logEntry.kids),
	"trace_metric": container(metric, nil),
	"session":      session, "sessions": session, "check_in": checkIn,
	"profile": profile, "profile_chunk": profile,
	"client_report": clientReport, schemas.OTLPSpans: otlpSpans,
}

// remarkable are the types whose payloads carry _meta.
var remarkable = map[string]bool{"event": true, "transaction": true, "feedback": true, "security": true, "replay_event": true}
