// Package otlp delivers spans to a server that speaks OpenTelemetry's protocol
// over HTTP: a collector, Tempo, Jaeger, Sentry's own OTLP endpoint.
//
// A record of this destination holds items of type schemas.OTLPSpans: spans as
// JSON, scrubbed. One record is one POST of protobuf to {url}/v1/traces, which
// every OTLP server reads; gzip unless told otherwise. What an answer means is
// the table of relay.StatusError: 2xx is a delivery, 429, 502, 503 and 504 are
// tried again, as the protocol asks, with Retry-After honoured, and other 4xx
// are dead letters.
//
// A partial success must not be sent again. When it refuses every span of the
// record, its items end as dead_letter with the reason rejected; when it
// refuses some, the record counts as delivered, for the answer does not say
// which ones. Items that are no spans (left in the queue by an upstream of
// another type with the same name) end as dead_letter with the reason
// unsupported.
package otlp
