// Package file delivers the error stream to a file: one document as JSON on
// one line.
//
//	record ──Documents──▶ path     written together with those that wait, one fsync
//	                      path.1   the file before, path.2 the one before that, …
//
// A line is a relay.Document; with full_event the payload is in it as one text
// (`jq '.event | fromjson'`).
//
// # What is promised
//
// A record counts as delivered after its lines are written and fsynced, the
// directory too when the file is new. A write that fails half-way (a full
// disk) is cut off again, and the record is tried again; after a kill in the
// middle of a write the half line is ended, so that the next one begins on its
// own: at most one line is not JSON, and its record is written again, whole. So
// after a kill or a power cut nothing is missing, and what was written but not
// yet known to be is there twice, with the same event_id.
//
// # Rotation
//
// A file that would grow beyond max_size is renamed to path.1, path.1 to
// path.2 and so on, and what is beyond keep is removed; nothing is ever cut
// from a file. 0 for max_size leaves rotation to others: a file that was moved
// or removed by somebody else is noticed at the next write, and a new one
// begun, without a signal.
//
// A path that cannot be written (permissions, no such folder, a full disk)
// counts as an upstream that is away: records wait in the spool.
//
// Items that make no document (sessions, replays, transactions, profiles,
// attachments, client reports, …) end as filtered with the reason no_document,
// unless another destination of the project delivers them.
package file
