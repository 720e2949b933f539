// Package disk is the embedded spool: a segmented log in one directory.
//
// Its promise is that of package spool. How it keeps it:
//
//	Append ─encode─▶ waiting ─┐                       ┌─▶ queue a ─▶ Claim ─▶ Settle ┐
//	Append ─encode─▶ waiting ─┼─▶ writer: one write,  ├─▶ queue b                    │
//	Append ─encode─▶ waiting ─┘   one fsync for all   └─▶ …                          ▼
//	                              that waited                  acker: .acks, every 50 ms,
//	                                                           fsync within 1 s or for a burial
//	                              keeper: deletes, expires, evicts, merges
//
// # The directory
//
// `ls` shows the state. Names sort by sequence, the extension says what a file is:
//
//	lock                                flock; holds the pid of who has it
//	0000000000000007-5c1e90aa.sealed    a full segment of records
//	0000000000000007-5c1e90aa.index     heads of its records; a copy, made again when wrong
//	0000000000000007-5c1e90aa.acks      which destination is done with which record
//	0000000000000008-e2b0417d.merged    a full segment, made of the living records of older ones
//	0000000000000009-03f7a6c2.active    the segment that is written to
//	000000000000000a-77d1be04.merging   half a merge: removed at the next start
//	blobs/0f…e1.blob                    a payload too large to lie in a segment
//	spill/8a…90.tmp                     a payload still coming in: removed at the next start
//	damaged/…-00012f40.bin              bytes that made no record, kept for a look
//
// A record lies in a segment once, whatever the number of its destinations.
// When all are done with all records of a segment, the segment is deleted; one
// that is held by a few living records is merged: those are copied into a new
// segment. So a destination that is down holds its own records' bytes only.
//
// A payload's file is removed once the acknowledgement of its record's last
// destination is durable, so at most about a second after it; at once when
// the disk is so full that the acknowledgement cannot be written.
//
// Memory holds 40 bytes per record and 5 per destination; meta and payloads
// are read when a record is claimed.
//
// # What can go wrong
//
//   - Power cut or kill -9. Before the fsync: nobody was told the record is
//     safe, the torn tail is cut off at the next start. After it: the record is
//     there. Acknowledgements not yet written (50 ms of them after a kill) or
//     not yet synced (a second of them after a power cut) are lost, so their
//     records are delivered again: a duplicate, never a loss. Burials, retries
//     and drops are on disk before they return.
//   - A damaged record. Every frame has a checksum, and a header that lets the
//     reader find the next one. The damaged stretch is copied to damaged/,
//     counted, logged, and never stops a start. Found at a claim it ends as
//     dead_letter with reason "damaged".
//   - A full disk. Append fails with *spool.FullError; the file is cut back to
//     its last good byte and used again as soon as there is room.
//   - A failed fsync. What the page cache holds of that file is not to be
//     believed any more: the segment is closed at its last synced byte (its
//     index says so, durably) and the batch is written again to a new one. If
//     that fails as well, the appends fail.
//     Acknowledgements that may not have reached the disk are written again,
//     over themselves, and once more at every start.
//   - Any other call that fails. Nothing that was promised is lost, nothing
//     that was refused comes back, and no restart is needed; only where the disk
//     fails several calls in a row may a start find a record whose Append failed.
//   - A lost or wrong index file costs the time to read its segment.
//
// # The ledger
//
// The observer is told of each change, and at any moment, in items,
//
//	recovered + appended + requeued = settled + in the spool
//
// where "in the spool" are records with a destination that is neither done nor
// holds a dead letter. Each rule keeps both sides equal:
//
//	Append                 +appended                      +in
//	last destination done  +settled (worst of all)        −in
//	last pending one dies  +settled (dead_letter)         −in
//	retry of a dead letter
//	  while others pend    nothing                        nothing
//	  after it settled     +requeued                      +in   (and settled again later)
//	drop, evict, dead      nothing: counted at the burial nothing
//	drop or expiry of a pending one: as "destination done"
//	start                  +recovered                     +in   (dead-only records settled before)
//
// A record with several destinations settles once, with the worst outcome per
// item: dead_letter over expired over rate_limited over delivered. What a
// destination that is done made of the items is kept in the acknowledgements,
// so it survives a restart.
package disk
