package ingest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"breakwater/ingest"
)

// pipes is a listener whose connections are in memory, so that their deadlines
// follow the test's clock.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn, 16), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// served runs a server on pipes inside a bubble of its own time.
func served(t *testing.T, test func(t *testing.T, e *edge, p *pipes), opts ...option) {
	synctest.Test(t, func(t *testing.T) {
		e, p := newEdge(t, opts...), newPipes()
		done := make(chan error, 1)
		go func() { done <- e.Serve(t.Context(), p) }()
		test(t, e, p)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// answerOf reads one answer.
func answerOf(t *testing.T, c net.Conn) (status int, body string, h http.Header) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Errorf("reading the answer: %v", err)
		return 0, "", nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("reading the answer: %v", err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func header(length int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", envelopePath, length)
}

// drip sends a byte every second until the other end has had enough; it
// returns when that was.
func drip(c net.Conn, text string) time.Duration {
	start := time.Now()
	for i := range text {
		if _, err := c.Write([]byte{text[i]}); err != nil {
			break
		}
		time.Sleep(time.Second)
	}
	return time.Since(start)
}

// A byte a second keeps no connection: header and body share one deadline.
func TestSlowHeaderIsCut(t *testing.T) {
	served(t, func(t *testing.T, e *edge, p *pipes) {
		c := p.dial()
		defer c.Close()
		go io.Copy(io.Discard, c)
		if took := drip(c, "POST / HTTP/1.1\r\nX: "+strings.Repeat("a", 300)); took > 32*time.Second {
			t.Errorf("the header could drip for %s", took)
		}
		if e.ledger.String() != "" {
			t.Errorf("books: %s", e.ledger)
		}
	})
}

func TestSlowBodyIsCut(t *testing.T) {
	served(t, func(t *testing.T, e *edge, p *pipes) {
		c := p.dial()
		defer c.Close()
		start := time.Now()
		if took := drip(c, header(5000)[:20]); took != 20*time.Second {
			t.Fatal("the header was cut too early")
		}
		if _, err := io.WriteString(c, header(5000)[20:]); err != nil {
			t.Fatal(err)
		}
		dripped := make(chan time.Duration, 1)
		go func() { dripped <- drip(c, strings.Repeat("x", 5000)) }()
		status, body, h := answerOf(t, c)
		if took := time.Since(start); took > 31*time.Second {
			t.Errorf("header and body could drip for %s", took)
		}
		if status != 408 || !strings.Contains(body, "took too long") || h.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%d %s", status, body)
		}
		if got := e.ledger.String(); got != "web/unknown invalid:read_timeout" {
			t.Errorf("books: %s", got)
		}
		if took := <-dripped; took > 12*time.Second {
			t.Errorf("the connection stayed open for another %s", took)
		}
	})
}

// Under another server, or after a reload, the door sets the deadline itself.
func TestDeadlineAfterReload(t *testing.T) {
	served(t, func(t *testing.T, e *edge, p *pipes) {
		next := e.settings
		next.Config.ReadTimeout = 5 * time.Second
		if err := e.Apply(next); err != nil {
			t.Fatal(err)
		}
		c := p.dial()
		defer c.Close()
		start := time.Now()
		if _, err := io.WriteString(c, header(5000)); err != nil {
			t.Fatal(err)
		}
		if status, _, _ := answerOf(t, c); status != 408 || time.Since(start) != 5*time.Second {
			t.Errorf("%d after %s", status, time.Since(start))
		}
	})
}

func TestIdleConnectionIsClosed(t *testing.T) {
	served(t, func(t *testing.T, e *edge, p *pipes) {
		c := p.dial()
		defer c.Close()
		for range 2 { // keep-alive
			if _, err := io.WriteString(c, header(len(env(goodEvent)))+env(goodEvent)); err != nil {
				t.Fatal(err)
			}
			if status, body, _ := answerOf(t, c); status != 200 {
				t.Fatal(status, body)
			}
		}
		start := time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(start) > 61*time.Second {
			t.Errorf("idle connection: %v after %s", err, time.Since(start))
		}
	})
}

func TestConnectionCap(t *testing.T) {
	served(t, func(t *testing.T, e *edge, p *pipes) {
		var idle []net.Conn
		for range 2 {
			c := p.dial()
			if _, err := io.WriteString(c, "POST / HTTP/1.1\r\n"); err != nil {
				t.Fatal(err)
			}
			idle = append(idle, c)
		}
		third := p.dial()
		defer third.Close()
		answered := make(chan int, 1)
		go func() {
			if _, err := io.WriteString(third, header(len(env(goodEvent)))+env(goodEvent)); err != nil {
				t.Error(err)
			}
			status, _, _ := answerOf(t, third)
			answered <- status
		}()
		synctest.Wait()
		select {
		case s := <-answered:
			t.Fatalf("a third connection was served at a cap of two: %d", s)
		default:
		}
		idle[0].Close()
		if s := <-answered; s != 200 {
			t.Errorf("the waiting connection got %d", s)
		}
		idle[1].Close()
	}, func(o *ingest.Options) { o.Config.MaxConnections = 2 })
}

// An upload that ends before its length is counted and answered.
func TestCutUpload(t *testing.T) {
	srv := newEdge(t)
	server := httptest.NewServer(srv)
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, header(500)+env(goodEvent)); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if status, body, _ := answerOf(t, c); status != 400 || !strings.Contains(body, "could not be read") {
		t.Errorf("%d %s", status, body)
	}
	if got := srv.ledger.String(); got != "web/unknown invalid:body_read" {
		t.Errorf("books: %s", got)
	}
}

func TestServeTLS(t *testing.T) {
	donor := httptest.NewTLSServer(http.NotFoundHandler()) // lends its certificate
	defer donor.Close()
	files := writeCertificate(t, donor.TLS.Certificates[0])
	e := newEdge(t, func(o *ingest.Options) { o.Config.TLS = files })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- e.Serve(t.Context(), l) }()
	resp, err := donor.Client().Post("https://"+l.Addr().String()+envelopePath, "", strings.NewReader(env(goodEvent)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Whatever the envelope, its encoding and its way over the network, the same
// items reach the sink.
func TestAnySegments(t *testing.T) {
	e := newEdge(t)
	server := httptest.NewServer(e)
	defer server.Close()
	rapid.Check(t, func(t *rapid.T) {
		text, want := drawEnvelope(t)
		kind := rapid.SampledFrom(encodings).Draw(t, "encoding")
		body, coding := encode(t, kind, text)
		e.sink.items = nil
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		chunked := rapid.Bool().Draw(t, "chunked")
		head := "POST " + envelopePath + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
		if coding != "" {
			head += "Content-Encoding: " + coding + "\r\n"
		}
		if chunked {
			head += "Transfer-Encoding: chunked\r\n\r\n"
		} else {
			head += fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
		}
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		for len(body) > 0 {
			n := min(len(body), rapid.IntRange(1, 1+len(body)/2).Draw(t, "segment"))
			segment := string(body[:n])
			if chunked {
				segment = fmt.Sprintf("%x\r\n%s\r\n", n, segment)
			}
			if _, err := io.WriteString(c, segment); err != nil {
				t.Fatal(err)
			}
			body = body[n:]
		}
		if chunked {
			if _, err := io.WriteString(c, "0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Fatalf("status %d for %q", resp.StatusCode, text)
		}
		e.sink.mu.Lock()
		defer e.sink.mu.Unlock()
		if len(e.sink.items) != len(want) {
			t.Fatalf("%d items, want %d", len(e.sink.items), len(want))
		}
		for i := range want {
			if e.sink.items[i] != want[i] {
				t.Fatalf("item %d is %q, want %q", i, e.sink.items[i], want[i])
			}
		}
	})
	e.ledger.balanced(t)
}

// drawEnvelope makes an envelope and the items that should arrive.
func drawEnvelope(t *rapid.T) (text []byte, want []stored) {
	text = []byte("{}\n")
	payloads := map[string]*rapid.Generator[string]{
		"session":          rapid.SampledFrom([]string{`{"sid":"a"}`, `{"sid" : "ü😀", "n": 12345678901234567890}`}),
		"log":              rapid.SampledFrom([]string{`{"level":"info"}`}),
		"check_in":         rapid.SampledFrom([]string{`{"status":"ok"}`}),
		"attachment":       rapid.StringN(0, 3000, 6000),
		"hologram":         rapid.StringN(0, 100, 400),
		"replay_recording": rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 2000), func(b []byte) string { return string(b) }),
	}
	types := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"session", "log", "check_in", "attachment", "hologram", "replay_recording"}), 0, 6, rapid.ID[string]).Draw(t, "types")
	for _, typ := range types {
		payload := payloads[typ].Draw(t, typ)
		head := `{"type":"` + typ + `","x-extra":[1, 2.50]}`
		if strings.Contains(payload, "\n") || rapid.Bool().Draw(t, "length") {
			head = fmt.Sprintf(`{ "length":%d,"type":"%s" }`, len(payload), typ)
		}
		text = append(text, head+"\n"+payload+"\n"...)
		want = append(want, stored{head, payload, typ})
	}
	if len(text) > 3 && rapid.Bool().Draw(t, "no last newline") && !strings.HasSuffix(string(text), "\n\n") {
		text = text[:len(text)-1]
	}
	return text, want
}
