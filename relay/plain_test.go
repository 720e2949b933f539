package relay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// peer is an upstream of which a test says every byte.
type peer struct {
	t     *testing.T
	l     net.Listener
	conns atomic.Int64
	wg    sync.WaitGroup
}

// newPeer gives each connection, with its number from 1, to serve.
func newPeer(t *testing.T, serve func(n int64, c net.Conn, in *bufio.Reader)) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, l: l}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := p.conns.Add(1)
			p.wg.Go(func() {
				defer c.Close()
				serve(n, c, bufio.NewReader(c))
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.wg.Wait() })
	return p
}

// heard reads one request with its body.
func heard(in *bufio.Reader) bool {
	r, err := http.ReadRequest(in)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, r.Body)
	return err == nil
}

func (p *peer) request(ctx context.Context, repeatable bool) *http.Request {
	p.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.l.Addr().String()+"/in", strings.NewReader("body"))
	if err != nil {
		p.t.Fatal(err)
	}
	if repeatable {
		r.Header["Idempotency-Key"] = []string{}
	}
	return r
}

func newTransport(t *testing.T) *Transport {
	tr := NewTransport(TransportConfig{Dial: (&net.Dialer{}).DialContext})
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// post sends and reads the answer to its end.
func post(t *testing.T, tr *Transport, r *http.Request) (int, string, error) {
	t.Helper()
	if !tr.plain(r) {
		t.Fatal("the request is not sent plainly")
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// Answers of every form are read as net/http reads them, and a connection is
// used again only where the next answer on it can be nothing else.
func TestPlainAnswers(t *testing.T) {
	const keep, once = true, false
	for name, c := range map[string]struct {
		answer string
		status int // 0: an error
		body   string
		kept   bool
	}{
		"with a length":      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}", keep},
		"empty":              {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", keep},
		"no content":         {"HTTP/1.1 204 No Content\r\n\r\n", 204, "", keep},
		"chunked":            {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, "{}", keep},
		"until the end":      {"HTTP/1.1 200 OK\r\n\r\n{}", 200, "{}", once},
		"HTTP/1.0":           {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, "{}", once},
		"last one":           {"HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", 429, "{}", once},
		"more than it says":  {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "{}", once},
		"interim before":     {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 503 Away\r\nContent-Length: 1\r\n\r\nx", 503, "x", keep},
		"nothing but":        {strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxInterim), 0, "", once},
		"another protocol":   {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 101, "", once},
		"nothing":            {"", 0, "", once},
		"not HTTP":           {"220 mail.example ESMTP\r\n", 0, "", once},
		"cut in the head":    {"HTTP/1.1 200 OK\r\nContent-Le", 0, "", once},
		"cut in the body":    {"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}", 0, "", once},
		"a head of megabyte": {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 0, "", once},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(_ int64, conn net.Conn, in *bufio.Reader) {
				for heard(in) {
					_, _ = io.WriteString(conn, c.answer)
					if !c.kept {
						return
					}
				}
			})
			tr := newTransport(t)
			for range 3 {
				status, body, err := post(t, tr, p.request(t.Context(), false))
				if (err == nil) != (c.status != 0) || err == nil && (status != c.status || body != c.body) {
					t.Fatalf("status %d, body %q, error %v", status, body, err)
				}
			}
			if n := p.conns.Load(); (n == 1) != c.kept {
				t.Errorf("%d connections for 3 requests", n)
			}
		})
	}
}

// A kept connection that the upstream closed, or wrote to unasked, is not used
// again: what lies on it would be taken for the answer to the next request.
func TestPlainConnectionIsAsItWasLeft(t *testing.T) {
	for name, unasked := range map[string]string{"closed": "", "spoken": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale"} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})
			p := newPeer(t, func(n int64, conn net.Conn, in *bufio.Reader) {
				for heard(in) {
					_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)
					if n == 1 {
						<-done
						_, _ = io.WriteString(conn, unasked)
						if unasked == "" {
							return
						}
					}
				}
			})
			tr := newTransport(t)
			if _, body, err := post(t, tr, p.request(t.Context(), false)); err != nil || body != "1" {
				t.Fatalf("answer %q, error %v", body, err)
			}
			close(done)
			for deadline := time.Now().Add(30 * time.Second); quiet(tr.plains.idle[0].Conn) && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			if _, body, err := post(t, tr, p.request(t.Context(), false)); err != nil || body != "2" {
				t.Errorf("answer %q, error %v", body, err)
			}
		})
	}
}

// Where a kept connection ends without a byte of an answer, a request that may
// be repeated goes once more on a new one, and no other does.
func TestPlainRepeats(t *testing.T) {
	for name, c := range map[string]struct {
		repeatable bool
		half       string // of an answer
		ok         bool
	}{
		"repeatable":                  {true, "", true},
		"not repeatable":              {false, "", false},
		"something of an answer came": {true, "HTTP/1.1 2", false},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64
			p := newPeer(t, func(n int64, conn net.Conn, in *bufio.Reader) {
				for i := 0; heard(in); i++ {
					requests.Add(1)
					if n == 1 && i == 1 {
						_, _ = io.WriteString(conn, c.half)
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			tr := newTransport(t)
			if _, _, err := post(t, tr, p.request(t.Context(), c.repeatable)); err != nil {
				t.Fatal(err)
			}
			_, _, err := post(t, tr, p.request(t.Context(), c.repeatable))
			want := map[bool]int64{true: 3, false: 2}[c.ok]
			if (err == nil) != c.ok || requests.Load() != want {
				t.Errorf("error %v after %d requests, want %d", err, requests.Load(), want)
			}
		})
	}
}

// The end of the context ends a request wherever it is, and its connection.
func TestPlainEndsWithItsContext(t *testing.T) {
	for name, answer := range map[string]string{"before the answer": "", "in its head": "HTTP/1.1 200 OK\r\n", "in its body": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			p := newPeer(t, func(n int64, conn net.Conn, in *bufio.Reader) {
				if heard(in) {
					_, _ = io.WriteString(conn, answer)
					cancel()
					_, _ = in.ReadByte() // until the other side closes
				}
			})
			tr := newTransport(t)
			_, _, err := post(t, tr, p.request(ctx, true))
			if !errors.Is(err, context.Canceled) && !strings.Contains(fmt.Sprint(err), "i/o timeout") {
				t.Errorf("error %v", err)
			}
			if len(tr.plains.idle) != 0 || p.conns.Load() != 1 {
				t.Errorf("%d connections kept of %d", len(tr.plains.idle), p.conns.Load())
			}
		})
	}
}

// A refusal is heard although the upstream read none of the body.
func TestPlainHearsAnEarlyRefusal(t *testing.T) {
	p := newPeer(t, func(_ int64, conn net.Conn, in *bufio.Reader) {
		if _, err := in.ReadString('\n'); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, in)
		}
	})
	r := p.request(t.Context(), false)
	body := bytes.Repeat([]byte("x"), plainSize)
	r.ContentLength = int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	status, text, err := post(t, newTransport(t), r)
	if status != 413 || text != "no" || err != nil {
		t.Errorf("status %d, body %q, error %v", status, text, err)
	}
}

// A server sees the same request by both ways.
func TestPlainRequestIsTheSame(t *testing.T) {
	type seen struct {
		Method, URI, Host, Proto, Body string
		Length                         int64
		Header                         http.Header
	}
	var last seen
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		last = seen{r.Method, r.RequestURI, r.Host, r.Proto, string(b), r.ContentLength, r.Header}
	}))
	defer srv.Close()
	tr := newTransport(t)
	for _, target := range []string{"", "/", "/api/1/envelope/?a=b&c=%20d", "/a%2Fb/é?x=é", "?only=query"} {
		send := func(way http.RoundTripper) seen {
			body := strings.Repeat("ä", 2000)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+target, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = http.Header{"User-Agent": {"Ünïcode  agent "}, "X-Twice": {"a", "b"}, "X-Empty": {""}, "Idempotency-Key": {}, "Content-Type": {"text/plain"}}
			if !tr.plain(r) {
				t.Fatalf("%s is not sent plainly", target)
			}
			resp, err := way.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			return last
		}
		if ours, theirs := send(tr), send(tr.Transport); !reflect.DeepEqual(ours, theirs) {
			t.Errorf("%q: the server saw\n%+v\nby net/http\n%+v", target, ours, theirs)
		}
	}
}

// What net/http knows better is left to it.
func TestPlainIsOnlyForThePlain(t *testing.T) {
	ok := func() *http.Request {
		r, err := http.NewRequest(http.MethodPost, "http://up.example/", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	viaProxy := NewTransport(TransportConfig{})
	viaProxy.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example"})
	for name, c := range map[string]struct {
		change func(*http.Request)
		tr     *Transport
		want   bool
	}{
		"plain":             {want: true},
		"TLS":               {change: func(r *http.Request) { r.URL.Scheme = "https" }},
		"a proxy":           {tr: viaProxy},
		"large":             {change: func(r *http.Request) { r.ContentLength = plainSize + 1 }},
		"streamed":          {change: func(r *http.Request) { r.GetBody = nil }},
		"without a body":    {change: func(r *http.Request) { r.ContentLength = 0 }},
		"with Expect":       {change: func(r *http.Request) { r.Header.Set("Expect", "100-continue") }},
		"its own length":    {change: func(r *http.Request) { r.Header["content-length"] = []string{"9"} }},
		"its own framing":   {change: func(r *http.Request) { r.Header.Set("Transfer-Encoding", "chunked") }},
		"two lines":         {change: func(r *http.Request) { r.Header.Set("X", "a\r\nEvil: b") }},
		"no header's name":  {change: func(r *http.Request) { r.Header["a b"] = []string{"x"} }},
		"a user":            {change: func(r *http.Request) { r.URL.User = url.User("a") }},
		"an international":  {change: func(r *http.Request) { r.URL.Host = "bücher.example" }},
		"an address's zone": {change: func(r *http.Request) { r.URL.Host = "[fe80::1%25eth0]" }},
		"another host":      {change: func(r *http.Request) { r.Host = "other.example" }},
	} {
		tr, r := c.tr, ok()
		if tr == nil {
			tr = newTransport(t)
		}
		if c.change != nil {
			c.change(r)
		}
		if got := tr.plain(r); got != c.want {
			t.Errorf("%s: sent plainly: %v", name, got)
		}
	}
}

// As many connections are kept as are to be, none for longer than plainIdle,
// and none after CloseIdleConnections.
func TestPlainPool(t *testing.T) {
	var answers sync.WaitGroup
	answers.Add(4)
	p := newPeer(t, func(_ int64, conn net.Conn, in *bufio.Reader) {
		for heard(in) {
			answers.Done()
			answers.Wait() // all four at once
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	tr := NewTransport(TransportConfig{Dial: (&net.Dialer{}).DialContext, Connections: 3})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, _, err := post(t, tr, p.request(t.Context(), false)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(tr.plains.idle) != 3 || p.conns.Load() != 4 {
		t.Fatalf("%d of %d connections kept, want 3 of 4", len(tr.plains.idle), p.conns.Load())
	}
	tr.plains.idle[0].since = time.Now().Add(-plainIdle)
	tr.plains.sweep()
	if len(tr.plains.idle) != 2 || tr.plains.tidy == nil {
		t.Errorf("%d connections after the sweep, want 2", len(tr.plains.idle))
	}
	tr.CloseIdleConnections()
	if len(tr.plains.idle) != 0 || tr.plains.tidy != nil {
		t.Errorf("%d connections after closing them", len(tr.plains.idle))
	}
}
