// Package backlog moves records from the spool of one gateway to that of
// another.
//
//	gateway A                    a file                     gateway B
//	  pause ─▶ list ─▶ read ──▶ archive ──▶ check ─▶ append ─▶ note what was taken
//	  end as delivered, reason "exported" ◀── receipt ◀──┘
//
// Nothing is taken out of A until somebody shows the receipt that B has it, or
// says that it shall be so. So a record is at A, or at both, never at none; and
// while its destination is paused at A, only B delivers it.
//
// # The archive
//
// Lines of JSON and, after each record's line, the bytes of its envelope:
//
//	{"format":"breakwater-spool","version":1,"id":"01K…","created_at":"…","source":"gateway-1"}
//	{"record":"01K…","project":"shop","destinations":["sentry"],"dead":false,"meta":{…},"length":4711,"sha256":"…"}
//	<4711 bytes: the envelope as in Sentry's protocol, attachments included><line break>
//	…
//	{"end":true,"records":2,"sha256":"…"}
//
// A record's sha256 is that of its envelope's bytes; the one of the last line
// that of everything before that line. Without a last line the archive is not
// whole: an export that broke off goes on after its last whole record, an
// import takes whole archives only. A record with a payload that changed on
// the way is refused by its checksum.
//
// # Repeats
//
// An importing gateway notes each record it took, by the record's id, project
// and destination, in the file imported.log beside its spool, right after the
// record is durable. What stands there is not taken again: not after an import
// that broke off, not from a second archive with the same record. Only a power
// cut can lose notes, of the last records before it: those would be taken
// twice, with the same event_id. Notes are kept for 90 days.
package backlog
