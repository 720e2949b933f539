// Package schemas is the shared language of the gateway: the wire types that
// arrive, rest in the spool and leave again, with the words that name what
// happens to them.
//
//	bytes ──Reader──▶ Envelope{Header, Items} ──▶ Record ──Writer──▶ bytes
//
// Its promise: what the gateway does not have to change, it does not change.
// An envelope that is read and written again carries every unknown header,
// every unknown item and every payload byte it came with; edits are splices
// into the original bytes (see Object), never a decode and re-encode.
//
// The package is a leaf: it imports nothing of ours, so that the edge
// (ingest) and the delivery side (relay) can share it without sharing more.
package schemas
