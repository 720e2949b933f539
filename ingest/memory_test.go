package ingest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

// makers is a Protocol that makes as many bytes as the body says, and counts
// how many requests have made some and are not done.
type makers struct {
	busy, most atomic.Int64
	gate       chan struct{} // each takes one before it goes on
}

func (m *makers) Decode(ctx context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	raw, err := req.ReadAll(body, 1<<10)
	if err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(string(raw))
	for ; n > 0; n -= 64 << 10 { // in steps, as records come
		if err := req.Make(64 << 10); err != nil {
			return nil, err
		}
	}
	busy := m.busy.Add(1)
	defer m.busy.Add(-1)
	for most := m.most.Load(); busy > most && !m.most.CompareAndSwap(most, busy); most = m.most.Load() {
	}
	req.Rest()
	select {
	case <-m.gate:
	case <-ctx.Done():
	}
	return &ingest.Batch{Request: req, Items: []*ingest.Item{ingest.Refused("log", 1, schemas.Filtered, "test")}}, nil
}

func makersEdge(t *testing.T, opts ...option) (*edge, *makers) {
	m := &makers{gate: make(chan struct{})}
	return newEdge(t, append(opts, func(o *ingest.Options) {
		o.Endpoints = append(o.Endpoints, ingest.Endpoint{Name: "made", Paths: []string{"/api/:project/made"}, Protocol: m})
	})...), m
}

// turns is how many may make much at a time on this machine.
func turns() int64 { return min(2, max(1, int64(runtime.GOMAXPROCS(0))-1)) }

const madePath = "/api/4201/made/?sentry_key=" + webKey

// Requests that make much take turns, two at a time or as many as there are
// processors but one, and all are served;
// those that make little are not held up by them.
func TestTurns(t *testing.T) {
	e, m := makersEdge(t)
	var wg sync.WaitGroup
	codes := make(chan int, 16)
	for range 8 {
		wg.Go(func() { codes <- e.do(post(madePath, "1000000")).Code })
	}
	waitFor(t, func() error {
		if busy, waiting := m.busy.Load(), metricValue(t, e, "breakwater_http_large_batches_waiting"); busy != turns() || waiting != float64(8-turns()) {
			return fmt.Errorf("%d are busy and %v wait of 8, want %d to be busy", busy, waiting, turns())
		}
		return nil
	})
	if got, want := metricValue(t, e, "breakwater_http_body_bytes"), float64(turns()*2*(1_000_000/(64<<10)+1)*(64<<10)+(8-turns())*2*4*(64<<10)); got != want {
		t.Errorf("%v bytes are held, want %v: what is made counts twice", got, want)
	}
	wg.Go(func() { codes <- e.do(post(madePath, "200000")).Code })
	waitFor(t, func() error {
		if busy := m.busy.Load(); busy != turns()+1 {
			return fmt.Errorf("%d are busy: the small one waits too", busy)
		}
		return nil
	})
	close(m.gate)
	wg.Wait()
	close(codes)
	for code := range codes {
		if code != http.StatusOK {
			t.Errorf("answered %d", code)
		}
	}
	if most := m.most.Load(); most > turns()+1 {
		t.Errorf("%d at a time", most)
	}
	if held := metricValue(t, e, "breakwater_http_body_bytes"); held != 0 {
		t.Errorf("%v bytes are held by nobody", held)
	}
}

// Who hangs up does not wait on, and gives back what it has; beyond the budget
// nothing is made.
func TestTurnGivenUp(t *testing.T) {
	e, m := makersEdge(t, func(o *ingest.Options) { o.Config.MemoryBudget = 8 << 20 })
	var wg sync.WaitGroup
	for range turns() {
		wg.Go(func() { e.do(post(madePath, "1000000")) })
	}
	waitFor(t, func() error {
		if busy := m.busy.Load(); busy != turns() {
			return fmt.Errorf("%d are busy", busy)
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	wg.Go(func() {
		if code := e.do(post(madePath, "1000000").WithContext(ctx)).Code; code != http.StatusServiceUnavailable {
			t.Errorf("answered %d", code)
		}
	})
	waitFor(t, func() error {
		if n := metricValue(t, e, "breakwater_http_large_batches_waiting"); n != 1 {
			return fmt.Errorf("%v wait", n)
		}
		return nil
	})
	cancel()
	waitFor(t, func() error {
		if n := metricValue(t, e, "breakwater_http_large_batches_waiting"); n != 0 {
			return fmt.Errorf("%v wait", n)
		}
		return nil
	})
	close(m.gate)
	wg.Wait()
	if w := e.do(post(madePath, "5000000")); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("beyond the budget: %d", w.Code)
	}
	if w := e.do(post(madePath, "3000000")); w.Code != http.StatusOK {
		t.Errorf("the turn, or the budget, was not given back: %d", w.Code)
	}
}

func waitFor(t *testing.T, what func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if err = what(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func metricValue(t *testing.T, e *edge, name string) float64 {
	t.Helper()
	families, err := e.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue() // it is one of them
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
