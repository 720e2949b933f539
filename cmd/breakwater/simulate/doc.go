// Package simulate sends believable traffic of stock SDK shapes at a running
// gateway and then holds what it sent against what the gateway counted.
//
//	scenario → visits → requests ──(paced, many connections)──▶ public listener
//	                       │ items by category                        │
//	                       ▼                                          ▼
//	                    tally  ◀──────── compare ────────── /metrics before and after
//
// Its promise: every item of a run is accounted for. An item is in exactly one
// of these: refused before its request was read, refused at the door for a
// reason, delivered, dead, expired, or waiting in the spool. Whatever differs is
// reported, category by category, and Report.Balanced is false.
//
// Payloads have the fields, order and headers that @sentry/react 11,
// @sentry/react-native 8 and web-vitals 6 send (captured in schemas/testdata);
// names, pages and people in them are invented.
package simulate
