// Package storm keeps one bug from drowning the others: it counts every error
// by its fingerprint, and when one comes too often, passes on a share of it.
//
//	                    ┌─ the first 50 of a minute ───────────────────▶ forwarded
//	error ─▶ fingerprint┤
//	  (project, release)└─ then one in 100 ────────────────────────────▶ forwarded, tagged with
//	                       │                                             storm.sample_rate and
//	                       └─ the others: counted, suppressed            storm.suppressed_since_last
//	                            │
//	          a minute without  └─▶ a summary event: "Storm of <title>: N events, M forwarded"
//
// Its promise: every error is counted, exactly, whether it was forwarded or
// not; a bug that nobody saw before passes whatever storm is raging; memory is
// bounded whatever strangers send.
//
// # Fingerprint
//
// Types and values of the exceptions and the innermost five frames of the
// application, file and function, of the reported exception. Values are
// normalised ([Normal]), files lose host, query and content hash ([File]),
// line numbers do not count. A client's own fingerprint is used instead, with
// {{ default }} expanded. Errors are counted per fingerprint and release: a
// storm in an old release does not hide a regression in the new one.
//
// Browsers' security reports (raw_security) are recognised by what was violated
// and the host that was blocked, in a series of their own.
//
// # Storm
//
// A storm begins with the first error of a fingerprint that is suppressed and
// ends when none was for the length of a window, or with the process. Each
// storm that ends is summed up in one event, stored through [Options.Emit]. A
// kill -9 takes along the summaries of the storms under way, and what stood in
// storm.suppressed_since_last; with limits in Redis another gateway sums them up.
//
// # Telling a client to stop
//
// A client is a public key and an address (IPv6 by its /64). It is told
// 60:error:key:storm, which makes stock Sentry SDKs keep errors back while
// sessions, transactions and the rest still flow, when an error of it is
// suppressed, at least nine others of it were without a pause of a window, and
// every error it has sent within the last window has a fingerprint that is
// storming now. Four fingerprints are remembered per client and 10,000 clients
// per project; beyond either, in doubt, a client is not told. So the limit is
// never a reason that an error of another kind is not sent, as far as the last
// window can tell.
//
// # Memory
//
// Fingerprints seen fewer than `first` times stand on probation and are the
// first to go; at most four fifths of the table are protected. A flood of
// fingerprints made up by a stranger pushes out fingerprints seen once or
// twice, and never a busy one.
package storm
