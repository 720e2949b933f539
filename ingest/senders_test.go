package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"breakwater/ingest"
)

// overTCP serves an edge on a loopback port.
func overTCP(t *testing.T, opts ...option) (*edge, string) {
	t.Helper()
	e := newEdge(t, opts...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- e.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e, l.Addr().String()
}

// sends opens a connection from a loopback address and writes.
func sends(t *testing.T, from, to, what string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c, what); err != nil {
		t.Fatal(err)
	}
	return c
}

// Of the connections of an address that are sending, the longest is cut off for
// one too many: 408 in its body, nothing in its header. Another address, and a
// connection that rests between two requests, are no part of that.
func TestSendersOfOneAddress(t *testing.T) {
	e, addr := overTCP(t, func(o *ingest.Options) { o.Config.SendingPerIP = 3 })
	whole := header(len(env(goodEvent))) + env(goodEvent)
	open := func(n float64) {
		t.Helper()
		waitFor(t, func() error {
			if got := metricValue(t, e, "breakwater_http_connections"); got != n {
				return fmt.Errorf("%v connections are open, want %v", got, n)
			}
			return nil
		})
	}
	resting := sends(t, "127.0.0.1", addr, whole)
	if status, _, _ := answerOf(t, resting); status != 200 {
		t.Fatal(status)
	}
	other := sends(t, "127.0.0.2", addr, "POST / HTTP/1.1\r\n")
	open(2)
	inHeader := sends(t, "127.0.0.1", addr, "POST / HTTP/1.1\r\n")
	open(3)
	inBody := sends(t, "127.0.0.1", addr, header(5000)+"{}\n")
	open(4)
	sends(t, "127.0.0.1", addr, "POST / HTTP/1.1\r\n")
	open(5)
	sends(t, "127.0.0.1", addr, "POST / HTTP/1.1\r\n") // one too many
	// A reset is an end, too: of a connection whose bytes were not read yet.
	if n, err := inHeader.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the longest read %d bytes, %v", n, err)
	}
	open(5)
	waitFor(t, func() error { // the request in the body has been begun
		if n := metricValue(t, e, "breakwater_http_requests_in_flight"); n != 1 {
			return fmt.Errorf("%v requests are in flight", n)
		}
		return nil
	})
	last := sends(t, "127.0.0.1", addr, whole) // another one too many, until it has arrived
	if status, _, h := answerOf(t, inBody); status != http.StatusRequestTimeout || h.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("the one in its body was answered %d", status)
	}
	if status, _, _ := answerOf(t, last); status != 200 {
		t.Errorf("who came last was answered %d", status)
	}
	if _, err := io.WriteString(resting, whole[:20]); err != nil { // the third
		t.Fatal(err)
	}
	if _, err := io.WriteString(resting, whole[20:]); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := answerOf(t, resting); status != 200 {
		t.Errorf("a connection that rested was answered %d", status)
	}
	if _, err := io.WriteString(other, "Host: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := answerOf(t, other); status != 404 {
		t.Errorf("the other address was answered %d", status)
	}
	if n := metricValue(t, e, "breakwater_http_connections_cut_total"); n != 2 {
		t.Errorf("%v were counted as cut off, want 2", n)
	}
}

// However much of a header comes at once after a rest, who then says nothing counts
// as sending: also where net/http's buffer has room for one byte more, as many as
// its look-out for clients who hang up asks for.
func TestSendersAfterARest(t *testing.T) {
	whole := header(len(env(goodEvent))) + env(goodEvent)
	for _, n := range []int{20, 4094, 4095, 4096} {
		e, addr := overTCP(t, func(o *ingest.Options) { o.Config.SendingPerIP = 1 })
		var rested []net.Conn
		for range 3 {
			c := sends(t, "127.0.0.1", addr, whole)
			if status, _, _ := answerOf(t, c); status != 200 {
				t.Fatal(status)
			}
			rested = append(rested, c)
		}
		for _, c := range rested {
			if _, err := io.WriteString(c, "POST /"+strings.Repeat("a", n-6)); err != nil {
				t.Fatal(err)
			}
		}
		waitFor(t, func() error {
			if got := metricValue(t, e, "breakwater_http_connections_cut_total"); got != 2 {
				return fmt.Errorf("of a header %d bytes: %v were cut off, want 2", n, got)
			}
			return nil
		})
	}
}

// A trusted proxy stands for many clients and has no bound.
func TestSendersBehindProxy(t *testing.T) {
	e, addr := overTCP(t, func(o *ingest.Options) {
		o.Config.SendingPerIP = 1
		o.Config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	whole := header(len(env(goodEvent))) + env(goodEvent)
	var all []net.Conn
	for range 4 {
		all = append(all, sends(t, "127.0.0.1", addr, whole[:20]))
	}
	for _, c := range all {
		if _, err := io.WriteString(c, whole[20:]); err != nil {
			t.Fatal(err)
		}
		if status, _, _ := answerOf(t, c); status != 200 {
			t.Errorf("a proxy's connection was answered %d", status)
		}
	}
	if n := metricValue(t, e, "breakwater_http_connections_cut_total"); n != 0 {
		t.Errorf("%v were cut off", n)
	}
}
