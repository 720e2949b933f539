package relaytest

import (
	"testing"
)

// StartUpstream starts an upstream that ends with the test.
func StartUpstream(t *testing.T, o Options) *Upstream {
	t.Helper()
	up := NewUpstream(o)
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(up.Close)
	return up
}

// StartRsyslog starts a real rsyslog that ends with the test.
func StartRsyslog(t *testing.T) *Rsyslog {
	t.Helper()
	r, err := NewRsyslog(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Kill)
	return r
}
