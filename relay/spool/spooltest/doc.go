// Package spooltest is the suite every spool passes: what package spool
// promises, as tests over real bytes, real restarts and real goroutines.
//
//	func TestContract(t *testing.T) {
//		spooltest.Run(t, func(t *testing.T) spooltest.Harness { … })
//	}
//
// A harness may bring hooks that end the engine as a power cut would, and that
// take its storage away; then the suite also proves that nothing promised is
// missing after either, and that nothing refused comes back. Random lives, with
// crashes where the hook is there, check the books after every step.
//
// Ledger, Clock and the record makers are exported for tests of what stands
// around a spool.
package spooltest
