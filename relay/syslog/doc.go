// Package syslog delivers the error stream to a syslog server: one document as
// JSON in one message of RFC 5424, by UDP (RFC 5426), TCP with octet counting
// (RFC 6587) or TLS (RFC 5425). It also holds what the gateway's own log needs
// for the same: Message and Dial.
//
//	<11>1 2026-01-02T03:04:05.123Z gateway-1 breakwater - error - {"timestamp":"…","project":"shop-web","kind":"error",…}
//
// The priority is the configured facility with the severity of the level
// (fatal 2, error 3, warning 4, info 6, debug 7), the time is when it
// happened, MSGID is the document's kind. MSG is a relay.Document on one line,
// without a byte order mark, at most 8 KiB with everything before it, because
// that is where servers cut by default; with full_event over TCP and TLS at
// most 256 KiB (raise maxMessageSize in rsyslog). A document that is too long
// loses its payload first, then the ends of its texts, then its tags: it stays
// JSON.
//
// # What is promised
//
// Syslog has no acknowledgement. A successful write tells only that the own
// kernel has the bytes; they are lost when the server dies before it read
// them, and nobody is told. So over TCP and TLS:
//
//		      the watch: one connection, idle ─────────────────────────── still open?
//		batch ──connect──write──close our side──▶ server reads to the end, closes ──┐
//		                                          RST or no close: sent again       │
//		                                                         hold, 500 ms ◀─────┘
//		                                                         then settled
//
//	 1. Each batch (the records that wait at that moment) has a connection of
//	    its own. After writing, our side of it is closed, and the server's
//	    closing of the other side awaited. A server closes when it has read to
//	    the end; a kernel that closes for a dead process resets the connection
//	    when something was left unread. So an orderly close says: read by the
//	    server, all of it.
//	 2. The records are then held for another 500 ms before the spool is told
//	    that they are delivered, because what a server has read may still be in
//	    its memory only. Meanwhile a second connection, which nothing is sent
//	    on, watches the server: when it breaks, the server was killed or
//	    restarted, and every record in the hold is sent again.
//
// The promise over TCP and TLS: at least once, up to what a server has read
// more than 500 ms before it dies and has not written down. A server that is
// killed and started again leaves no gap; records of its last half second may
// come twice, with the same event_id. A server that acknowledges by closing
// and keeps messages in memory for longer (a full queue, a slow disk) needs a
// queue on disk of its own. Through a balancer with several servers behind it
// the watch may be on another server than the batch; then only step 1 holds. A
// server that never closes its side is taken to be away: the batch is tried
// again.
//
// The promise over UDP: none. A datagram that a reachable kernel refuses
// (nobody listens) is noticed for 20 ms and tried again; what is lost on the
// way, or in a full buffer, is lost.
//
// Items that make no document (sessions, replays, transactions, profiles,
// attachments, client reports, …) end as filtered with the reason no_document,
// unless another destination of the project delivers them.
package syslog
