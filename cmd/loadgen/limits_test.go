package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

// An upstream that limits errors: the door says so at once, for errors only,
// until the limit ends; what was accepted before waits and arrives.
func TestUpstreamLimitReachesTheDoor(t *testing.T) {
	gw, err := newGateway(binary(t), t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer gw.cleanup()
	up := relaytest.NewUpstream(relaytest.Options{})
	if err := up.Listen(gw.upstreams[0]); err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	const limited = 10 * time.Second
	up.Script(relaytest.Status(429, "X-Sentry-Rate-Limits", fmt.Sprintf("%d:error:key", limited/time.Second), "Retry-After", fmt.Sprint(int(limited/time.Second))))
	if err := gw.start(); err != nil {
		t.Fatal(err)
	}
	defer gw.proc.kill()

	ids := map[string]relaytest.ID{}
	post := func(name, text string) (int, http.Header) {
		t.Helper()
		id := newID()
		ids[name] = id
		resp, err := http.Post("http://"+gw.public+gw.envelopePath(), "text/plain;charset=UTF-8", strings.NewReader(strings.ReplaceAll(text, hole, id.String())))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode, resp.Header
	}
	event, err := envelope(gw.key, "1000")
	if err != nil {
		t.Fatal(err)
	}
	session := `{"event_id":"` + hole + "\"}\n{\"type\":\"session\"}\n" + `{"sid":"` + hole + `","init":true,"started":"` +
		time.Now().UTC().Format(time.RFC3339) + `","status":"ok","attrs":{"release":"shop@1.4.2"}}`

	began := time.Now()
	if status, _ := post("first", event); status != 200 {
		t.Fatalf("an error before the limit is known was answered %d", status)
	}
	if err := until(time.Minute, "the first error's refusal upstream", func() bool { return len(up.Requests()) > 0 }); err != nil {
		t.Fatal(err) // only then: an error sent meanwhile could be refused in its place
	}
	var h http.Header // of the refusal
	if err := until(limited-time.Second, "the door learning of the limit", func() bool {
		var status int
		status, h = post("refused", event)
		return status == http.StatusTooManyRequests
	}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(h.Get("X-Sentry-Rate-Limits"), ":error:") || h.Get("Retry-After") == "" || h.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("the refusal's headers are %v", h)
	}
	if status, _ := post("session", session); status != 200 {
		t.Errorf("a session under a limit of errors was answered %d", status)
	}
	arrived := func(name string) bool { return up.IDs().Count(ids[name]) > 0 }
	if err := until(time.Minute, "the session's delivery", func() bool { return arrived("session") }); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); arrived("first") && took < limited-time.Second {
		t.Errorf("the first error arrived after %v, into the limit", took)
	}
	if err := until(limited+time.Minute, "errors being taken again", func() bool { status, _ := post("later", event); return status == 200 }); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < limited-time.Second {
		t.Errorf("errors were taken again after %v, the limit was %v", took, limited)
	}
	if err := gw.drain(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "session", "later"} {
		if n := up.IDs().Count(ids[name]); n != 1 {
			t.Errorf("%s arrived %d times", name, n)
		}
	}
	if n := up.IDs().Count(ids["refused"]); n != 0 {
		t.Errorf("the refused event arrived")
	}
	if off, err := gw.balance(); off != 0 || err != nil {
		t.Errorf("the ledger is off by %v, %v", off, err)
	}
	for _, p := range up.Problems() {
		t.Error(p)
	}
	if err := gw.proc.stop(); err != nil {
		t.Error(err)
	}
}
