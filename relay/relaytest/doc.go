// Package relaytest is what tests of the delivery side share:
//
//	Upstream  a recording server with scripted faults   (also for load tools)
//	Source    a spool in memory that remembers how each record ended
//	Contract  the suite every destination passes
//
// Its promise: the fakes are strict. The upstream refuses what Sentry would
// refuse and writes down what no gateway should send; the source notices a
// record that ended twice or not at all. Apart from Contract, Address and what
// begins with Start nothing here needs a *testing.T.
package relaytest
