// Package relay is the way out: from a promise to a delivery.
//
//	           ┌──────────────── per destination ────────────────┐
//	spool ───▶ │ gate ──▶ claim ──▶ limits ──▶ Deliver ──▶ judge │
//	  ▲        │  paused?            hold or     one        │    │
//	  │        │  circuit open?      drop        attempt    │    │
//	  │        └─────────────────────────────────────────────┼───┘
//	  └── settle (done) │ release (again, later) │ bury (dead letter)
//
// What happens to a record at one destination, and nothing there touches
// another destination:
//
//   - Delivered: the upstream answered 2xx. The record is settled, one outcome
//     per item.
//   - The upstream is away (no connection, timeout, TLS, 502, 503, 504, and
//     the statuses by which proxies say so: 521 to 526, 529, 530): the record
//     is released with exponential backoff and full jitter, 1 s to 5 min, for
//     as long as the spool keeps it (spool.max_age; then its outcome is
//     expired). Retry-After is honoured up to an hour. After 5 of these in a
//     row the circuit opens: nothing more is claimed, and one record at a time
//     probes whether the upstream is back (1 s to 60 s apart). 408 and 425 are
//     retried in the same way but tell nothing of the upstream.
//   - The upstream fails at the record (500, 501, 505, a redirect): tried a
//     bounded number of times, 5 by default, then a dead letter. Different
//     records failing so in a row open the circuit too: that is an outage.
//   - The upstream refuses the record (400, 401, 403, 404, …): a dead letter
//     at once. 401, 403 and redirects are also logged as errors, once until
//     the destination delivers again. 413 is tried once more without the
//     attachments by the destinations that have some (relay/sentry); when the
//     rest is taken so, the attachments end as dead_letter (too_large), and they
//     alone of all dead letters are not kept.
//   - Dead letters stay on disk, within a budget that gives up the oldest (a
//     tenth of spool.max_size), until somebody retries or drops them; they do
//     not expire. A retried one starts again with no attempts counted.
//   - The upstream limits a category: records that have something of it wait
//     when the limit ends within HoldLimit (5 min); for longer limits the
//     limited items end as rate_limited and the rest is delivered. A 429 that
//     names no category and no time limits everything for 60 s. Waiting is
//     not an attempt. Client reports are never limited; a limit over all
//     categories makes the whole destination wait, them included, but drops
//     none of them. The door is told (Limiter), so that clients hear of a limit
//     that all of a project's upstreams share.
//
// Nothing is promised twice: a record is delivered at least once, with its
// event id. It arrives a second time only where an answer was lost, where the
// process ended between the answer and the note of it (the spool writes that
// down within 50 ms), or where an upstream answered 429 although it had taken
// the part of the record that the limit did not name.
//
// Destinations that store documents instead of envelopes share what is theirs
// alike: what a document is (Document), requests that several records share
// (Batcher), and the way out by HTTP (Client). What of a record makes no
// document ends there as filtered, with the reason NoDocument.
//
// The parent states the contract (Destination) and runs the loop; each child
// package knows one protocol; relaytest holds the suite every child passes.
package relay
