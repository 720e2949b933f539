// Package health counts sessions and errors by release, so that crash-free
// rates need no change of any app: what Sentry's SDKs send is enough.
//
//	session item   ──▶ once per (sid, what happened) ──┐
//	sessions item  ──▶ numbers as they are ────────────┼─▶ release_sessions_total …
//	event item     ──▶ level, handled ─────────────────┘
//
// Its promise: each session is started once, crashed once, errored once and
// ended once, however often and in whatever order its updates arrive. A
// session update is its whole state, not a difference; retries repeat it.
//
// The rules, as Sentry's SDKs mean them:
//
//   - started: an update with init true. A crash may come without one, when the
//     start was lost; it is counted as a crash all the same.
//   - errored: the first update with errors above 0, or a status that says so
//     (errored, unhandled, crashed, abnormal).
//   - crashed, abnormal, exited: the terminal status, once. A crash that is
//     reported after the exit of the same session is counted, an exit after
//     the crash is not.
//   - A session belongs to the release it names, not to the one that sends it:
//     mobile apps report yesterday's crash at today's start.
//   - Updates older than five days, more than a minute in the future, without a
//     valid release or start are ignored, as Sentry ignores them.
//   - The sessions item of servers holds numbers; they are added as they are, and
//     crashed, abnormal and unhandled ones are errored too. A repeat of the same
//     envelope is recognised by its sent_at.
//
// What was counted is remembered as hashes, the newest MaxSeen at least.
// release_users_estimate counts different users of the day (UTC) in HyperLogLog
// sketches of salted hashes, some 1 % off; ids are not kept. An orderly stop
// hands both to the next start, with the order of the releases (SaveFile,
// LoadFile); after a kill -9 an update that is sent again may count twice, and
// the users of the day are counted anew. Counters begin at zero at any start,
// as Prometheus expects.
//
// Releases and environments have places: the newest ReleaseSlots releases and
// the first Environments environments of each project; the rest is __other__.
// Errors that name no release are counted under __unknown__.
package health
