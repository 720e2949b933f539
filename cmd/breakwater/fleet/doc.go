// Package fleet lets several gateways keep one set of limits, in one Redis.
//
//	request ─▶ own buckets ─▶ … ─▶ its steps ─┐  waits for one answer      ┌─ Redis ──────────────┐
//	request ─▶ own buckets ─▶ … ─▶ its steps ─┼─▶ whatever waits together ─▶ one script a request, │
//	request ─▶ own buckets ─▶ … ─▶ its steps ─┘  goes in one pipeline      └─ all steps atomic ───┘
//
// Its promise: a request waits for at most one round trip, and for no longer than
// Options.Timeout; what one script decides, it decides at one moment for all
// gateways; a Redis that is away, slow or full is never an error to a client,
// costs nobody anything after three deadlines, and is asked again as soon as it
// answers.
//
// # What is decided together
//
// steps.lua takes the steps of [ingest.Step]: token buckets of addresses, keys
// and categories (GCRA, by the script of redis_rate, which is called as it is),
// quotas, storms, claims of ids that clients gave, and whose a measurement is. A
// step whose condition failed is not taken: what a storm suppresses costs no
// quota, and what an address is refused costs nobody else's tokens.
//
// Time is Redis's own, so the gateways' clocks need not agree.
//
// # When Redis is away
//
// A call that fails opens the circuit: from then on every gateway decides alone
// at once, by the buckets, counts and windows that it has kept beside the shared
// ones. One that is late is decided alone, and Redis is sent a ping: the circuit
// opens when that is late, too, or when calls are late three deadlines in a row.
// So one slow answer of a busy machine costs one request its deadline, and limits
// stay shared; a Redis that stands still costs those who ask within two deadlines
// one each. Up is false, and Share says how much of a limit
// one gateway may give away: all of it (looser) or its part (stricter). A probe
// closes the circuit again. Changes of state are logged, decisions counted.
//
// # What Redis forgets
//
// Every key has an end. After a restart without its data buckets are full and
// windows begin anew; quotas do not: each gateway says with every question what
// it last heard was used and what it has counted alone since, and Redis goes on
// from the higher. What is said again, because no answer came, counts once; a
// request whose own answer came late may count twice, in Redis and alone.
// Scripts are loaded again when Redis does not know them. Under
// maxmemory the policy volatile-ttl drops first what would end first: buckets,
// then fingerprints seen a few times, long before storms, claims and quotas.
//
// # What is in Redis
//
// Names of projects and categories, public keys, hashes, counts, and for a storm
// its scrubbed title, release and environment. Addresses are there only as
// hashes keyed with a salt. One Redis (or a primary with its replicas) is meant;
// Redis Cluster is not: the keys of one request are in several slots.
package fleet
