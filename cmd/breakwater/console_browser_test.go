package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

const consoleToken = "a-token-for-the-console-1"

// consoleGateway is a gateway with some of everything to look at: a
// destination that delivers and refuses some for good, one that is down, one
// without a DSN; storms, releases, vitals, limits; and a hostile message.
func consoleGateway(t *testing.T) *gateway {
	t.Helper()
	up := startUpstream(t, relaytest.Options{Decide: func(r *relaytest.Request) relaytest.Step {
		for _, it := range r.Items {
			if bytes.Contains(it.Payload, []byte("RefusedError")) {
				return relaytest.Status(http.StatusBadRequest)
			}
		}
		return relaytest.Step{}
	}})
	lost := "http://" + relaytest.TestKey + "@" + freeAddr(t) + "/9" // nobody is there
	g := newGateway(t, `server: {listen: "LISTEN", admin_listen: "ADMIN", admin_token: `+consoleToken+`}
spool: {dir: "DATA/spool", min_free: 0B, max_size: 100MiB}
limits: {per_ip: {rate: 100000/s, burst: 1000000}}
vitals: {settle: 1s}
projects:
  - id: 1
    name: shop
    keys: [{public: `+testKey+`, name: web}]
    upstreams: [{name: sentry, dsn: "`+up.DSN("7")+`"}, {name: backup, dsn: "`+lost+`"}]
    filters: {localhost: true}
    limits: {per_key: {rate: 100000/s, burst: 1000000}, categories: {transaction: {rate: 1/h, burst: 1}}, quota: {error: 2000/month}}
  - id: 2
    name: app
    keys: [{public: `+strings.Repeat("ab", 16)+`}]
`).start()
	send := func(path, body string, statuses ...int) {
		t.Helper()
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		key := testKey
		if strings.HasPrefix(path, "/api/2/") {
			key = strings.Repeat("ab", 16)
		}
		param := "sentry_key"
		if strings.Contains(path, "vitals") {
			param = "key"
		}
		if status, answer := post(t, "http://"+g.public+path+sep+param+"="+key, body); !slices.Contains(append(statuses, 200, 204), status) {
			t.Fatalf("%s was answered %d %s", path, status, answer)
		}
	}
	n := 0
	for kind, times := range map[string]int{"TypeError": 8, "RangeError": 3, "ChunkLoadError": 180} {
		for range times {
			n++
			send("/api/1/envelope/", errorEnvelope(t, n, kind, "shop@1.4.2"))
		}
	}
	for range 6 {
		n++
		send("/api/1/envelope/", errorEnvelope(t, n, "RefusedError", "shop@1.4.3"))
	}
	send("/api/1/envelope/", hostileEnvelope(t))
	send("/api/2/envelope/", errorEnvelope(t, 9000, "AppHang", "app@7.0.0"))
	for range 3 {
		n++
		send("/api/1/envelope/", fmt.Sprintf("{}\n{\"type\":\"transaction\"}\n{\"type\":\"transaction\",\"event_id\":\"%032x\",\"transaction\":\"/pay\",\"start_timestamp\":1,\"timestamp\":2,\"contexts\":{\"trace\":{\"trace_id\":\"%032x\",\"span_id\":\"00f067aa0ba902b7\"}}}", n, n), 429)
	}
	started := time.Now().UTC().Format(time.RFC3339)
	for release, bad := range map[string]int{"shop@1.4.2": 2, "shop@1.4.3": 30} {
		send("/api/1/envelope/", fmt.Sprintf("{}\n{\"type\":\"sessions\"}\n{\"aggregates\":[{\"started\":%q,\"exited\":300,\"crashed\":%d}],\"attrs\":{\"release\":%q,\"environment\":\"production\"}}", started, bad, release))
	}
	for i := range 120 {
		send("/api/1/vitals/", fmt.Sprintf(`{"route":"/product/:id","device":"mobile","vitals":[{"name":"LCP","value":%d,"id":"l%d","navigationType":"navigate"},{"name":"INP","value":%d,"id":"i%d","navigationType":"navigate"},{"name":"CLS","value":0.0%d,"id":"c%d","navigationType":"navigate"}]}`,
			1500+i*20, i, 80+i*2, i, i%9, i))
	}
	return g
}

// hostileText is what a stranger may put into a message: markup that runs,
// characters that turn the direction, and a megabyte of it.
const hostileText = "<script>window.pwned=1</script><img src=x onerror=\"window.pwned=1\">\u202etxt.exe\u2066 {{.Token}} javascript:alert(1)"

func hostileEnvelope(t *testing.T) string {
	t.Helper()
	value := hostileText + strings.Repeat("A", 1_000_000)
	payload, err := json.Marshal(map[string]any{
		"event_id": strings.Repeat("f", 32), "platform": "javascript", "level": "error", "release": "<b>release</b>", "environment": "production",
		"exception": map[string]any{"values": []any{map[string]any{"type": "RefusedError", "value": value}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return "{\"event_id\":\"" + strings.Repeat("f", 32) + "\"}\n{\"type\":\"event\"}\n" + string(payload)
}

// Every page of the console, wide and light, on a phone and dark (with
// BREAKWATER_LONG=1 the other two ways, too), has no serious fault of
// accessibility, nothing that the policy refuses and nothing that runs; each
// action works by clicking, one by the keyboard alone; all can be read without
// JavaScript; live pages move. CONSOLE_PICTURES names a folder that keeps the
// pictures, all of them.
func TestConsoleInBrowser(t *testing.T) {
	webdemo := filepath.Join("..", "..", "webdemo")
	for _, need := range []string{"playwright-core", "axe-core"} {
		if _, err := os.Stat(filepath.Join(webdemo, "node_modules", need)); err != nil {
			t.Fatal("webdemo is not installed: `make test` does it")
		}
	}
	g := consoleGateway(t)
	eventually(t, 30*time.Second, func() error {
		if n := sumSeries(g.scrape(), "breakwater_relay_dead_letters{"); n != 7 {
			return fmt.Errorf("%v dead letters, want 7", n)
		}
		return nil
	})
	pictures, looks := os.Getenv("CONSOLE_PICTURES"), 4
	args := []string{"console.mjs", "http://" + g.private, consoleToken, pictures, "all"}
	if pictures == "" {
		args[3] = t.TempDir()
		if os.Getenv("BREAKWATER_LONG") == "" {
			args, looks = args[:4], 2
		}
	}
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Dir = filepath.Join(webdemo, "e2e")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = errors.New(err.Error() + "\n" + string(exit.Stderr))
		}
		t.Fatalf("driving the browser: %v\n%s", err, out)
	}
	var r struct {
		Pages []string
		Axe   []struct {
			Page, View, Scheme, ID, Impact string
			Nodes                          []string
		}
		Actions struct {
			Pause, Resume                   []string
			Before, After, SignedOut        int
			RetryOne, DropSelected, DropAll string
			Audit                           []string
		}
		Keyboard struct {
			First, Skipped, Done string
			Found                bool
		}
		Plain [][]any
		Live  struct {
			FocusKept  bool
			AfterPause int
			Words      string
		}
		Faults []string
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if want := looks * 18; len(r.Pages) < want {
		t.Errorf("%d pictures, want %d at least: %v", len(r.Pages), want, r.Pages)
	}
	for _, v := range r.Axe {
		if v.Impact == "serious" || v.Impact == "critical" {
			t.Errorf("axe: %s %s %s: %s (%s) %q", v.Page, v.View, v.Scheme, v.ID, v.Impact, v.Nodes)
		} else {
			t.Logf("axe, not serious: %s %s %s: %s (%s) %q", v.Page, v.View, v.Scheme, v.ID, v.Impact, v.Nodes)
		}
	}
	for _, f := range r.Faults {
		t.Errorf("the browser complains: %s", f)
	}
	a := r.Actions
	if len(a.Pause) != 2 || !strings.Contains(a.Pause[0], "Paused shop/sentry") || a.Pause[1] != "paused" {
		t.Errorf("pause: %q", a.Pause)
	}
	if len(a.Resume) != 2 || !strings.Contains(a.Resume[0], "Resumed shop/sentry") || a.Resume[1] != "delivering" {
		t.Errorf("resume: %q", a.Resume)
	}
	if a.Before != 7 || !strings.Contains(a.RetryOne, "Put back 1") || !strings.Contains(a.DropSelected, "Dropped 2") || !strings.Contains(a.DropAll, "Dropped ") || a.After != 0 {
		t.Errorf("retry and drop: %+v", a)
	}
	if want := []string{"drop", "drop", "retry", "resume", "pause"}; len(a.Audit) < 5 || !slices.Equal(a.Audit[:5], want) {
		t.Errorf("the audit history has %q, want %q at its head", a.Audit, want)
	}
	if a.SignedOut != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", a.SignedOut)
	}
	if k := r.Keyboard; k.First != "Skip to the content" || !k.Found || !strings.Contains(k.Done, "Paused shop/sentry") || k.Skipped == "Overview" {
		t.Errorf("keyboard: %+v", k)
	}
	if len(r.Plain) != 12 {
		t.Errorf("without JavaScript: %v", r.Plain)
	}
	for _, p := range r.Plain {
		if n, _ := p[1].(float64); n < 60 {
			t.Errorf("without JavaScript %v has only %v characters", p[0], p[1])
		}
	}
	if !r.Live.FocusKept || r.Live.AfterPause != 0 || r.Live.Words != "Updates are paused" {
		t.Errorf("live: %+v", r.Live)
	}
}
