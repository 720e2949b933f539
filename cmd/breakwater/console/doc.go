// Package console is the private listener: metrics for Prometheus, health for
// the platform, reload and profiles for the operator, and the pages and API
// for the person on call.
//
// Its promise: nothing here is reachable without the admin token once the
// listener is not on loopback, except what machines must read (/metrics,
// /-/healthy, /-/ready); and nothing that was scrubbed can be seen here,
// because it never got this far.
package console
