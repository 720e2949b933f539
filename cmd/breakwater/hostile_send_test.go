package main

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
)

// bomb is an envelope that ends in a payload of size zero bytes, compressed.
func bomb(t *testing.T, encoding, item string, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch encoding {
	case "gzip":
		w, err = gzip.NewWriterLevel(&b, gzip.BestCompression)
	case "deflate":
		w, err = zlib.NewWriterLevel(&b, zlib.BestCompression)
	case "br":
		w = brotli.NewWriterOptions(&b, brotli.WriterOptions{Quality: 2, LGWin: 22})
	case "zstd":
		w, err = zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.WriteString(w, "{}\n"+item+"\n"); err != nil {
		t.Fatal(err)
	}
	chunk := bytes.Repeat([]byte("0"), 1<<20)
	for ; size > 0 && err == nil; size -= int64(len(chunk)) {
		_, err = w.Write(chunk)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// repeat sends one request n times over conns connections, each as it is; a
// gateway that answers before it has read all may cut the connection.
func repeat(n, conns int, request func(host string) []byte) func(addr string) map[int]int {
	return func(addr string) map[int]int {
		req := request(addr)
		return each(n, conns, func() int {
			w := &wire{addr: addr}
			defer w.close()
			return w.tolerant(req)
		})
	}
}

// tolerant sends a request and reads the answer even when sending breaks off.
func (w *wire) tolerant(req []byte) int {
	conn, err := net.DialTimeout("tcp", w.addr, 10*time.Second)
	if err != nil {
		return -1
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	go func() { _, _ = conn.Write(req) }() // the answer may come before the end
	return statusOf(conn)
}

// statusOf reads an answer's status, 0 when there is none.
func statusOf(conn net.Conn) int {
	head := make([]byte, 12)
	if _, err := io.ReadFull(conn, head); err != nil {
		return 0
	}
	status := 0
	if _, err := fmt.Sscanf(string(head), "HTTP/1.1 %3d", &status); err != nil {
		return -1
	}
	return status
}

// each runs do n times, conns at a time, and counts what it returns.
func each(n, conns int, do func() int) map[int]int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[int]int{}
	work := make(chan struct{}, n)
	for range n {
		work <- struct{}{}
	}
	close(work)
	for range conns {
		wg.Go(func() {
			for range work {
				status := do()
				mu.Lock()
				seen[status]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return seen
}

// slow opens n connections at once, writes first and then a byte of rest every
// 100 ms, until the gateway has had enough.
func slow(n int, first, rest string) func(addr string) map[int]int {
	return func(addr string) map[int]int {
		return each(n, n, func() int {
			conn, err := net.DialTimeout("tcp", addr, 20*time.Second)
			if err != nil {
				return -1
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
			if _, err := io.WriteString(conn, first); err != nil {
				return -1
			}
			answered := make(chan int, 1)
			go func() { answered <- statusOf(conn) }()
			for i := 0; ; i++ {
				select {
				case status := <-answered:
					return status
				case <-time.After(100 * time.Millisecond):
					_, _ = io.WriteString(conn, rest[i%len(rest):i%len(rest)+1]) // a closed connection shows in the answer
				}
			}
		})
	}
}

func plain(body string, headers ...string) func(string) []byte {
	return func(host string) []byte { return postRequest(host, envelopePath, body, headers...) }
}

// dumpRequest posts a minidump.
func dumpRequest(body, contentType string) func(string) []byte {
	return func(host string) []byte { return typed(postRequest(host, minidumpPath, body), contentType) }
}

// otlpRequest posts a signal.
func otlpRequest(signal, body, contentType string) func(string) []byte {
	return func(host string) []byte {
		return typed(postRequest(host, "/api/1/otlp/v1/"+signal+"?key="+testKey, body), contentType)
	}
}

func faroRequest(body string) func(string) []byte {
	return func(host string) []byte { return typed(postRequest(host, faroPath, body), "application/json") }
}

// otlpNest puts fields into one scope of one resource; a record is "\x12", its
// length, its fields.
func otlpNest(scope string) string { return otlpField("\x0a", otlpField("\x12", scope)) }

func otlpField(tag, body string) string { return tag + otlpLength(len(body)) + body }

func otlpLength(n int) string { return string(protowire.AppendVarint(nil, uint64(n))) }

// typed replaces a request's content type.
func typed(request []byte, contentType string) []byte {
	return bytes.Replace(request, []byte("text/plain;charset=UTF-8"), []byte(contentType), 1)
}

// xzOf packs by the program, with the largest dictionary unless flags say else.
func xzOf(t *testing.T, data string, flags ...string) string {
	t.Helper()
	if len(flags) == 0 {
		flags = []string{"-9"}
	}
	cmd := exec.Command("xz", append(flags, "-c")...)
	cmd.Stdin = strings.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("xz is missing: `make test` installs it: %v", err)
	}
	return string(out)
}

func eventEnvelope(payload string) string {
	return "{}\n{\"type\":\"event\"}\n" + payload
}
