// Package limit decides how much one client, one key and one project may send.
//
//	             before the body is read                 after it was parsed
//	request ──▶ per address ──▶ per key ──▶ … ──▶ upstream's limits ──▶ quota ──▶ rate per category ──▶
//	            (requests)     (requests)         (items, as the upstream   (items)    (items)
//	                │              │                announced them)
//	                └── 429, Retry-After ──┘      └── dropped as rate_limited, X-Sentry-Rate-Limits ──┘
//
// Its promise: a configured rate holds over any time and any number of
// concurrent callers, whatever the addresses; memory has a fixed upper bound;
// a monthly quota survives a restart; a limit that was announced is never
// shortened; client reports always pass.
//
// # Where it stands
//
// [Limiter.AllowRequest] makes the limiter an [ingest.Gatekeeper]: the cheap
// check before a byte of the body is read. The rejection is a 429 whose
// RetryAfter says when a token is free; the edge also writes it as the limit
// "<seconds>::key:<reason>", which stock Sentry SDKs read as "all categories".
//
// [Limiter.Apply] is an [ingest.Stage]. It charges tokens and quota for what is
// alive in the batch, so it belongs after filters, sampling and storm control:
// then a crawler's errors or a storm of one bug do not eat the quota of others.
//
// # How a bucket works
//
// Every limit is a GCRA, the token bucket kept as one point in time (when the
// bucket will be full again). Buckets of keys and categories are one atomic
// each. Addresses live in a table of 16 bytes per address, 256 shards, 16 ways:
// when a set is full the bucket closest to full goes first, because a full
// bucket says no more than an absent one; so a flood of new addresses pushes
// out other idle ones and never the address that is being limited.
package limit
