package fleet

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/redistest"
	"breakwater/ingest"
)

func zNow(member string) redis.Z {
	return redis.Z{Score: float64(time.Now().UnixMilli() - 1), Member: member}
}

// Redis killed and started again: alone in between, at once, without an error;
// shared again afterwards, scripts loaded anew, quotas gone on.
func TestRedisKilled(t *testing.T) {
	s := redistest.Start(t)
	var log safeBuffer
	stricter := func(o *Options) { o.Stricter, o.Gateways, o.Log = true, 3, zerolog.New(&log) }
	a, b := join(t, s, stricter), join(t, s)
	ask(t, a, quota(10, 0, 0))
	s.Kill()
	until(t, "it is noticed", func() bool { _, ok := a.Ask([]ingest.Step{quota(10, 0, 0)}); return !ok })
	if a.Up() || a.Share() != 3 || b.Share() != 1 {
		t.Errorf("up %v, shares %d and %d", a.Up(), a.Share(), b.Share())
	}
	before := testutil.ToFloat64(a.metrics.alone)
	for range 1000 {
		if _, ok := a.Ask([]ingest.Step{quota(10, 0, 0)}); ok {
			t.Fatal("answered by nobody")
		}
	}
	if _, ok := a.Ask(nil); ok { // a request that need not be planned is counted as well
		t.Fatal("answered by nobody")
	}
	if n := testutil.ToFloat64(a.metrics.alone) - before; n != 1001 {
		t.Errorf("%v decisions were counted", n)
	}
	s.Start()
	until(t, "it is found again", a.Up)
	if got := ask(t, a, quota(10, 1, 3))[0]; got.Used != 5 {
		t.Errorf("%+v, want 1 known, 3 counted alone and this one", got)
	}
	if a.Share() != 1 {
		t.Error("still only its share")
	}
	until(t, "the other one finds it again, too", b.Up)
	if got := ask(t, b, quota(10, 1, 0))[0]; got.Used != 6 {
		t.Errorf("%+v", got)
	}
	text := log.String()
	if strings.Count(text, "Redis is away") != 1 || strings.Count(text, "Redis answers") != 2 || !strings.Contains(text, "stricter") {
		t.Errorf("logged:\n%s", text)
	}
}

// A Redis that stands still costs those who ask at the time their deadline, and
// nothing once that is noticed.
func TestRedisStandsStill(t *testing.T) {
	s := redistest.Start(t)
	f := join(t, s, func(o *Options) { o.Timeout = 300 * time.Millisecond })
	answers(t, f)
	s.Freeze()
	defer s.Thaw()
	began := time.Now()
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			if _, ok := f.Ask([]ingest.Step{bucket("k", 1, 1, 1)}); ok {
				t.Error("answered by a process that stands still")
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took < 250*time.Millisecond {
		t.Errorf("gave up after %s already", took)
	}
	until(t, "it is noticed", func() bool { return !f.Up() })
	trips := testutil.ToFloat64(f.metrics.trips)
	for range 10_000 {
		if _, ok := f.Ask([]ingest.Step{bucket("k", 1, 1, 1)}); ok {
			t.Fatal("answered")
		}
	}
	if n := testutil.ToFloat64(f.metrics.trips) - trips; n != 0 {
		t.Errorf("%v round trips while the circuit is open", n)
	}
	s.Thaw()
	until(t, "it is found again", f.Up)
	until(t, "it answers", func() bool { _, ok := f.Ask([]ingest.Step{bucket("k2", 1, 1, 1)}); return ok })
}

// answers waits until a fleet with a short deadline has an answer in time.
func answers(t *testing.T, f *Fleet) {
	t.Helper()
	until(t, "it answers in time", func() bool { _, ok := f.Ask([]ingest.Step{bucket("k", 1, 1, 1)}); return ok && f.Up() })
}

// One late answer opens nothing: limits stay shared. A machine that is busy
// enough makes more than one late, and so this is tried several times.
func TestOneLateAnswer(t *testing.T) {
	s := redistest.Start(t)
	f := join(t, s, func(o *Options) { o.Timeout = 500 * time.Millisecond })
	for range 10 {
		answers(t, f)
		s.Freeze()
		_, ok := f.Ask([]ingest.Step{bucket("k", 1, 1, 1)})
		s.Thaw()
		if ok {
			t.Fatal("answered by a process that stands still")
		}
		stayed := f.Up() && f.state.strikes.Load() == 1
		if _, ok := f.Ask([]ingest.Step{bucket("k", 1, 1, 1)}); ok && stayed && f.Up() {
			if n := f.state.strikes.Load(); n != 0 {
				t.Errorf("%d strikes after an answer in time", n)
			}
			return
		}
		until(t, "it is found again", f.Up)
	}
	t.Error("each late answer opened the circuit")
}

// A Redis that answers pings and nothing else in time costs three deadlines.
func TestRedisIsAlwaysLate(t *testing.T) {
	s := redistest.Start(t)
	f := join(t, s, func(o *Options) { o.Timeout = 200 * time.Millisecond })
	s.Say("CLIENT PAUSE 60000 WRITE") // a PING writes nothing
	for n := 0; f.Up(); n++ {
		if n == mostStrikes {
			t.Fatalf("the circuit is closed after %d late answers in a row", n)
		}
		if _, ok := f.Ask([]ingest.Step{bucket("k", 1, 1, 1)}); ok {
			t.Fatal("answered")
		}
	}
	s.Say("CLIENT UNPAUSE")
	until(t, "it is found again", f.Up)
}

// Not there at the start: no error, found later.
func TestRedisComesLater(t *testing.T) {
	s := redistest.Start(t)
	s.Kill()
	f, err := New(Options{URL: s.URL()})
	if err != nil {
		t.Fatal(err)
	}
	f.Start()
	defer f.Close()
	if f.Up() {
		t.Error("up without a Redis")
	}
	s.Start()
	until(t, "it is found", f.Up)
	until(t, "it answers a ping", func() bool { took, err := f.Ping(t.Context()); return err == nil && took > 0 })
}

// Scripts that Redis forgot are loaded again, within the same call.
func TestScriptsForgotten(t *testing.T) {
	s := redistest.Start(t)
	f := join(t, s)
	s.Say("SCRIPT FLUSH")
	if a := ask(t, f, bucket("k", 1, 1, 5)); !a[0].Passed {
		t.Errorf("%+v", a)
	}
}

// A full Redis that evicts nothing counts as away; one that evicts goes on.
func TestRedisFull(t *testing.T) {
	for policy, refuses := range map[string]bool{"noeviction": true, "volatile-ttl": false} {
		s := redistest.Start(t, "--maxmemory", "2mb", "--maxmemory-policy", policy)
		f := join(t, s)
		refused := false
		for i := 0; i < 3000 && !refused; i++ {
			var steps []ingest.Step
			for j := range 10 {
				step := stormStep(strconv.Itoa(10*i+j), 1, 100)
				steps = append(steps, step, step)
			}
			_, ok := f.Ask(steps)
			refused = !ok
		}
		if refused != refuses {
			t.Errorf("%s: refused %v", policy, refused)
		}
	}
}

// What is logged or returned never holds the password.
func TestPasswordIsNotShown(t *testing.T) {
	s := redistest.Start(t)
	s.Say("CONFIG SET requirepass hunter2-right")
	var log safeBuffer
	f, err := New(Options{URL: "redis://:hunter2-wrong@" + s.Addr(), Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	if f.Up() {
		t.Error("let in with a wrong password")
	}
	began := time.Now()
	if err := f.Close(); err != nil || time.Since(began) > patience {
		t.Errorf("closing what was not started: %v", err)
	}
	if text := log.String(); !strings.Contains(text, "Redis is away") || strings.Contains(text, "hunter2") {
		t.Errorf("logged:\n%s", text)
	}
	if _, err := New(Options{URL: "redis://:hunter2@[::1"}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a broken URL: %v", err)
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
