//go:build unix

package relay

import (
	"net"
	"syscall"
)

// canPeek says whether quiet works on this system.
const canPeek = true

// quiet tells whether a kept connection is as it was left: still open, and
// without a byte that nobody asked for, which would be taken for the next answer.
func quiet(c net.Conn) bool {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	var b [1]byte
	silent := false
	err = raw.Control(func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
	})
	return err == nil && silent
}
