package relaytest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Step is how the upstream treats one request. The zero Step takes it and
// answers 200.
type Step struct {
	Status int         // 0: 200
	Header http.Header // of the answer
	Body   string      // of the answer; "": what Options.Answer says
	Delay  time.Duration
	Fault  Fault
	// ReadRate slows the reading of the request, in bytes per second.
	ReadRate int
	// Size is the size of a HugeHeader or HugeBody. 64 MiB.
	Size int64
}

// Fault is something worse than a status.
type Fault string

// The faults. With ResetAfter, Truncated, SlowBody, HugeBody and HugeHeader
// the upstream has taken the request, whatever its client makes of the answer.
const (
	ResetBefore Fault = "reset_before" // cut the connection before reading the body
	ResetAfter  Fault = "reset_after"  // read everything, then cut: the answer is lost
	Hang        Fault = "hang"         // read everything, never answer
	Garbage     Fault = "garbage"      // answer with something that is not HTTP
	Truncated   Fault = "truncated"    // promise a longer body than is sent
	SlowBody    Fault = "slow_body"    // the status at once, the body a byte at a time, forever
	HugeBody    Fault = "huge_body"    // a body of Size bytes
	HugeHeader  Fault = "huge_header"  // a header of Size bytes
)

// taken tells whether a request with this end was stored by the upstream.
func (s Step) taken() bool {
	switch s.Fault {
	case ResetBefore, Hang, Garbage:
		return false
	case ResetAfter:
		return true
	}
	return s.status() >= 200 && s.status() < 300
}

func (s Step) status() int {
	if s.Status == 0 {
		return http.StatusOK
	}
	return s.Status
}

// Status is a step that answers a status with headers, given as name, value
// pairs.
func Status(code int, header ...string) Step {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return Step{Status: code, Header: h}
}

// Times repeats a step.
func Times(n int, s Step) []Step {
	steps := make([]Step, n)
	for i := range steps {
		steps[i] = s
	}
	return steps
}

// Script appends steps for the next requests, one each, in the order they come.
func (u *Upstream) Script(steps ...Step) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.script = append(u.script, steps...)
}

// Always is the step of every request from now on: it replaces the script,
// and Options.Decide.
func (u *Upstream) Always(s Step) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.always, u.script = &s, nil
}

// Relent ends Always and the script.
func (u *Upstream) Relent() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.always, u.script = nil, nil
}

// next is the step for a request that has just come in; decided is false when
// it depends on the request's content.
func (u *Upstream) next() (s Step, decided bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case len(u.script) > 0:
		s, u.script = u.script[0], u.script[1:]
		return s, true
	case u.always != nil:
		return *u.always, true
	}
	return Step{}, u.opts.Decide == nil
}

// answer plays a step's end.
func (u *Upstream) answer(w http.ResponseWriter, r *http.Request, req *Request, s Step) {
	if s.Delay > 0 {
		u.sleep(r, s.Delay)
	}
	switch s.Fault {
	case ResetBefore, ResetAfter:
		reset(w)
		return
	case Hang:
		select {
		case <-r.Context().Done():
		case <-u.closing:
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
			u.sleep(r, 20*time.Millisecond)
			if u.isClosing() {
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
		if u.opts.Answer != nil {
			body = u.opts.Answer(req)
		} else if body = "{}"; req.EventID != "" {
			body = fmt.Sprintf(`{"id":%q}`, req.EventID)
		}
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	w.WriteHeader(s.status())
	_, _ = io.WriteString(w, body)
}

func (u *Upstream) sleep(r *http.Request, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	case <-u.closing:
	}
}

func (u *Upstream) isClosing() bool {
	select {
	case <-u.closing:
		return true
	default:
		return false
	}
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
