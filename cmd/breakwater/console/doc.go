// Package console is the private listener: metrics for Prometheus, health for
// the platform, reload and profiles for the operator, and the pages and API
// for the person on call.
//
// Its promise: nothing here is reachable without the admin token once the
// listener is not on loopback, except what machines must read (/metrics,
// /-/healthy, /-/ready); nothing that was scrubbed can be seen here, because
// it never got this far; what strangers wrote is shown, never run; and pages
// cost nothing while nobody looks at them.
//
//	browser, script ─▶ secure ─▶ guard ─▶ pages (templates/*.html) ─┐
//	                   headers   token,   API (openapi.json) ───────┼─▶ source ─▶ spool, relay,
//	                             session, live ─▶ one goroutine ────┘   asks once    State (storm,
//	                             origin   tail ◀─ the door              a second     health, vitals, …)
//	                                      act ─▶ spool, relay ─▶ audit
//
// # Who may
//
// With server.admin_token: scripts send it as a bearer token; browsers turn it
// into a session once (a cookie that is HttpOnly and SameSite=Strict, good for
// twelve hours, and dead when the token changes or the process ends). Wrong
// tokens are rationed by address: 20, then one a second. Without a token,
// which the configuration allows on loopback only, the listener answers to
// localhost and to addresses but not to names, since a page of a stranger may
// give its own name the address 127.0.0.1. Either way a request that changes
// something must not come from a page of another origin, and a form must bring
// a mark that only our own page has.
//
// # What it costs
//
// Nothing is sampled, counted or kept for the console in the background. A
// page asks the parts when it is asked for; answers are remembered for a
// second, or five where a table is walked, so that many viewers cost what one
// does. Live pages are pushed by one goroutine that exists while somebody
// looks: it renders each page once a round, and each viewer holds one frame. A
// viewer that does not read within ten seconds is let go. 200 live pages, 20
// tails and 256 sessions may be open.
//
// # Actions
//
// Pause, resume, retry, drop and reload are confirmed on a page of their own,
// so they work without a script, and written down: a line of the log, and an
// entry in the audit history, of which the last 1,000 are kept in the data
// directory.
package console
