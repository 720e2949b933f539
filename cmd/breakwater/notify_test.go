package main

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A service manager learns that the gateway is ready when it is, that it reads
// its configuration again, that it lives, and that it ends.
func TestServiceManagerIsTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	var heard []string
	await := func(state string) {
		t.Helper()
		_ = manager.SetReadDeadline(time.Now().Add(time.Minute))
		for buf := make([]byte, 4096); ; {
			n, err := manager.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s, after %v: %v", state, heard, err)
			}
			for line := range strings.SplitSeq(strings.TrimSpace(string(buf[:n])), "\n") {
				heard = append(heard, line)
				if line == state {
					return
				}
			}
		}
	}
	g := newGateway(t, "", "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=600000")
	g.launch()
	await("READY=1")
	if slices.Contains(heard, "WATCHDOG=1") {
		t.Errorf("alive before it was ready: %v", heard)
	}
	await("WATCHDOG=1")
	await("WATCHDOG=1")
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await("RELOADING=1")
	await("READY=1")
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	await("STOPPING=1")
}
