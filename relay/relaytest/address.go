//go:build unix

package relaytest

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// Address is an address of the loopback interface, 127.0.0.1:port, that belongs to
// the test until it ends: a server of the test may listen there, end and listen
// again, and nobody else is given the port meanwhile. While no server does,
// connections are refused.
//
// A listener that is opened and closed again finds a free port, too, but the next
// outgoing connection of any process may get it. Here a socket stays bound to the port
// and never listens: the kernel hands such a port to nobody who does not name it, and
// lets who names it and sets SO_REUSEADDR, as servers do, listen beside.
func Address(t testing.TB) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.CloseOnExec(fd)
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	bound, ok := sa.(*unix.SockaddrInet4)
	if !ok {
		t.Fatalf("bound to %v", sa)
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(bound.Addr), uint16(bound.Port))).String()
}
