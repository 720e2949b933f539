package main

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// 25 kills under load, a third of the lives with a dead upstream: nothing that
// was acknowledged is lost, and the ledger closes. `make torture` does a thousand.
func TestKillNine(t *testing.T) {
	dir := t.TempDir()
	gateway := filepath.Join(dir, "breakwater")
	if out, err := exec.Command("go", "build", "-o", gateway, "../breakwater").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	c := tortureCmd{Gateway: gateway, Kills: 25, Conns: 16, Size: "4096", Uptime: 400 * time.Millisecond, Outage: 0.3, JSON: true}
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
}
