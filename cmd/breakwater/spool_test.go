package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

// command runs the binary and returns what it printed, and how it ended.
func command(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.Command(binary(t), args...)
	cmd.Dir = t.TempDir()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// good runs the binary, which must end well, and reads its JSON.
func good(t *testing.T, into any, args ...string) {
	t.Helper()
	out, errs, err := command(t, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
	}
	if into != nil {
		if err := json.Unmarshal([]byte(out), into); err != nil {
			t.Fatalf("%s printed %s: %v", strings.Join(args, " "), out, err)
		}
	}
}

var listening = startUpstream

func gatewayTo(t *testing.T, up *relaytest.Upstream) *gateway {
	return newGateway(t, strings.Replace(oneProject, "    vitals:", "    upstreams: [{dsn: \""+up.DSN("7")+"\"}]\n    limits: {per_key: {rate: 100000/s, burst: 100000}}\n    storm: {then_one_in: 1}\n    vitals:", 1)+"limits: {per_ip: {rate: 100000/s, burst: 100000}}\n")
}

// The commands on a running gateway and on the same spool at rest say and do
// the same; a directory that a gateway holds is not touched.
func TestSpoolCommands(t *testing.T) {
	up := listening(t, relaytest.Options{})
	up.Always(relaytest.Status(400))
	g := gatewayTo(t, up).start()
	envelope := strings.Replace(anEnvelope, `"message":"hello"`, `"message":"hello","extra":{"password":"canary"}`, 1) + "\n{\"type\":\"attachment\",\"length\":6}\nopaque\n"
	if status, body := post(t, "http://"+g.public+"/api/1/envelope/?sentry_key="+testKey, envelope); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	type listing struct{ Records []storedRecord }
	running, rest := "--url=http://"+g.private, "--dir="+filepath.Join(g.dir, "spool")
	var l listing
	eventually(t, time.Minute, func() error {
		good(t, &l, "spool", running, "ls", "--dead")
		if len(l.Records) != 1 {
			return fmt.Errorf("%d dead letters", len(l.Records))
		}
		return nil
	})
	id := l.Records[0].ID
	if r := l.Records[0]; r.State != "dead" || r.Reason != "http_400" || r.Title != "hello" || r.Project != "shop" {
		t.Errorf("%+v", r)
	}
	if _, errs, err := command(t, "spool", rest, "ls"); err == nil || !strings.Contains(errs, "a gateway is running on it") {
		t.Errorf("the directory of a running gateway: %v %s", err, errs)
	}
	check := func(where string) {
		t.Helper()
		var again listing
		good(t, &again, "spool", where, "ls", "--dead", "--project", "shop")
		if len(again.Records) != 1 || again.Records[0].ID != id {
			t.Errorf("%s: %+v", where, again)
		}
		good(t, &again, "spool", where, "ls", "--project", "other")
		if len(again.Records) != 0 {
			t.Errorf("%s: %+v", where, again)
		}
		for _, args := range [][]string{{"show", id}, {"show", id, "--hex"}, {"show", id, "--raw"}} {
			out, errs, err := command(t, append([]string{"spool", where}, args...)...)
			if err != nil || !strings.Contains(out, "hello") && !strings.Contains(out, "68 65 6c 6c") {
				t.Errorf("%v: %v %s%s", args, err, out, errs)
			}
			if strings.Contains(out, "canary") || len(args) == 2 && strings.Contains(out, "opaque\n") {
				t.Errorf("%v shows what was scrubbed, or cannot be: %s", args, out)
			}
		}
		if out, _, _ := command(t, "spool", where, "show", id, "--hex"); !strings.Contains(out, "6 bytes, left out") || strings.Contains(out, "6f 70 61 71") {
			t.Errorf("hex: %s", out)
		}
		var v verified
		good(t, &v, "spool", where, "verify")
		if v.Records != 1 || v.Damaged != 0 {
			t.Errorf("%+v", v)
		}
		if _, errs, err := command(t, "spool", where, "show", "01JGZZZZZZZZZZZZZZZZZZZZZZ"); err == nil || !strings.Contains(errs, "no such record") {
			t.Errorf("%v %s", err, errs)
		}
		if _, errs, err := command(t, "spool", where, "drop"); err == nil || !strings.Contains(errs, "name records") {
			t.Errorf("%v %s", err, errs)
		}
		if _, errs, err := command(t, "spool", where, "drop", id); err == nil || !strings.Contains(errs, "--yes") {
			t.Errorf("%v %s", err, errs)
		}
	}
	check(running)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	check(rest)
	var done struct{ Affected int }
	good(t, &done, "spool", rest, "retry", id)
	good(t, &l, "spool", rest, "ls")
	if done.Affected != 1 || len(l.Records) != 1 || l.Records[0].State != "waiting" {
		t.Errorf("%+v %+v", done, l)
	}
	up.Relent()
	g.start()
	drained(t, g)
	if n := up.Totals().Taken; n != 1 {
		t.Errorf("%d arrived after the retry", n)
	}
}

// A flipped byte in the spool is found, and where.
func TestVerifyFindsDamage(t *testing.T) {
	g := newGateway(t, oneProject).start() // no upstream: held
	for range 3 {
		if status, _ := post(t, "http://"+g.public+"/api/1/envelope/?sentry_key="+testKey, anEnvelope); status != 200 {
			t.Fatal(status)
		}
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(g.dir, "spool")
	segments, err := filepath.Glob(filepath.Join(dir, "*.sealed"))
	if err != nil || len(segments) != 1 {
		t.Fatal(segments, err)
	}
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("hello"))] = 'j'
	if err := os.WriteFile(segments[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, err := command(t, "spool", "--dir="+dir, "verify", "--json")
	var v verified
	if jerr := json.Unmarshal([]byte(out), &v); err == nil || jerr != nil || v.Damaged != 1 || v.Records != 2 || len(v.Problems) != 1 {
		t.Errorf("%v %v %s", err, jerr, out)
	}
}

// tail shows what becomes of items as it happens, and filters.
func TestTail(t *testing.T) {
	// It may begin to listen late: no limit and no storm ends what is sent until then.
	g := gatewayTo(t, listening(t, relaytest.Options{})).start()
	cmd := exec.Command(binary(t), "tail", "--url=http://"+g.private, "--json", "--match", "hello|^$", "-n", "2")
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	n := 0
	eventually(t, time.Minute, func() error { // until it listens, nobody is told
		post(t, "http://"+g.public+"/api/1/envelope/?sentry_key="+testKey, strings.Replace(anEnvelope, "hello", "other", 1))
		n++
		post(t, "http://"+g.public+"/api/1/envelope/?sentry_key="+testKey, anEnvelope)
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("%v: %s", err, out.String())
			}
			return nil
		default:
			return fmt.Errorf("no end after %d: %s", n, out.String())
		}
	})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	for _, line := range lines {
		var l tailLine
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Outcome != "accepted" || l.Category != "error" || l.Summary != "hello" || l.Project != "shop" {
			t.Errorf("%s: %v", line, err)
		}
	}
	if _, errs, err := command(t, "tail", "--url=http://"+g.private, "--outcome", "nonsense"); err == nil || !strings.Contains(errs, "outcome") {
		t.Errorf("%v %s", err, errs)
	}
	if _, errs, err := command(t, "tail", "--url=http://127.0.0.1:1"); err == nil || !strings.Contains(errs, "no gateway answers") {
		t.Errorf("%v %s", err, errs)
	}
}
