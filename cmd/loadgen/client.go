package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// conn is one keep-alive HTTP/1.1 connection, written by hand so that the
// generator costs little beside what it measures.
type conn struct {
	addr string
	c    net.Conn
	br   *bufio.Reader
}

func (c *conn) dial() error {
	nc, err := net.DialTimeout("tcp", c.addr, 2*time.Second)
	if err != nil {
		return err
	}
	c.c = nc
	if c.br == nil {
		c.br = bufio.NewReaderSize(nc, 4096)
	} else {
		c.br.Reset(nc)
	}
	return nil
}

func (c *conn) close() {
	if c.c != nil {
		_ = c.c.Close()
		c.c = nil
	}
}

var errNoAnswer = errors.New("no answer")

// answer is what is read of a response.
type answer struct {
	status     int
	retryAfter string // of an answer that is not 2xx
	cors       bool   // it lets pages of other origins read it
}

// send writes one prepared request and reads the answer. Any error closes the
// connection: what was sent may or may not have been taken.
func (c *conn) send(req []byte, timeout time.Duration) (a answer, err error) {
	if c.c == nil {
		if err := c.dial(); err != nil {
			return a, err
		}
	}
	_ = c.c.SetDeadline(time.Now().Add(timeout))
	if _, err := c.c.Write(req); err != nil {
		c.close()
		return a, err
	}
	if a, err = c.answer(); err != nil {
		c.close()
		return answer{}, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return a, nil
}

// answer reads one response: status line, headers, body in whatever length.
func (c *conn) answer() (a answer, err error) {
	line, err := c.br.ReadSlice('\n')
	if err != nil {
		return a, err
	}
	if len(line) < 12 {
		return a, fmt.Errorf("status line %q", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, err
	}
	length, chunked, last := int64(-1), false, bytes.HasPrefix(line, []byte("HTTP/1.0"))
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return a, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil || length < 0 {
				return a, fmt.Errorf("content length %q", value)
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("Access-Control-Allow-Origin")):
			a.cors = true
		case a.status/100 != 2 && bytes.EqualFold(name, []byte("Retry-After")):
			a.retryAfter = string(value)
		case bytes.EqualFold(name, []byte("Connection")):
			last = bytes.EqualFold(value, []byte("close")) || (last && !bytes.EqualFold(value, []byte("keep-alive")))
		}
	}
	switch {
	case a.status == 204 || a.status == 304: // without a body, whatever the headers say
	case chunked:
		err = c.skipChunks()
	case length >= 0:
		_, err = io.CopyN(io.Discard, c.br, length)
	default: // until the end of the connection
		_, err = io.Copy(io.Discard, c.br)
		last = true
	}
	if err != nil {
		return a, err
	}
	if last {
		c.close()
	}
	return a, nil
}

// skipChunks reads a chunked body and its trailer.
func (c *conn) skipChunks() error {
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, _, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(";"))
		n, err := strconv.ParseInt(string(bytes.TrimSpace(size)), 16, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("chunk size %q", size)
		}
		if n == 0 {
			break
		}
		if _, err := io.CopyN(io.Discard, c.br, n+2); err != nil { // and its line end
			return err
		}
	}
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil || len(bytes.TrimRight(line, "\r\n")) == 0 {
			return err
		}
	}
}
