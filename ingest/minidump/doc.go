// Package minidump takes the crash files of native clients: minidumps of
// Breakpad, Crashpad, Electron and Qt, Unreal Engine's crash containers, and
// attachments for an event that was sent before.
//
//	multipart ─▶ each part, as it arrives:
//	             upload_file_minidump ─▶ nested multipart? ─▶ gzip, xz, bzip2, zstd? ─▶ MDMP ─▶ attachment event.minidump
//	             other files          ─▶ attachments
//	             __sentry-event, __sentry-breadcrumb1/2 (MessagePack) ┐
//	             sentry, sentry__1…n, sentry[user][id], …             ├▶ one item event
//	             any other field      ─▶ its extra                    ┘
//	raw body   ─▶ the dump alone
//
// Its promise: a file goes to disk as it arrives and costs the same memory
// whatever its size; what is said about a crash in fields becomes an event that
// is scrubbed, tagged and counted like any other, instead of passing unread
// beside the dump. Whatever of that is broken costs itself only: the dump is
// what matters. What is no minidump gets the answers of Sentry's own servers.
//
// Crash uploaders know no rate limits: they send a refused dump again and
// again. So these endpoints answer success to what a limit refused; the ledger
// counts it as rate_limited.
//
// Decoders with large windows (xz, zstd, bzip2) work from a file beside the
// spool, two at a time, so that neither a slow sender nor a crowd of bombs
// holds windows in memory.
package minidump
