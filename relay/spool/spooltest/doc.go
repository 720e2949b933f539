// Package spooltest is the suite every spool passes: what package spool
// promises, as tests over real bytes, real restarts and real goroutines.
//
//	func TestContract(t *testing.T) {
//		spooltest.Run(t, func(t *testing.T) spooltest.Harness { … })
//	}
//
// Ledger, Clock and the record makers are exported for tests of what stands
// around a spool.
package spooltest
