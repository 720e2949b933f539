// Package faro takes what the stock Grafana Faro SDKs for the web and for React
// send: one JSON object with meta and lists of signals.
//
//	exceptions   ──▶ one event each, with frames, user, page, breadcrumbs
//	measurements ── type web-vitals ──▶ histograms
//	             ── any other type ──▶ log
//	logs, events ──▶ one log container
//	traces       ──▶ OTLP upstream, or filtered (no_otlp_upstream)
//
// Its promise: an entry that cannot be read never costs its neighbours, and
// every entry is counted. A batch that is sent again counts once: the SDK
// retries with the same Idempotency-Key and the same body, and the two together
// are remembered per project (see RememberFor); the repeat is answered 202 like
// the first and counted as one filtered item of category unknown, reason
// duplicate. While the first is still being decided the repeat is answered 503
// with Retry-After, which the SDK obeys. A restart forgets; ids of events are
// derived from the body, so that the upstream then knows them.
//
// What becomes of meta: app.version is the release, app.release the dist,
// app.environment the environment, user the user, page.url the page's address,
// browser and os their contexts, app.name and view.name tags. page.id, or a
// view's name, is the route of the vitals; without them the path of page.url.
// The session's id is the tag session.id of events and an attribute of logs; no
// release-health session is made of it, for Faro does not say how one ended.
// Faro does not say either whether an exception was caught, so events do not.
//
// Limits and their answers are the door's: 202 when something was taken, 429
// and 503 with Retry-After otherwise; the SDK waits as long as that says.
package faro
