// Package doctor walks the real path of a report and of a measurement, and
// names what is wrong with the fix.
//
//	configuration → machine → stream, Redis → gateway → door (each project, key, origin) → spool → upstreams
//	                                      │
//	                                      └→ /metrics → Prometheus → rules, panels → Alertmanager
//
// Its promise: a system that works gives no fault, and each fault names one
// cause, by a word of a closed list (Faults), with what was seen and what to do.
// When a step fails, what can only be asked behind it is shown as skipped, not as
// failed.
//
// What it sends are canaries (ingest.Canaries): the gateway tells what it saw of
// each request, so that a proxy in between is found out by the difference. They
// end at the door, but for one event for each project, which goes the whole way,
// tagged breakwater.canary, in the environment breakwater-canary. None counts as
// somebody's error, session or page view.
package doctor
