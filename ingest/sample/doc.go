// Package sample keeps a share of transactions, replays and sessions and drops
// the others whole.
//
//	transaction ─ by its trace id ──┐
//	replay ────── by its replay id ─┼─▶ hash ─▶ [0,1) ─▶ below the share: kept, else suppressed/sampled
//	session ───── by its sid ───────┘
//
// Its promise: the same id always has the same fate, on every gateway and after
// every restart. So a trace is kept with all its transactions, a replay with all
// its segments and a session with all its updates, and a higher share keeps
// everything a lower one kept. What depends on a dropped item goes with it: a
// profile with its transaction, attachments with their event. Errors are never
// sampled; storms are thinned elsewhere.
package sample
