// Package report takes what browsers report by themselves: violations of a
// Content Security Policy, failed certificate checks, network errors,
// deprecations, interventions, crashes of a page.
//
//	body ── one report, or an array of mixed ones ──▶ each by its kind:
//
//	csp-report, type csp-violation    ──▶ item raw_security ┐
//	expect-ct-report,                 ──▶ item raw_security │ one envelope
//	expect-staple-report, known-pins                        │ each
//	type crash                        ──▶ item event        ┘
//	type network-error                ──▶ item nel
//	type deprecation, intervention,   ──▶ one item log, an
//	*-violation, coep, coop               entry each
//	any other type                    ──▶ filtered, report_type
//
// Its promise: every report of a request is counted with an end of its own,
// a bad one never costs its neighbours, and what leaves is what Sentry's own
// endpoint would have made of it. A report goes on with the bytes it came
// with. Deprecations and the like, which Sentry's endpoints do not know, become
// structured logs; a page's crash, which no script lives to tell, an error.
//
// All of it but crashes counts as the category security, and its requests are
// counted in a budget of their own: a policy that every page violates uses up
// its own rates and not those of errors.
//
// # What it cannot do
//
// raw_security and nel have no place for the time of the report: after an
// outage an upstream dates them by their delivery. Reporting API bodies name
// an age, which logs and crashes are dated by.
package report
