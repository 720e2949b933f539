// Package ingest is the edge: from an HTTP request to a promise.
//
//	route → authenticate → origin → size → decompress → Protocol.Decode → Stages → Sink.Append → 200
//
// Its promise: a success status is sent only after every accepted item is
// durable; every item that came in is counted with exactly one outcome; bad
// input gets a JSON error with CORS headers and never costs a neighbour.
package ingest
