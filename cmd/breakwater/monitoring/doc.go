// Package monitoring holds what Prometheus, Alertmanager and Grafana need to
// know about Breakwater, embedded so that the binary can hand out the files
// that fit its own metrics.
//
//	rules/breakwater.rules.yml   recording rules and alerts
//	runbooks/<Alert>.md          what an alert means, what it costs, what to type first
//	dashboards                   Go code, made of the metrics in catalogue.go
//	provision/                   Prometheus, Alertmanager and Grafana files around them
//
// Its promise: every rule and every panel has data as soon as the metrics
// behind it move, and asks only for metrics that the gateway has; every alert
// has a runbook, a dashboard, a test in which it fires and one in which it is
// silent (testdata/, run by promtool in the package's tests).
package monitoring

import "embed"

// Files are the rules and the runbooks, by the paths above.
//
//go:embed rules runbooks
var Files embed.FS
