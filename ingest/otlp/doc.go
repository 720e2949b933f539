// Package otlp takes OpenTelemetry's protocol over HTTP, logs, traces and
// metrics, in protobuf and in JSON, and makes of it what upstreams of an error
// tracker understand.
//
//	log record ── exception.* ──▶ event
//	           ── browser.web_vital ──▶ histogram
//	           ── anything else ──▶ log container
//	span ── its events named exception ──▶ one event each
//	     ── itself ──▶ OTLP upstream, or filtered (no_otlp_upstream)
//	metric ── histogram of a web vital ──▶ histogram, where its values are known
//	       ── anything else ──▶ filtered (unsupported_metric)
//
// Its promise: a record that cannot be read never costs its neighbours, and
// every record that came in is counted. The answer is OTLP's own: 200 with an
// Export…ServiceResponse in the request's encoding, with a partial success when
// records were refused; refusals are google.rpc.Status, in JSON beside the
// gateway's own words. 429 and 503 carry Retry-After, after which exporters
// send the same request again: its events then have the same ids.
//
// What the conventions call it, and what it becomes: service.version is the
// release, deployment.environment.name the environment, telemetry.sdk.language
// the platform, enduser.id or user.id the user, url.full the page,
// exception.stacktrace the frames (see ingest.ParseStack; a text that no engine
// is known to write is kept in the context crash_report). Everything else is kept
// in the context otel (events) or as attributes (logs).
//
// A histogram of OTLP holds counts of buckets, not values, and ours are exact at
// the thresholds. So only data points whose values are known are taken: those
// of one measurement, or with equal minimum and maximum. Others end as filtered
// (aggregated; no_measurement, where the count is 0). Browsers send the first kind: one page view, one measurement.
package otlp
