package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
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

func listening(t *testing.T, o relaytest.Options) *relaytest.Upstream {
	t.Helper()
	up := relaytest.NewUpstream(o)
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(up.Close)
	return up
}

func gatewayTo(t *testing.T, up *relaytest.Upstream) *gateway {
	return newGateway(t, strings.Replace(oneProject, "    vitals:", "    upstreams: [{dsn: \""+up.DSN("7")+"\"}]\n    limits: {per_key: {rate: 100000/s, burst: 100000}}\n    storm: {then_one_in: 1}\n    vitals:", 1)+"limits: {per_ip: {rate: 100000/s, burst: 100000}}\n")
}

// reportStream posts errors to a gateway until it is stopped; some have a large
// attachment. It keeps what was acknowledged.
type reportStream struct {
	mu    sync.Mutex
	acked map[string][32]byte // event id → checksum of the attachment, zero without one
	n     atomic.Int64
	stop  chan struct{}
	done  sync.WaitGroup
}

func load(t *testing.T, g *gateway) *reportStream {
	s := &reportStream{acked: map[string][32]byte{}, stop: make(chan struct{})}
	for w := range 3 {
		s.done.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-s.stop:
					return
				case <-time.After(2 * time.Millisecond):
				}
				id := fmt.Sprintf("%08x%08x%016x", w+1, i, time.Now().UnixNano())
				body := fmt.Sprintf("{\"event_id\":%q}\n{\"type\":\"event\"}\n{\"message\":\"number %d\"}\n", id, i)
				var sum [32]byte
				if i%25 == 0 {
					b := make([]byte, 150<<10)
					for j := range b {
						b[j] = byte(rand.Uint32())
					}
					sum = sha256.Sum256(b)
					body += fmt.Sprintf("{\"type\":\"attachment\",\"filename\":\"a.bin\",\"length\":%d}\n%s\n", len(b), b)
				}
				resp, err := http.Post("http://"+g.public+"/api/1/envelope/?sentry_key="+testKey, "application/x-sentry-envelope", strings.NewReader(body))
				if err != nil {
					continue // not acknowledged
				}
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					continue
				}
				s.mu.Lock()
				s.acked[id] = sum
				s.mu.Unlock()
				s.n.Add(1)
			}
		})
	}
	t.Cleanup(s.end)
	return s
}

func (s *reportStream) end() {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.done.Wait()
}

func (s *reportStream) reaches(t *testing.T, n int64) {
	t.Helper()
	eventually(t, time.Minute, func() error {
		if got := s.n.Load(); got < n {
			return fmt.Errorf("%d acknowledged, want %d", got, n)
		}
		return nil
	})
}

// arrivals are how often each event came, and the attachments' checksums.
func arrivals(ups ...*relaytest.Upstream) (times map[string]int, sums map[string][32]byte) {
	times, sums = map[string]int{}, map[string][32]byte{}
	for _, up := range ups {
		for _, r := range up.Taken() {
			for _, it := range r.Items {
				switch it.Header.Type {
				case "event":
					times[r.EventID]++
				case "attachment":
					sums[r.EventID] = sha256.Sum256(it.Payload)
				}
			}
		}
	}
	return times, sums
}

func drained(t *testing.T, gs ...*gateway) {
	t.Helper()
	for _, g := range gs {
		eventually(t, time.Minute, func() error {
			if text := g.scrape(); !strings.Contains(text, "breakwater_spool_items{destination=\"sentry\",project=\"shop\"} 0\n") {
				return errors.New("there are records left in a spool")
			}
			return nil
		})
	}
}

// A backlog moves from a gateway under load, whose upstream is down, to
// another one: what both upstreams receive together is all that was
// acknowledged, each report once, attachments byte for byte. The export breaks
// off on the way and goes on; the import runs twice.
func TestBacklogMovesUnderLoad(t *testing.T) {
	upA, upB := listening(t, relaytest.Options{MaxRequests: 1 << 20}), listening(t, relaytest.Options{MaxRequests: 1 << 20})
	upA.Always(relaytest.Status(503))
	a, b := gatewayTo(t, upA).start(), gatewayTo(t, upB).start()
	urlA, urlB := "--url=http://"+a.private, "--url=http://"+b.private
	file := filepath.Join(t.TempDir(), "backlog.bwx")
	s := load(t, a)
	s.reaches(t, 300)

	var exp struct {
		Records, Ended, Gone int
		Paused, Resumed      []string
	}
	good(t, &exp, "spool", urlA, "export", file)
	if exp.Records < 300 || len(exp.Paused) != 1 {
		t.Fatalf("%+v", exp)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, int64(len(whole)*2/3)); err != nil { // as if it had been killed there
		t.Fatal(err)
	}
	if _, errs, err := command(t, "spool", urlB, "import", file); err == nil || !strings.Contains(errs, "not whole") {
		t.Fatalf("half an archive was taken: %v %s", err, errs)
	}
	before := exp.Records
	good(t, &exp, "spool", urlA, "export", file)
	if exp.Records < before {
		t.Fatalf("%d records after going on, %d before", exp.Records, before)
	}
	if _, errs, err := command(t, "spool", urlA, "export", "--finish", file); err == nil || !strings.Contains(errs, "receipt") {
		t.Fatalf("ended without a receipt: %v %s", err, errs)
	}
	var imp struct{ Imported, Repeated int }
	good(t, &imp, "spool", urlB, "import", file)
	if imp.Imported != exp.Records || imp.Repeated != 0 {
		t.Fatalf("%+v of %d", imp, exp.Records)
	}
	good(t, &imp, "spool", urlB, "import", file)
	if imp.Imported != 0 || imp.Repeated != exp.Records {
		t.Fatalf("the second time %+v", imp)
	}
	moved := exp.Records
	good(t, &exp, "spool", urlA, "export", "--finish", file)
	if exp.Ended != moved || exp.Gone != 0 || len(exp.Resumed) != 1 {
		t.Fatalf("%+v of %d", exp, moved)
	}
	s.reaches(t, s.n.Load()+100)
	upA.Relent()
	s.end()
	drained(t, a, b)

	times, sums := arrivals(upA, upB)
	twice := 0
	for id, sum := range s.acked {
		switch n := times[id]; {
		case n == 0:
			t.Errorf("event %s is nowhere", id)
		case n > 1:
			twice++
		}
		if sum != ([32]byte{}) && sums[id] != sum {
			t.Errorf("the attachment of event %s arrived changed", id)
		}
	}
	if twice > 0 {
		t.Errorf("%d events arrived more than once", twice)
	}
	atB, _ := arrivals(upB)
	if len(atB) != moved {
		t.Errorf("%d events arrived at the second upstream, %d were moved", len(atB), moved)
	}
	for g, want := range map[*gateway]string{
		a: fmt.Sprintf(`breakwater_items_outcome_total{category="error",outcome="delivered",project="shop",reason="exported"} %d`, moved),
		b: fmt.Sprintf(`breakwater_items_received_total{category="error",project="shop"} %d`, moved),
	} {
		if !strings.Contains(g.scrape(), want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	t.Logf("%d acknowledged, %d moved", len(s.acked), moved)
}

// The same with the importing gateway killed in the middle, and the archive
// taken on after its restart: nothing is lost.
func TestImportSurvivesAKill(t *testing.T) {
	upA, upB := listening(t, relaytest.Options{}), listening(t, relaytest.Options{MaxRequests: 1 << 20})
	upA.Always(relaytest.Status(503))
	a, b := gatewayTo(t, upA).start(), gatewayTo(t, upB).start()
	file := filepath.Join(t.TempDir(), "backlog.bwx")
	s := load(t, a)
	s.reaches(t, 600)
	s.end()
	var exp struct{ Records int }
	good(t, &exp, "spool", "--url=http://"+a.private, "export", file)
	cmd := exec.Command(binary(t), "spool", "--url=http://"+b.private, "import", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		if n, _ := upB.IDs().Len(); n < 50 {
			return fmt.Errorf("%d events arrived", n)
		}
		return nil
	})
	b.kill()
	cut := cmd.Wait()
	b.start()
	var imp struct{ Imported, Repeated int }
	good(t, &imp, "spool", "--url=http://"+b.private, "import", file)
	if imp.Imported+imp.Repeated != exp.Records {
		t.Errorf("%+v of %d", imp, exp.Records)
	}
	drained(t, b)
	times, _ := arrivals(upB)
	for id := range s.acked {
		if times[id] == 0 {
			t.Errorf("event %s is lost", id)
		}
	}
	twice := 0
	for _, n := range times {
		if n > 1 {
			twice++
		}
	}
	t.Logf("the first import ended with %v; then %d records were taken, %d were there; %d events arrived more than once", cut, imp.Imported, imp.Repeated, twice)
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
	eventually(t, 30*time.Second, func() error {
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
	g := newGateway(t, oneProject).start()
	cmd := exec.Command(binary(t), "tail", "--url=http://"+g.private, "--json", "--match", "hello|^$", "-n", "2")
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	n := 0
	eventually(t, 30*time.Second, func() error { // until it listens, nobody is told
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
