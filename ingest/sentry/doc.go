// Package sentry decodes what Sentry SDKs send: envelopes, at the endpoint and
// through the tunnel, and the single events of the old store endpoint.
//
//	body ──schemas.Reader──▶ header ──▶ dsn ──▶ event id
//	                           │
//	                           ▼        ┌ JSON: into memory, checked, at most the type's limit
//	                       each item ───┼ opaque and small: into memory
//	                                    └ opaque and large: into a file beside the spool
//
// Its promise: an item that cannot be used ends alone, as invalid with a word
// that says why, and with it only what cannot live without it; its neighbours
// keep every byte they came with. Only a body whose framing or one of whose headers
// is broken (an item without a type, an event id that is none) is refused whole,
// as Sentry does: nobody can say any more where the neighbours are, or whose.
//
// Of several events in one envelope the first usable one is kept and the
// others end as duplicate_item: that loses less than refusing all of them.
package sentry
