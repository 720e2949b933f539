// Package ingest is the edge: from an HTTP request to a promise.
//
//	middleware.go   observe → rescue → cors → deadline → forget → slashes → router
//	                                                                          │ endpoint.go: one row per route
//	handle.go       authenticate → origin → rates ─────────┐                  ▼
//	                   (Authenticator)  (Gatekeeper)       ▼
//	body.go                              size → decompress → size, ratio
//	                                                       ▼
//	a Protocol                                          decode   → Batch of Items
//	the Stages                                          decide   → drop, edit
//	a Recorder, the Sink                                record, append (durable)
//	account.go      every item: received once, one outcome
//	respond.go      200 {"id"} | {"detail", "causes"}
//
// Its promise: a success status is sent only after every accepted item is
// durable; every item that came in is counted with exactly one outcome; bad
// input gets a JSON error with CORS headers and never costs a neighbour.
//
// What bounds a stranger: the header's size and the time header and body may
// take together (server.go); bytes on the wire, bytes and ratio after
// decompression (body.go); what all bodies together hold in memory
// (Request.Reserve), and what is made of them, where a few kilobytes become
// megabytes (Request.Make); for how many processors there is long work at a time
// (Request.Work); connections, of all (Config.MaxConnections) and of one address
// in the middle of a request (Config.SendingPerIP). Only two answers are
// not ours and carry no CORS headers: net/http's 431 for an oversized header
// and its 400 for what is no HTTP.
package ingest
