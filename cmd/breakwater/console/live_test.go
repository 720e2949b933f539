package console

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"breakwater/schemas"
)

// until waits for a condition that another goroutine makes true.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

func quick(f *fake, tail *Tail) (Options, *prometheus.Registry) {
	reg := prometheus.NewRegistry()
	return Options{
		Gatherer: reg, Registerer: reg, Logger: zerolog.Nop(), Token: func() string { return "" }, Ready: func() error { return nil },
		Spool: f, Relay: f, State: f, Now: f.clock, Tail: tail, every: 5 * time.Millisecond,
	}, reg
}

// Nothing asks the spool or any other part while nobody looks: not before the
// first viewer, not after the last, and no goroutine stays.
func TestNobodyLooks(t *testing.T) {
	f := newFake(3)
	o, _ := quick(f, nil)
	before := runtime.NumGoroutine()
	s := build(o)
	srv := httptest.NewServer(s.handler())
	defer srv.Close()
	time.Sleep(20 * o.every) // time in which something could ask
	if n := f.calls.Load(); n != 0 {
		t.Errorf("%d questions before anybody looked", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/live?page=overview", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	until(t, "a question", func() bool { return f.calls.Load() > 0 })
	cancel()
	http.DefaultClient.CloseIdleConnections()
	srv.CloseClientConnections()
	until(t, "the end of the last viewer", func() bool { s.live.mu.Lock(); defer s.live.mu.Unlock(); return s.live.stop == nil })
	until(t, "the end of its goroutines", func() bool { return runtime.NumGoroutine() <= before+1 }) // one accepts connections
	asked := f.calls.Load()
	for range 20 { // the clock of answers goes on, so memory cannot hide a question
		f.now.Add(60)
		time.Sleep(o.every)
	}
	if n := f.calls.Load(); n != asked {
		t.Errorf("%d questions after the last viewer left", n-asked)
	}
}

// Fifty viewers cost what one does: a page is made once a round for all of
// them, each holds one frame, and one who does not read gets the newest.
func TestFiftyViewers(t *testing.T) {
	var rendered atomic.Int64
	frame := strings.Repeat("x", 64<<10)
	l := newLive(time.Hour, func(int) {}, func(string) ([]byte, error) { // rounds are made by hand
		return fmt.Appendf(nil, "%d %s", rendered.Add(1), frame), nil
	})
	var viewers []*viewer
	for range 50 {
		v, leave, ok := l.join("overview?")
		if !ok {
			t.Fatal("refused")
		}
		defer leave()
		viewers = append(viewers, v)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const rounds = 200
	for range rounds {
		l.round() // nobody reads
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := rendered.Load(); n != rounds {
		t.Errorf("%d pages were made in %d rounds", n, rounds)
	}
	// One frame shared by all, not fifty, and not one a round.
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("fifty viewers who do not read hold %d KiB", grown>>10)
	} else {
		t.Logf("fifty viewers who do not read hold %d KiB", grown>>10)
	}
	for _, v := range viewers {
		if got := <-v.frames; !strings.HasPrefix(string(got), fmt.Sprint(rounds, " ")) {
			t.Fatalf("a slow viewer got %.10s, not the newest", got)
		}
		select {
		case <-v.frames:
			t.Fatal("a viewer held two frames")
		default:
		}
	}
	runtime.KeepAlive(viewers)
}

// The same over real connections: fifty pages see a change, and the gauge
// comes back to nothing. More than may be are told so.
func TestViewersOverTheNetwork(t *testing.T) {
	f := newFake(3)
	o, reg := quick(f, nil)
	srv := httptest.NewServer(New(o))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 0, DisableKeepAlives: true}}
	var saw atomic.Int64
	for range 50 {
		all.Go(func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/live?page=destinations&project=shop", nil)
			resp, err := client.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			lines := bufio.NewScanner(resp.Body)
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				if strings.Contains(lines.Text(), ">paused<") {
					saw.Add(1)
					return
				}
			}
		})
	}
	viewers := func() float64 {
		n, err := testutil.GatherAndCount(reg, "breakwater_console_viewers")
		if err != nil || n != 2 {
			return -1
		}
		families, _ := reg.Gather()
		for _, fam := range families {
			for _, m := range fam.GetMetric() {
				if fam.GetName() == "breakwater_console_viewers" && m.GetLabel()[0].GetValue() == streamLive {
					return m.GetGauge().GetValue()
				}
			}
		}
		return -1
	}
	until(t, "fifty viewers", func() bool { return viewers() == 50 })
	f.pause(destOf("shop", "sentry"), true)
	f.now.Add(60)
	all.Wait()
	if saw.Load() != 50 {
		t.Errorf("%d of 50 saw the change", saw.Load())
	}
	cancel()
	until(t, "nobody", func() bool { return viewers() == 0 })

	l := newLive(time.Hour, func(int) {}, nil)
	for range maxViewers {
		l.join("spool?")
	}
	if _, _, ok := l.join("spool?"); ok {
		t.Error("more viewers than may be")
	}
}

// pipes is a listener whose connections have no buffers: who does not read
// blocks who writes, at once.
type pipes struct{ conns chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { close(p.conns); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// A viewer whose connection stands still is let go after the time for one
// write, and holds nobody up meanwhile.
func TestSlowViewerIsLetGo(t *testing.T) {
	f := newFake(3)
	o, _ := quick(f, nil)
	o.patience = 5 * time.Second // the quick one is never held up for so long
	s := build(o)
	server := NewServer(s.handler())
	l := pipes{make(chan net.Conn)}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	open := func() *bufio.Scanner {
		mine, theirs := net.Pipe()
		t.Cleanup(func() { _ = mine.Close() })
		l.conns <- theirs
		if _, err := fmt.Fprintf(mine, "GET /live?page=destinations HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(mine)
		lines.Buffer(nil, 1<<20)
		return lines
	}
	viewers := func() int { s.live.mu.Lock(); defer s.live.mu.Unlock(); return s.live.viewers }
	quickOne := open()
	var frames atomic.Int64
	go func() {
		for quickOne.Scan() {
			f.now.Add(7)
			if strings.Contains(quickOne.Text(), "event: frame") {
				frames.Add(1)
			}
		}
	}()
	open() // and never read
	until(t, "two viewers", func() bool { return viewers() == 2 })
	from := frames.Load()
	until(t, "twenty frames beside a viewer that stands still", func() bool { return frames.Load() >= from+20 })
	until(t, "the slow one's end", func() bool { return viewers() == 1 })
}

// A tail costs nothing while nobody listens, hands on what was asked for, and
// says how much a slow listener missed.
func TestTail(t *testing.T) {
	tail := NewTail()
	if tail.Watching() || tail.Wants("shop", "error", schemas.Accepted) {
		t.Error("somebody listens")
	}
	f := newFake(0)
	o, _ := quick(f, tail)
	srv := httptest.NewServer(New(o))
	defer srv.Close()
	resp, err := http.Get(srv.URL + "/api/v1/tail?project=shop&category=error&outcome=filtered")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	until(t, "a listener", tail.Watching)
	if tail.Wants("app", "error", schemas.Filtered) || tail.Wants("shop", "session", schemas.Filtered) || tail.Wants("shop", "error", schemas.Accepted) || !tail.Wants("shop", "error", schemas.Filtered) {
		t.Error("wants what it did not ask for")
	}
	tail.Send(Line{Project: "app", Category: "error", Outcome: schemas.Filtered, Summary: "not this"})
	tail.Send(Line{Project: "shop", Category: "error", Outcome: schemas.Filtered, Quantity: 1, Reason: "localhost", Summary: "Type\u202e: a\nb" + strings.Repeat("x", 9999)})
	lines := bufio.NewScanner(resp.Body)
	var data string
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			data = text
			break
		}
	}
	readContract(t).checkSchema(t, "Line", []byte(data))
	if !strings.Contains(data, "‹U+202E›: a b") || strings.Contains(data, "not this") || len(data) > 800 {
		t.Errorf("%s", data)
	}
	resp.Body.Close()
	until(t, "nobody listens", func() bool {
		tail.Send(Line{Project: "shop", Category: "error", Outcome: schemas.Filtered}) // finds out that it left
		return !tail.Watching()
	})

	slow := &listener{}
	leave, _ := tail.join(slow)
	defer leave()
	for range tailBuffer + 50 {
		tail.Send(Line{Project: "shop"})
	}
	if n := slow.missed.Load(); n != 50 {
		t.Errorf("missed %d", n)
	}
	for range maxTails - 1 {
		tail.join(&listener{})
	}
	if _, ok := tail.join(&listener{}); ok {
		t.Error("more listeners than may be")
	}
}
