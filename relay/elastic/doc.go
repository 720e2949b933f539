// Package elastic delivers the error stream to Elasticsearch, and to
// OpenSearch, by the bulk API.
//
//	record ──Documents──▶ {"create": {"_index", "_id"}}   POST {url}/_bulk
//	                      {"@timestamp", …}               gzip, several records in one request
//
// # What a document looks like
//
// A relay.Document, flat, with "@timestamp" beside "timestamp". Tags are one
// list of "key:value" texts and the payload, where full_event asks for it, is
// one text: nothing a client sends becomes the name of a field, so no client
// can blow up a mapping.
//
//	{"@timestamp":"2026-01-02T03:04:05.123Z","timestamp":"2026-01-02T03:04:05.123Z","received_at":"2026-01-02T03:04:06.001Z",
//	 "project":"shop-web","kind":"error","level":"error","event_id":"9ec79c33ec9942ab8353589fcb2e04dc","release":"shop@1.4.2",
//	 "environment":"production","platform":"javascript","type":"TypeError","value":"x is undefined","culprit":"pay (app.js:10)",
//	 "handled":false,"url":"https://shop.example/cart","trace_id":"…","user_id":"42","sdk":"sentry.javascript.react/10.1.0","tags":["browser:Firefox 143"]}
//
// # Repeats
//
// A document is created under an id that is the same at every attempt: project
// id and event id, or the id of the record and the place in it. What is there
// already answers 409, which counts as delivered, so an attempt whose answer
// was lost is repeated without a duplicate. In a data stream that holds within
// a backing index: a repeat after a rollover is a second document. create is
// the only action data streams take, and needs no more than the privilege
// create_doc.
//
// # What an answer means
//
//	whole request      relay.StatusError; 413: sent again in halves, and one
//	                   record alone that is too large is a dead letter
//	good, unreadable   tried a bounded number of times
//	per document
//	  200, 201, 409    delivered
//	  429, 503         the record is tried again with backoff, whole: the
//	                   documents of it that are there answer 409
//	  403 cluster_block_exception, 404 index_not_found_exception
//	                   the same, with an alert: a person frees the disk or makes
//	                   the index, and nothing is lost until then
//	  other 4xx        final. When a record has other documents that were taken,
//	                   its item ends as dead_letter; when it has none, the record
//	                   is a dead letter and can be retried after a repair
//	  other 5xx        tried a bounded number of times
//
// Items that make no document (sessions, replays, transactions, profiles,
// attachments, client reports, …) end as filtered with the reason no_document,
// unless another destination of the project delivers them.
package elastic
