package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

// serve runs a handler on loopback and returns its address.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// A server that stalls once: in an open loop each request that was due
// meanwhile waited, and the histogram says so; its service time hides it.
func TestOpenLoopCountsWhatAStallDelayed(t *testing.T) {
	const stall = 400 * time.Millisecond
	var n atomic.Int64
	addr := serve(t, func(http.ResponseWriter, *http.Request) {
		if n.Add(1) == 100 {
			time.Sleep(stall)
		}
	})
	var got tally
	for try := 0; got.Latency.Count < 300; try++ { // on a busy machine the generator itself falls behind
		if try == 20 {
			t.Fatalf("in 20 tries never 300 requests in 1.5 s at 400/s; the last had %d", got.Latency.Count)
		}
		n.Store(0)
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		got = load{addr: addr, conns: 1, pace: 400, tmpl: newTemplate("POST", "/", addr, "text/plain", "x")}.run(ctx)
		cancel()
	}
	// 160 of some 600 requests were due during the stall: a fifth waited for a quarter of it or more.
	if got.latency.ms(85) < 0.2*stall.Seconds()*1e3 || got.Latency.Max < stall.Seconds()*1e3 {
		t.Errorf("the open loop's latency hides a stall of %v: %+v", stall, got.Latency)
	}
	if got.Service.P90 > got.latency.ms(90) {
		t.Errorf("service time %+v above latency %+v", got.Service, got.Latency)
	}
}

// Every way a body may end, on connections that are used again.
func TestAnswersOfOtherServers(t *testing.T) {
	for name, raw := range map[string]string{
		"length":       "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
		"chunks":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n",
		"none at 204":  "HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n",
		"close":        "HTTP/1.1 201 Created\r\nConnection: close\r\n\r\nuntil the end",
		"HTTP/1.0":     "HTTP/1.0 200 OK\r\n\r\nuntil the end",
		"keep-alive 0": "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			ends := strings.Contains(raw, "until the end")
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						for buf := make([]byte, 4096); ; {
							if _, err := c.Read(buf); err != nil {
								return
							}
							_, _ = io.WriteString(c, raw)
							if ends {
								return
							}
						}
					}()
				}
			}()
			c := &conn{addr: l.Addr().String()}
			defer c.close()
			for range 3 {
				a, err := c.send([]byte("GET / HTTP/1.1\r\n\r\n"), 5*time.Second)
				if err != nil || a.status/100 != 2 {
					t.Fatalf("%d, %v", a.status, err)
				}
			}
		})
	}
}

func TestCompare(t *testing.T) {
	// The other server takes all, answers in chunks, and delivers every second one.
	up, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	var n, wrong atomic.Int64
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.RequestURI() != "/in?sentry_key=abc" || r.Header.Get("X-Api-Key") != "k" || !strings.Contains(string(body), `"public_key":"abc"`) {
			wrong.Add(1)
		}
		if n.Add(1)%2 == 0 {
			resp, err := http.Post("http://"+up+"/api/1/envelope/", "", strings.NewReader(string(body)))
			if err == nil {
				_ = resp.Body.Close()
			}
		}
		_, _ = io.WriteString(w, strings.Repeat("x", 5000)) // too long for a Content-Length by itself
	})
	c := compareCmd{
		URL: "http://" + addr + "/in?sentry_key=abc", PID: os.Getpid(), Gateway: binary(t), Kind: "envelope", Size: "2000", Header: []string{"X-Api-Key: k"},
		Upstream: up, Settle: time.Second, Rounds: 1, Conns: 4, JSON: true,
	}
	var report compareReport
	longEnough(t, func(d time.Duration) error {
		c.Time = d / 3
		if report, err = c.run(); err != nil {
			t.Fatal(err)
		}
		for _, cl := range report.Cells {
			if cl.PerSecond <= 0 || cl.OfRef <= 0 || cl.CPUPerM <= 0 || cl.P50 <= 0 || cl.NotOK != 0 {
				return fmt.Errorf("%+v", cl)
			}
		}
		if len(report.Cells) != 3 || report.OfOurs <= 0 || report.CPUOfOurs <= 0 || report.Acked < 2 {
			return fmt.Errorf("%+v", report)
		}
		return nil
	})
	if wrong.Load() > 0 {
		t.Errorf("%d requests were not what was asked for", wrong.Load())
	}
	if report.Missing < report.Acked/2-5 || report.Missing > report.Acked/2+5 || report.Delivered+report.Missing != report.Acked {
		t.Errorf("half was delivered, counted: %+v", report)
	}
	c.URL = "http://192.0.2.1:80/"
	if _, err := c.run(); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("another machine was not refused: %v", err)
	}
}

// The recording upstream plays its script, refuses connections for a while,
// and remembers every id it took, and no other.
func TestSinkPlaysItsScript(t *testing.T) {
	s := newSink(true)
	if err := s.serve("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer s.close()
	url := "http://" + s.port.addr
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	do := func(method, path, body string) (int, http.Header, string, error) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, nil, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, resp.Header, string(b), err
	}
	if status, _, text, _ := do("PUT", "/script", "nonsense"); status != 400 || !strings.Contains(text, "refuse:5s") {
		t.Fatalf("a bad script was answered %d %q", status, text)
	}
	if status, _, _, _ := do("PUT", "/script", "200 429:7 502 slow:30ms reset lost refuse:2s 200"); status != 204 {
		t.Fatalf("a script was answered %d", status)
	}
	taken := map[relaytest.ID]bool{}
	for i, want := range []struct {
		status int
		taken  bool
	}{{200, true}, {429, false}, {502, false}, {200, true}, {0, false}, {0, true}, {0, false}} {
		id := newID()
		begin := time.Now()
		status, h, _, err := do("POST", "/api/1/envelope/", fmt.Sprintf("{\"event_id\":%q}\n", id.String()))
		if status != want.status || (status == 0) != (err != nil) {
			t.Fatalf("request %d was answered %d, %v; want %d", i, status, err, want.status)
		}
		if i == 1 && h.Get("Retry-After") != "7" {
			t.Errorf("headers of the 429: %v", h)
		}
		if i == 3 && time.Since(begin) < 30*time.Millisecond {
			t.Errorf("the slow answer took %v", time.Since(begin))
		}
		if want.taken {
			taken[id] = true
		}
		if got := s.ids.Count(id) == 1; got != want.taken {
			t.Errorf("request %d was remembered: %v", i, got)
		}
	}
	refused := 0
	if err := until(10*time.Second, "opening again", func() bool {
		c, err := net.Dial("tcp", s.port.addr)
		if err == nil {
			_ = c.Close()
		} else {
			refused++
		}
		return err == nil
	}); err != nil {
		t.Fatal(err)
	}
	if refused == 0 {
		t.Error("no connection was refused")
	}
	if status, _, _, err := do("POST", "/", fmt.Sprintf("{\"event_id\":%q}\n", newID().String())); status != 200 {
		t.Fatalf("afterwards %d, %v", status, err)
	}
	if status, _, _, _ := do("PUT", "/always", "503:9"); status != 204 {
		t.Fatal("always was refused")
	}
	if status, h, _, _ := do("POST", "/", "{}\n"); status != 503 || h.Get("Retry-After") != "9" {
		t.Fatalf("always 503 was answered %d %v", status, h)
	}
	_, _, text, _ := do("GET", "/ids", "")
	if got := strings.Count(text, "\n"); got != len(taken)+1 {
		t.Errorf("%d ids are listed, want %d: %s", got, len(taken)+1, text)
	}
	for id := range taken {
		if !strings.Contains(text, id.String()+" 1\n") {
			t.Errorf("%s is not listed", id)
		}
	}
	counts := s.counts()
	for _, word := range []string{"429", "502", "slow", "reset_before", "reset_after", "refuse", "503"} {
		if counts.Other[word] != 1 {
			t.Errorf("%s is counted %d times", word, counts.Other[word])
		}
	}
}

// Each kind of load is what the gateway takes, and the histogram's file can be read.
func TestEveryKindIsTaken(t *testing.T) {
	gw, stop, err := startOurs(binary(t))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, kind := range strings.Split(kinds, ",") {
		hdr, ids := filepath.Join(t.TempDir(), "hdr"), filepath.Join(t.TempDir(), "ids")
		project, key := "1", loadKey
		if kind == "storm" {
			project, key = stormProject, stormKey
		}
		c := loadCmd{Target: gw.public, Project: project, Key: key, Kind: kind, Time: 300 * time.Millisecond, Conns: 2, Rate: 100, Size: "4096", Attachment: 300, HDR: hdr, IDs: ids, JSON: true}
		if err := until(time.Minute, "taking a "+kind, func() bool { // not one in the first 300 ms, where the machine is busy
			if err := c.Run(); err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			list, err := os.ReadFile(ids)
			return err == nil && len(list) > 0
		}); err != nil {
			t.Error(err)
		}
		text, err := os.ReadFile(hdr)
		if err != nil || !strings.Contains(string(text), "#[Mean") {
			t.Errorf("%s: the distribution is %q, %v", kind, text, err)
		}
	}
	if err := gw.drain(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	m, err := gw.metrics()
	if err != nil {
		t.Fatal(err)
	}
	if n := m.sum("breakwater_items_outcome_total", "outcome=invalid"); n != 0 {
		t.Errorf("%v items were invalid", n)
	}
	if m.sum("breakwater_items_outcome_total", "outcome=delivered", "category=attachment") == 0 {
		t.Error("no attachment was delivered")
	}
}
