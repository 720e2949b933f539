package main

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

// The demonstration page, built and served by the gateway beside it: buttons
// of several kinds do what their sentences say, under a policy that forbids
// everything else.
func TestDemoPage(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "", "limits: {per_ip: {rate: 100000/s, burst: 1000000}}\nvitals: {settle: 1s, count_bots: true}\n"))
	build := exec.CommandContext(t.Context(), "npx", "vite", "build", "--logLevel", "error", "--outDir", filepath.Join(g.dir, "webdemo", "web", "dist"))
	build.Dir = filepath.Join("..", "..", "webdemo", "web")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the page (is webdemo installed? `make deps` does it): %v\n%s", err, out)
	}
	g.start()
	var out struct {
		Results map[string]struct {
			State string
			Steps []struct{ What, State, Detail string }
		}
		Violations []string
	}
	ids := []string{"handled-error", "render-error", "layout-jump", "user-feedback", "pii", "csp-violation"}
	raw := drive(t, "demo.mjs", append([]string{"http://" + g.private + "/demo/"}, ids...)...)
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	for _, id := range ids {
		if r := out.Results[id]; r.State != "passed" {
			t.Errorf("%s is %q: %+v", id, r.State, r.Steps)
		}
	}
	if len(out.Violations) > 0 {
		t.Errorf("the page breaks its own policy: %q", out.Violations)
	}
	eventually(t, time.Minute, func() error {
		if items := up.Totals().Items; items["event"] < 3 || items["feedback"] != 1 || items["raw_security"]+items["csp"] == 0 {
			return fmt.Errorf("the upstream has %v", items)
		}
		return nil
	})
}
