// Command breakwater is the gateway: one process, one data directory.
//
//	           public listener                                private listener
//	                  │                                              │
//	ingest.Server ────┤ auth → protocol → stages                     console
//	  stages: release filter health vitals sample storm limit scrub   │ /metrics /-/ready /-/reload
//	                  │                                              │
//	             spool/disk ◀── claims ── relay ──▶ relay/sentry ──▶ upstreams
//	                  │                     │
//	                  └───── ledger ────────┘   every item, once, from the door to its end
//
// This package wires the parts in that order and nothing else: what they do is
// in their own packages. It is the only one that ends the process.
package main
