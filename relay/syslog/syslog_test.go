package syslog_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/relay/syslog"
)

// fake is a server by TCP that a test controls connection by connection.
func fake(t *testing.T, handle func(n int, c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go handle(n, c)
		}
	}()
	return l.Addr().String()
}

// stuck is a destination whose server reads everything and never closes.
func stuck(t *testing.T) relay.Destination {
	addr := fake(t, func(_ int, c net.Conn) { _, _ = io.Copy(io.Discard, c); <-t.Context().Done(); _ = c.Close() })
	return make1(t, syslog.Config{Server: syslog.Server{Network: "tcp", Address: addr}})
}

// What is not known to have been read is tried again: each case is a server
// that goes wrong in one way at its first batch.
func TestNotReadIsNotDelivered(t *testing.T) {
	for name, wrong := range map[string]func(batch, watch net.Conn){
		"cut before reading": func(b, _ net.Conn) { _ = b.(*net.TCPConn).SetLinger(0); _ = b.Close() },
		"closed with bytes unread": func(b, _ net.Conn) {
			time.Sleep(50 * time.Millisecond) // let some bytes come in; their number does not matter
			_, _ = b.Read(make([]byte, 3))
			_ = b.Close()
		},
		"died after reading everything": func(b, w net.Conn) {
			_, _ = io.Copy(io.Discard, b)
			_ = b.Close()
			_ = w.Close()
		},
		"died a moment after": func(b, w net.Conn) {
			_, _ = io.Copy(io.Discard, b)
			_ = b.Close()
			time.Sleep(60 * time.Millisecond) // within the hold, however busy the machine is
			_ = w.Close()
		},
		"never closes": func(b, _ net.Conn) { _, _ = io.Copy(io.Discard, b); time.Sleep(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			watch := make(chan net.Conn, 1)
			addr := fake(t, func(n int, c net.Conn) {
				switch n {
				case 0:
					watch <- c
				case 1:
					w := <-watch
					wrong(c, w)
				default:
					_, _ = io.Copy(io.Discard, c)
					_ = c.Close()
				}
			})
			d := make1(t, syslog.Config{Server: syslog.Server{Network: "tcp", Address: addr}, Hold: time.Minute, Timeout: 500 * time.Millisecond})
			rec := relaytest.SampleRecord()
			_, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
			if de := relay.AsDeliverError(err); err == nil || de.Class != relay.Temporary || !de.Down {
				t.Fatalf("%v", err)
			}
		})
	}
}

// A document that is too long for a message stays JSON and keeps what names it.
func TestLongDocuments(t *testing.T) {
	var mu sync.Mutex
	var got []string
	addr := fake(t, func(_ int, c net.Conn) {
		b := bufio.NewReader(c)
		for {
			var n int
			head, err := b.ReadString(' ')
			if err != nil {
				break
			}
			for _, c := range strings.TrimSuffix(head, " ") {
				n = n*10 + int(c-'0')
			}
			msg := make([]byte, n)
			if _, err := io.ReadFull(b, msg); err != nil {
				break
			}
			mu.Lock()
			got = append(got, string(msg))
			mu.Unlock()
		}
		_ = c.Close()
	})
	d := make1(t, syslog.Config{Server: syslog.Server{Network: "tcp", Address: addr}, Hold: time.Millisecond})
	rec := relaytest.MustRecord("{\"event_id\":\"9ec79c33ec9942ab8353589fcb2e04dc\"}\n{\"type\":\"event\"}\n" + `{"message":"` + strings.Repeat(`<\"é>`, 20000) + `"}`)
	if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 1 || len(got[0]) > 8<<10 || !strings.Contains(got[0], `"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"`) || !strings.HasSuffix(got[0], "}") {
		t.Errorf("%d messages: %.300q", len(got), got)
	}
}

func TestMessage(t *testing.T) {
	h := syslog.Header{Facility: 16, Severity: syslog.Error, Time: time.Date(2026, 1, 2, 4, 4, 5, 123456789, time.FixedZone("", 3600)), Hostname: "a b\x00ü", ID: strings.Repeat("x", 40)}
	if got, want := string(syslog.Message(h, []byte("hi"))), "<131>1 2026-01-02T03:04:05.123456Z ab - - "+strings.Repeat("x", 32)+" - hi"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := string(syslog.Frame([]byte("2 ab"), []byte("héllo"))); got != "2 ab6 héllo" {
		t.Errorf("%q", got)
	}
	if n, err := syslog.Facility("local7"); n != 23 || err != nil {
		t.Error(n, err)
	}
}

func TestBadConfiguration(t *testing.T) {
	for _, c := range []syslog.Config{
		{Server: syslog.Server{Network: "unix", Address: "h:1"}},
		{Server: syslog.Server{Network: "tcp", Address: "h"}},
		{Server: syslog.Server{Network: "udp", Address: "h:1"}, Facility: "nonsense"},
	} {
		if _, err := syslog.New(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
