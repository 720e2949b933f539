// Package filter drops what is known to be noise: errors of browser
// extensions, old browsers, crawlers, a developer's own machine, and whatever
// the project's lists of messages, releases, addresses and transactions name.
//
//	item ─▶ react-hydration-errors, chunk-load-error ─▶ invalid-csp ─▶ ip-address ─▶ release-version
//	     ─▶ error-message ─▶ localhost ─▶ browser-extensions ─▶ legacy-browsers ─▶ web-crawlers
//	     ─▶ filtered-transaction ─▶ kept
//
// Its promise: the same filters in the same order under the same names as
// Sentry's inbound filters, so that what a project has set there can be set
// here and is dropped before it costs anything. The first that matches ends the
// item, with the filter's name as the reason; the client is answered 200.
//
// Events, transactions, feedback and security reports run through all of them,
// sessions and standalone spans through those that need only the address, the
// release or the browser. Everything else passes.
//
// The browser is what the event says about its own request, else what the HTTP
// request says, else the client hints. Requests of native SDKs (okhttp,
// CFNetwork, sentry-cocoa and their like) have no browser and match no filter
// for browsers and crawlers.
package filter
