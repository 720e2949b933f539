// Package monitoring holds what Prometheus needs to know about Breakwater:
// recording rules and alerts, embedded so that the binary can hand out the
// files that fit its own metrics.
//
//	rules/breakwater.rules.yml   the ledger and its alert, share of good vitals, crash-free rates
//
// Its promise: every rule has data as soon as the metrics behind it move, every
// alert has a test in which it fires and one in which it is silent, and promtool
// finds no fault with any file (testdata/, run by the package's tests).
package monitoring

import "embed"

// Files are the files above, by the paths above.
//
//go:embed rules
var Files embed.FS
