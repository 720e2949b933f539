// Package scrub removes personal data and secrets from everything a batch
// carries, before any of it reaches the spool, a log, a metric or an upstream.
// Its promise: what a rule names does not leave, in whichever item type, field,
// key, header, query, cookie or embedded text it stands; and what no rule names
// leaves byte for byte as it came.
//
//	item ── JSON? ──────────► valid? ─► walk ─► hit: splice ─► _meta remark
//	     │                      │        └ no hit: the same slice
//	     ├─ replay recording ─► inflate ─► walk ─► deflate
//	     └─ anything else ───► opaque: forward | drop
//
// # What is applied
//
// Config.Defaults are Sentry's default scrubbers ("scrub data" with "use
// default scrubbers"): credit cards, IBANs, PEM keys, passwords in URLs, user
// names in paths, passwords by key or by value, US social security numbers,
// bearer tokens and session cookies, replaced by [Filtered]. Config.IP and
// Config.Email add addresses; Config.Fields more key names; Config.Rules own
// patterns. Every string is looked at once by a table-driven scan (scan.go);
// only what that scan suspects is examined further.
//
// # Where (schema.go)
//
//   - free: everything users put in, and every field nobody here knows. All rules.
//     A sensitive key replaces a string by [Filtered] and any other value but
//     true, false and null by null; a password word inside a value replaces the
//     whole value. "auth" matches "author": that is what Sentry does, too.
//   - text: messages, log bodies, feedback, generated text. Only the found piece is
//     replaced ([email], [creditcard], …), so that the sentence survives; of
//     "password=x" the x. E-mail addresses go with the defaults alone, as in Sentry.
//   - route, typed: transaction names, URLs of requests, device models, frames'
//     lines of source, SDKs' words in client reports and the like: the found piece
//     becomes [Filtered], never the whole. A name after /home/ stays there: it may
//     be a page.
//   - kept: identifiers, times, releases, SDK names, debug_meta, stack frames'
//     files and functions, exception types and values, fingerprints, the
//     User-Agent: grouping and symbolication break without them. Only a rule
//     of Config.Rules whose path names such a field reaches it, for one
//     {pattern: "@email", path: "$error.value"}. A kept field that holds an
//     object or a list, where a plain value belongs, counts as free.
//
// Fields whose name ends in "version", and user agents, are exempt from the
// IP rule: "Chrome/156.0.0.0" is not an address.
//
// Queries and fragments of URLs, form bodies and cookies are taken apart: a
// parameter or cookie loses its value by its name. JSON in a request body or in
// a text is scrubbed by its own structure, two layers deep. Keys that are personal
// data themselves are replaced, too. Of a page in a replay sensitive attributes
// and the found pieces go; its texts, titles and what stands in its fields are
// free, so a password word takes the whole. What was typed into a field is
// nothing a rule could know: masking inputs is the SDK's part, and its default.
//
// Scrubbing twice changes nothing (settle.go), so gateways may stand in a row;
// a rule of Config.Rules whose outcome its own pattern matches is the exception.
//
// # Addresses
//
// With Config.IP an event also gets sdk.settings.infer_ip "never", a container
// ingest_settings.infer_ip "never": otherwise the upstream would fill the gap
// with the address the request came from, which is the gateway's. Without it
// {{auto}} becomes the client's address, unless the client asked for "never".
//
// # What is not looked into
//
// Attachments of any content type, minidumps, replay videos, statsd lines and
// whatever is not JSON: Sentry does not scrub those by default either, and a
// file changed behind a user's back is worse than one refused. Config.Opaque
// says whether they pass or are dropped with the reason scrub_opaque.
package scrub
