// Package loki delivers the error stream to Grafana Loki by its push API.
//
//	record ──Documents──▶ {"streams":[{"stream":{labels},"values":[["ns","line"]]}]}
//	                      POST {url}/loki/api/v1/push, gzip, several records in one request
//
// # What a line looks like
//
// A line is a relay.Document as JSON; `| json` in a query makes fields of it:
//
//	{project="shop-web", kind="error"} | json | release="shop@1.4.2" | type="TypeError"
//
// Labels are few and bounded: job ("breakwater", unless configured otherwise),
// project, kind, level, environment, and what the configuration adds. kind and
// level come from closed lists; of environments a destination keeps the first
// ten it sees apart and calls the rest __other__, so that no client can make
// streams. Release, URL, user and tags are in the line.
//
// The time of a line is when the gateway received the report, because Loki
// refuses what is older than others of its stream by more than an hour, older
// than a week, or in the future, and clients' clocks are all of that. When it
// happened by the client's clock is the field timestamp.
//
// # Repeats
//
// The same record makes the same labels, times and lines at every attempt (the
// label environment but for a restart in between, when eleven or more are in
// use), and Loki keeps the same time and line of a stream once. So an attempt
// whose answer was lost is repeated without a duplicate.
//
// # What an answer means
//
//	2xx       delivered
//	400       final: too old, too far behind, too long a line. Loki has then
//	          stored the good lines of the request and does not say which, so a
//	          batch is sent again in halves until the record to blame is alone;
//	          that one is a dead letter
//	413       sent again in halves; a record alone is a dead letter
//	429       waits for Retry-After, 60 s without one
//	500       the upstream is away (Loki says so when too few ingesters live):
//	          tried again with backoff for as long as the spool keeps it
//	others    relay.StatusError
//
// Items that make no document (sessions, replays, transactions, profiles,
// attachments, client reports, …) end as filtered with the reason no_document,
// unless another destination of the project delivers them.
package loki
