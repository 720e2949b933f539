package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

// runScript runs a script of webdemo/e2e and returns what it prints.
func runScript(t *testing.T, script string, args ...string) ([]byte, error) {
	t.Helper()
	webdemo := filepath.Join("..", "..", "webdemo")
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatal("node is missing: `make test` installs it")
	}
	if _, err := os.Stat(filepath.Join(webdemo, "node_modules", "playwright-core")); err != nil {
		t.Fatal("webdemo is not installed: `make test` does it")
	}
	cmd := exec.CommandContext(t.Context(), "node", append([]string{script}, args...)...)
	cmd.Dir = filepath.Join(webdemo, "e2e")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = errors.New(err.Error() + "\n" + string(exit.Stderr))
	}
	return out, err
}

// drive is runScript for a script that must not fail.
func drive(t *testing.T, script string, args ...string) []byte {
	t.Helper()
	out, err := runScript(t, script, args...)
	if err != nil {
		t.Fatalf("running %s: %v", script, err)
	}
	return out
}

// The stock browser SDK in a real Chromium obeys the gateway's limits: after
// one error was refused it sends no more of them, and goes on sending
// transactions and sessions. A page of another origin can only know from
// headers that CORS lets it read.
func TestBrowserObeysLimits(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "    limits: {categories: {error: {rate: 1/h, burst: 1}}}\n")).start()
	out := drive(t, "limits.mjs", "http://"+testKey+"@"+g.public+"/1")
	var seen []struct {
		Phase, Limits string
		Types         []string
		Status        int
	}
	if err := json.Unmarshal(out, &seen); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	t.Logf("%s", out)
	statuses := func(phase, typ string) (list []int) {
		for _, r := range seen {
			if r.Phase == phase && slices.Contains(r.Types, typ) {
				list = append(list, r.Status)
			}
		}
		return list
	}
	for _, want := range []struct {
		phase, typ string
		statuses   []int
	}{
		{"load", "session", []int{200}},
		{"within", "event", []int{200}},
		{"refused", "event", []int{429}},
		{"limited", "event", nil}, // the point
	} {
		if got := statuses(want.phase, want.typ); !slices.Equal(got, want.statuses) {
			t.Errorf("%s, %s: answered %v, want %v", want.phase, want.typ, got, want.statuses)
		}
	}
	for _, typ := range []string{"span", "session"} {
		got := statuses("limited", typ)
		if len(got) == 0 || slices.ContainsFunc(got, func(status int) bool { return status != 200 }) {
			t.Errorf("limited, %s: answered %v, want 200s", typ, got)
		}
	}
	for _, r := range seen {
		if r.Status == 429 && !strings.Contains(r.Limits, ":error:") {
			t.Errorf("the page could not read the limit: %q", r.Limits)
		}
	}
	eventually(t, 20*time.Second, g.emptySpool)
	items := up.Totals().Items
	if items["event"] != 1 || items["span"] == 0 || items["session"] < 2 {
		t.Errorf("the upstream has %v", items)
	}
}
