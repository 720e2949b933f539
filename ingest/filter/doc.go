// Package filter drops what is known to be noise: errors of browser
// extensions, old browsers, crawlers, a developer's own machine, and whatever
// the project's lists of messages, releases, addresses and transactions name.
//
//	item ─▶ react-hydration-errors, chunk-load-error, log-message, trace-metric-name ─▶ invalid-csp ─▶ ip-address ─▶ release-version
//	     ─▶ error-message ─▶ localhost ─▶ browser-extensions ─▶ legacy-browsers ─▶ web-crawlers
//	     ─▶ filtered-transaction ─▶ kept
//
// Its promise: the same filters in the same order under the same names as
// Sentry's inbound filters, so that what a project has set there can be set
// here and is dropped before it costs anything. The first that matches ends the
// item, with the filter's name as the reason; the client is answered 200.
//
// Events, transactions and feedback run through all of them; browsers' security
// reports through invalid-csp, localhost (of the page) and those that need only
// the address, the release or the browser; sessions, standalone spans and NEL
// reports through the latter. Of what browsers report as deprecations and the
// like, entries that an extension caused go alone; of containers of logs and trace
// metrics, those that a list names. Everything else passes. Sentry's custom-error
// is a further name of error-message and has no list of its own.
//
// CSP reports are dominated by extensions, in-app browsers and filtering
// proxies, which no site can do anything about: BrowserExtensions filters those
// too, as invalid-csp, by the scheme, by the bare name of a scheme (all that
// Chromium says of an extension's script), and by known hosts.
//
// The browser is what the event says about its own request, else what the HTTP
// request says, else the client hints. Requests of native SDKs (okhttp,
// CFNetwork, sentry-cocoa and their like) have no browser and match no filter
// for browsers and crawlers.
package filter
