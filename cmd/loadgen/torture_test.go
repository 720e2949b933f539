package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var build struct {
	once sync.Once
	path string
	err  error
}

// binary builds the gateway once for all tests of a run.
func binary(t *testing.T) string {
	t.Helper()
	build.once.Do(func() {
		dir, err := os.MkdirTemp("", "loadgen-test-")
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(dir, "breakwater")
		if out, err := exec.Command("go", "build", "-o", build.path, "../breakwater").CombinedOutput(); err != nil {
			t.Logf("%s", out)
			build.err = err
		}
	})
	if build.err != nil {
		t.Fatalf("building the gateway: %v", build.err)
	}
	return build.path
}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "ref" || os.Args[1] == "sink") { // compare and bench run themselves as the empty handler and as the upstream
		main()
		return
	}
	code := m.Run()
	if build.path != "" {
		_ = os.RemoveAll(filepath.Dir(build.path))
	}
	os.Exit(code)
}

// 25 kills under load, a third of the lives with a dead upstream: nothing that
// was acknowledged is lost, and the ledger closes. `make torture` does a thousand.
func TestKillNine(t *testing.T) {
	c := tortureCmd{Gateway: binary(t), Kills: 25, Conns: 16, Size: "4096", Uptime: 400 * time.Millisecond, Outage: 0.3, JSON: true}
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
}

// The same with payloads in files of their own and a second upstream that
// fails in every way: all arrives at both, every attachment whole.
func TestKillNineWithAttachmentsAndTwoUpstreams(t *testing.T) {
	c := tortureCmd{Gateway: binary(t), Kills: 10, Conns: 16, Size: "4096", Uptime: 400 * time.Millisecond, Outage: 0.3, Attachments: true, Destinations: 2, JSON: true}
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
}

// The same on a disk of 12 MiB, which is full whenever the upstream is down for
// a few lives.
func TestKillNineOnAFullDisk(t *testing.T) {
	for kills := 12; ; kills *= 2 { // a busy machine fills it slowly
		c := tortureCmd{Gateway: binary(t), Kills: kills, Conns: 16, Size: "4096", Uptime: 400 * time.Millisecond, Outage: 0.8, Disk: 12, JSON: true}
		err := c.Run()
		if errors.Is(err, errCannotMount) {
			t.Skipf("only root may mount the small disk that is filled here: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if c.full.Load() > 0 {
			return
		}
		if kills > 100 {
			t.Fatal("the disk was never full: the run proved nothing about that")
		}
	}
}

// The same on a stream of three servers, which are killed as well, one or all.
func TestKillNineOnAStream(t *testing.T) {
	t.Parallel() // most of its time leases run out
	c := tortureCmd{Gateway: binary(t), Kills: 3, Conns: 16, Size: "4096", Uptime: 1500 * time.Millisecond, Outage: 0.3, Engine: "jetstream", NATS: 3, Servers: 0.5, JSON: true}
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
}
