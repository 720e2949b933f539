package relaytest

import (
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Play ends a request as the step says: good is the body of a good answer when
// the step brings none, closing ends what would last for ever.
func (s Step) Play(w http.ResponseWriter, r *http.Request, good func() string, closing <-chan struct{}) {
	if s.Delay > 0 && s.Fault != Refuse {
		sleep(r, s.Delay, closing)
	}
	switch s.Fault {
	case ResetBefore, ResetAfter, Refuse:
		reset(w)
		return
	case Hang:
		select {
		case <-r.Context().Done():
		case <-closing:
		}
		return
	case Garbage:
		raw(w, "this is not HTTP\r\n\r\n")
		return
	}
	h := w.Header()
	for name, values := range s.Header {
		h[name] = values
	}
	size := s.Size
	if size == 0 {
		size = 64 << 20
	}
	switch s.Fault {
	case HugeHeader:
		// Written by hand: a server of net/http would keep it all in memory.
		huge(w, size)
		return
	case Truncated:
		h.Set("Content-Length", "1000")
		w.WriteHeader(s.status())
		_, _ = io.WriteString(w, `{"id":`)
		return // net/http cuts the connection, as the length was not kept
	case SlowBody:
		w.WriteHeader(s.status())
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, " "); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			if !sleep(r, 20*time.Millisecond, closing) {
				return
			}
		}
		return
	case HugeBody:
		w.WriteHeader(s.status())
		for chunk := strings.Repeat("x", 32<<10); size > 0; size -= int64(len(chunk)) {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
		return
	}
	body := s.Body
	if body == "" && s.status() < 300 {
		body = good()
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	w.WriteHeader(s.status())
	_, _ = io.WriteString(w, body)
}

// sleep tells whether the whole time passed.
func sleep(r *http.Request, d time.Duration, closing <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
	case <-closing:
	}
	return false
}

// reset cuts the connection the hard way: the client sees "connection reset".
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: the stream is reset
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func raw(w http.ResponseWriter, text string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(conn, text)
	_ = conn.Close()
}

func huge(w http.ResponseWriter, size int64) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
	for line := "X-Huge: " + strings.Repeat("x", 8<<10) + "\r\n"; size > 0; size -= int64(len(line)) {
		if _, err := io.WriteString(conn, line); err != nil {
			return
		}
	}
	_, _ = io.WriteString(conn, "Content-Length: 0\r\n\r\n")
}
