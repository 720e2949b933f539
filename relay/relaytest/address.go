//go:build unix

package relaytest

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// Address is HoldAddress for as long as a test lasts.
func Address(t testing.TB) string {
	t.Helper()
	addr, release, err := HoldAddress()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return addr
}

// HoldAddress returns an address of the loopback interface, 127.0.0.1:port, that
// belongs to the caller until it is released: servers may listen there, end and
// listen again, and nobody else is given the port meanwhile. While no server does,
// connections are refused.
//
// A listener that is opened and closed again finds a free port, too, but the next
// outgoing connection of any process may get it. Here a socket stays bound to the port
// and never listens: the kernel hands such a port to nobody who does not name it, and
// lets who names it and sets SO_REUSEADDR, as servers do, listen beside.
func HoldAddress() (addr string, release func(), err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return "", nil, err
	}
	unix.CloseOnExec(fd)
	if addr, err = bindLoopback(fd); err != nil {
		return "", nil, errors.Join(err, unix.Close(fd))
	}
	return addr, func() { _ = unix.Close(fd) }, nil
}

func bindLoopback(fd int) (string, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return "", err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", err
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return "", err
	}
	bound, ok := sa.(*unix.SockaddrInet4)
	if !ok {
		return "", fmt.Errorf("bound to %v", sa)
	}
	return netip.AddrPortFrom(netip.AddrFrom4(bound.Addr), uint16(bound.Port)).String(), nil
}
