// Package logs carries the gateway's own log to its outputs.
//
//	zerolog ──one JSON line──▶ queue ──▶ standard output or error, at once
//	                       ├─▶ queue ──▶ syslog by UDP, TCP or TLS (RFC 5424)
//	                       ├─▶ queue ──▶ file, with rotation
//	                       └─▶ one more writer (the gateway's own error reports)
//
// Its promise: writing a log line never waits for anybody. Each output has a
// queue of its own of at most 4 MiB and 10,000 lines, and a goroutine that
// empties it. What does not fit is dropped, the newest first, and counted in
// breakwater_log_lines_dropped_total. An output that fails is tried again after
// 100 ms to 10 s, doubling; what was being written is kept meanwhile. When that
// begins and when it ends the other outputs get a line that says so, with the
// number of lines lost; where there is no other, standard error gets it.
//
// By TCP and TLS a line counts as written when the own system has taken it:
// what a server that dies has not read by then is lost, as RFC 6587 has no
// acknowledgement. A server's close is noticed before the next line is
// written. Those who need every line of the error stream use an upstream of
// type syslog, which is built for that.
//
// Reopen closes files, so that one that logrotate has moved away is left alone;
// the next line begins a new one. Close waits a moment for what is queued.
package logs
