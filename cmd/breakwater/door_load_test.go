package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// wire is one keep-alive connection, written by hand: tests of the door send
// tens of thousands of requests, and net/http would cost more than the gateway.
type wire struct {
	addr string
	conn net.Conn
	br   *bufio.Reader
}

// answer is what a client reads of a response.
type answer struct {
	status        int
	retry, limits string
}

func (w *wire) close() {
	if w.conn != nil {
		_ = w.conn.Close()
		w.conn = nil
	}
}

// do writes one prepared request and reads its answer.
func (w *wire) do(req []byte) (a answer, err error) {
	if w.conn == nil {
		if w.conn, err = net.DialTimeout("tcp", w.addr, 10*time.Second); err != nil {
			w.conn = nil
			return a, err
		}
		w.br = bufio.NewReader(w.conn)
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	_ = w.conn.SetDeadline(time.Now().Add(60 * time.Second))
	if _, err = w.conn.Write(req); err != nil {
		return a, err
	}
	line, err := w.br.ReadSlice('\n')
	if err != nil {
		return a, err
	}
	if len(line) < 12 {
		return a, fmt.Errorf("status line %q", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, err
	}
	length, last := 0, false
	for {
		if line, err = w.br.ReadSlice('\n'); err != nil {
			return a, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "Content-Length":
			if length, err = strconv.Atoi(string(value)); err != nil {
				return a, err
			}
		case "Retry-After":
			a.retry = string(value)
		case "X-Sentry-Rate-Limits":
			a.limits = string(value)
		case "Connection":
			last = string(value) == "close"
		}
	}
	_, err = io.CopyN(io.Discard, w.br, int64(length))
	if last {
		w.close()
	}
	return a, err
}

// postRequest is the bytes of a POST; headers are whole lines.
func postRequest(host, path, body string, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0.0.0\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n", path, host, len(body))
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

const envelopePath = "/api/1/envelope/?sentry_version=7&sentry_key=" + testKey

// blast sends total requests over conns connections, or goes on until the
// deadline when total is 0, and counts the answers by status.
func blast(t *testing.T, addr string, conns, total int, until time.Time, request func(n int) []byte) map[int]int {
	t.Helper()
	return blastUntil(t, addr, conns, func(n int, _ map[int]int) bool {
		return total > 0 && n >= total || total == 0 && time.Now().After(until)
	}, request)
}

// blastUntil is blast that asks before each request, whose number is n, whether
// the answers so far are enough.
func blastUntil(t *testing.T, addr string, conns int, enough func(n int, seen map[int]int) bool, request func(n int) []byte) map[int]int {
	t.Helper()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		next int
		seen = map[int]int{}
		errs []error
	)
	for range conns {
		wg.Go(func() {
			w := &wire{addr: addr}
			defer w.close()
			mu.Lock()
			defer mu.Unlock()
			for !enough(next, seen) {
				n := next
				next++
				mu.Unlock()
				a, err := w.do(request(n))
				mu.Lock()
				if err != nil {
					errs = append(errs, err)
					break
				}
				seen[a.status]++
			}
		})
	}
	wg.Wait()
	if len(errs) > 0 {
		t.Fatalf("%d connections failed: %v", len(errs), errs[0])
	}
	return seen
}

// quiet is a well-behaved client beside whatever else a test does: it sends
// one request after the other and keeps how long each took.
type quiet struct {
	stop chan struct{}
	done chan struct{}
	sent int
	bad  []string
	took []float64 // seconds
}

func startQuiet(addr string, request func(n int) []byte) *quiet {
	q := &quiet{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(q.done)
		w := &wire{addr: addr}
		defer w.close()
		for {
			select {
			case <-q.stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			began := time.Now()
			a, err := w.do(request(q.sent))
			q.sent++
			q.took = append(q.took, time.Since(began).Seconds())
			if err != nil || a.status/100 != 2 {
				q.bad = append(q.bad, fmt.Sprintf("request %d: %d %v", q.sent, a.status, err))
			}
		}
	}()
	return q
}

// end stops the client and returns its 99th percentile.
func (q *quiet) end(t *testing.T) (p99 time.Duration) {
	t.Helper()
	close(q.stop)
	<-q.done
	if len(q.bad) > 0 {
		t.Errorf("%d of %d requests of a well-behaved client went wrong: %s", len(q.bad), q.sent, q.bad[0])
	}
	slices.Sort(q.took)
	return time.Duration(quantile(q.took, 0.99) * float64(time.Second))
}
