package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What a gateway sends most are small bodies, over plain HTTP to an upstream
// beside it. net/http serves a connection by two goroutines and hands each
// request from one to the next; here the worker writes the request and reads
// the answer itself, with net/http's own reader of answers. That takes 0.55 of
// the CPU (go test ./relay -bench Send). Everything else (TLS and HTTP/2,
// proxies, large and streamed bodies) is net/http's.
const (
	// plainSize is up to how many bytes a body is sent so. It fits the socket's
	// buffer, so that an upstream that answers before it has read all is heard.
	plainSize = 64 << 10
	// maxInterim bounds the interim answers (1xx) before the real one.
	maxInterim = 5
)

// plain tells whether a request is one to send so.
func (t *Transport) plain(req *http.Request) bool {
	if !canPeek || req.URL.Scheme != "http" || req.GetBody == nil || req.ContentLength <= 0 || req.ContentLength > plainSize ||
		req.Close || req.Host != "" && req.Host != req.URL.Host || req.Trailer != nil || req.TransferEncoding != nil || req.URL.User != nil {
		return false
	}
	for name, values := range req.Header {
		if !fieldName(name) {
			return false
		}
		switch http.CanonicalHeaderKey(name) {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer", "Connection", "Expect", "Upgrade", "Te": // they say how to send, or nothing
			return false
		}
		for _, v := range values {
			if !fieldText(v) {
				return false
			}
		}
	}
	direct, ok := t.known.Load(req.URL.Host)
	if !ok {
		direct = t.direct(req)
		t.known.Store(req.URL.Host, direct) // proxies are read once in the life of a process; hosts are configured
	}
	return direct.(bool)
}

// direct tells whether a host is asked by itself, and its name is plain ASCII.
func (t *Transport) direct(req *http.Request) bool {
	if t.Proxy != nil {
		if proxy, err := t.Proxy(req); err != nil || proxy != nil {
			return false
		}
	}
	for _, c := range []byte(req.URL.Host) {
		if c <= ' ' || c >= 0x7f || c == '%' {
			return false
		}
	}
	return req.URL.Hostname() != ""
}

// fieldName and fieldText tell whether something can stand in a header as it
// is; net/http says what is wrong with what cannot.
func fieldName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}

func fieldText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// plainConn is one connection. One request uses it at a time.
type plainConn struct {
	net.Conn
	host  string
	in    *bufio.Reader
	left  int64 // what may still come of an answer's head
	out   []byte
	since time.Time // in the pool
}

// Read bounds the head of an answer.
func (c *plainConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errLongHead
	}
	n, err := c.Conn.Read(b)
	c.left -= int64(n)
	return n, err //nolint:wrapcheck // the connection's own, read by net/http's reader
}

var errLongHead = errors.New("the head of the answer is too long")

// sendPlain sends a request on a kept connection or a new one. Where a kept one
// turns out to be dead before a byte of the answer came, a request that may be
// sent again, which its Idempotency-Key says, goes once more on a new one.
func (t *Transport) sendPlain(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_ = req.Body.Close() // read by GetBody
	}
	ctx := req.Context()
	if c := t.plains.get(req.URL.Host); c != nil {
		resp, heard, err := t.plainTrip(ctx, c, req)
		_, again := req.Header["Idempotency-Key"]
		if err == nil || heard || !again || ctx.Err() != nil {
			return resp, err
		}
	}
	addr := req.URL.Host
	if req.URL.Port() == "" {
		addr = net.JoinHostPort(req.URL.Hostname(), "80")
	}
	nc, err := t.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err //nolint:wrapcheck // as net/http's transport gives it
	}
	c := &plainConn{Conn: nc, host: req.URL.Host}
	c.in = bufio.NewReader(c)
	resp, _, err := t.plainTrip(ctx, c, req)
	return resp, err
}

// plainTrip sends a request and reads the head of its answer. heard says that
// something of an answer came. After an error the connection is closed.
func (t *Transport) plainTrip(ctx context.Context, c *plainConn, req *http.Request) (resp *http.Response, heard bool, err error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // the conn is closed by who uses it
	defer func() {
		if err == nil {
			return
		}
		stop()
		_ = c.Close()
		if cause := ctx.Err(); cause != nil {
			err = cause
		}
	}()
	if err := c.compose(req); err != nil {
		return nil, false, err
	}
	_, sendErr := c.Conn.Write(c.out)
	// Who refuses early may have closed its side while the body was still on its
	// way: its answer counts.
	for range maxInterim {
		c.left = t.MaxResponseHeaderBytes
		if _, err := c.in.Peek(1); err != nil {
			if sendErr != nil {
				err = sendErr
			}
			return nil, heard, fmt.Errorf("connection ended before an answer: %w", err)
		}
		heard = true
		if resp, err = http.ReadResponse(c.in, req); err != nil {
			return nil, true, fmt.Errorf("reading the answer: %w", err)
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols { // which nobody asked for
			c.left = 1 << 62
			t.finish(c, resp, stop, sendErr == nil && !resp.Close && resp.StatusCode >= 200)
			return resp, true, nil
		}
	}
	return nil, true, errors.New("upstream sends nothing but interim answers")
}

// finish gives a connection back when its answer was read.
func (t *Transport) finish(c *plainConn, resp *http.Response, stop func() bool, keep bool) {
	b := &plainBody{ReadCloser: resp.Body, t: t, c: c, stop: stop, keep: keep}
	if resp.Body == http.NoBody {
		b.end(true)
		return
	}
	resp.Body = b
}

// compose writes a request into the connection's buffer.
func (c *plainConn) compose(req *http.Request) error {
	b := c.out[:0]
	b = append(b, req.Method...)
	b = append(b, ' ')
	b = append(b, req.URL.RequestURI()...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, req.URL.Host...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, req.ContentLength, 10)
	for name, values := range req.Header {
		for _, v := range values {
			b = append(b, "\r\n"...)
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, strings.TrimSpace(v)...)
		}
	}
	b = append(b, "\r\n\r\n"...)
	head, total := len(b), len(b)+int(req.ContentLength)
	if cap(b) < total {
		b = append(make([]byte, 0, total+total/4), b...)
	}
	c.out = b[:total]
	body, err := req.GetBody()
	if err != nil {
		return err //nolint:wrapcheck // the caller's own
	}
	defer body.Close()
	if _, err := io.ReadFull(body, c.out[head:]); err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	return nil
}

// plainBody is the body of an answer; read to its end, its connection is used
// again.
type plainBody struct {
	io.ReadCloser
	t    *Transport
	c    *plainConn
	stop func() bool
	keep bool
	done bool
}

func (b *plainBody) Read(p []byte) (int, error) {
	if b.done {
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end(errors.Is(err, io.EOF))
	}
	return n, err //nolint:wrapcheck // of a Reader
}

// Close lets go of what was not read.
func (b *plainBody) Close() error {
	b.end(false)
	return nil
}

// end ends the use of the connection once.
func (b *plainBody) end(whole bool) {
	if b.done {
		return
	}
	b.done = true
	if !b.stop() || !whole || !b.keep || b.c.in.Buffered() > 0 {
		_ = b.c.Close()
		return
	}
	if cap(b.c.out) > 2*plainSize {
		b.c.out = nil
	}
	b.t.plains.put(b.c, b.t.MaxIdleConnsPerHost)
}
