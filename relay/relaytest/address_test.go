//go:build unix

package relaytest_test

import (
	"net"
	"testing"

	"breakwater/relay/relaytest"
)

// An address of a test is nobody's but its own: servers of it come and go, who asks
// for any port or connects from any gets another one, and nobody answers in between.
func TestAddressStaysTheTests(t *testing.T) {
	held := map[string]bool{}
	for range 200 {
		held[relaytest.Address(t)] = true
	}
	if len(held) != 200 {
		t.Fatalf("%d addresses of 200 asked for", len(held))
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for range 200 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := net.Dial("tcp", other.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if held[l.Addr().String()] || held[c.LocalAddr().String()] {
			t.Errorf("%s or %s was handed out again", l.Addr(), c.LocalAddr())
		}
	}
	for addr := range held {
		for range 2 {
			if c, err := net.Dial("tcp", addr); err == nil {
				_ = c.Close()
				t.Fatal("somebody listens where nobody should")
			}
			l, err := net.Listen("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
