package main

import (
	"crypto/sha256"
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
	eventually(t, 2*time.Minute, func() error {
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
		// A paused destination is probed once a minute at least.
		eventually(t, 3*time.Minute, func() error {
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
