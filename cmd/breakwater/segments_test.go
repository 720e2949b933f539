package main

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// encoders are the Content-Encodings a client may use; deflate has two forms.
var encoders = map[string]func(io.Writer) io.WriteCloser{
	"gzip":        func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"deflate":     func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"deflate raw": func(w io.Writer) io.WriteCloser { fw, _ := flate.NewWriter(w, flate.BestSpeed); return fw },
	"br":          func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
	"zstd":        func(w io.Writer) io.WriteCloser { zw, _ := zstd.NewWriter(w); return zw },
	"":            nil,
}

// Whatever the envelope, its encoding and the segments it comes in, the same
// items arrive upstream, through a real process, its spool and its relay.
func TestAnySegmentsReachUpstream(t *testing.T) {
	up := relaytest.NewUpstream(relaytest.Options{Key: relaytest.TestKey})
	defer up.Close()
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(up.URL(), "http://")
	g := newGateway(t, fmt.Sprintf(plainConfig, relaytest.TestKey, host, relaytest.TestKey, host)).start()
	turn := 0
	rapid.Check(t, func(rt *rapid.T) {
		turn++
		id := fmt.Sprintf("%032x", turn)
		text, want := drawItems(rt, id)
		coding := rapid.SampledFrom([]string{"", "gzip", "deflate", "deflate raw", "br", "zstd"}).Draw(rt, "encoding")
		status, err := inSegments(rt, g.public, "/api/4201/envelope/?sentry_key="+browserKey, coding, text)
		if err != nil || status != http.StatusOK {
			rt.Fatalf("answered %d, %v", status, err)
		}
		var got []string
		for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			if r := withID(up, id); r != nil {
				for _, it := range r.Items {
					got = append(got, itemKey(schemas.Item{Header: it.Header, Payload: schemas.Bytes(it.Payload)}))
				}
				break
			}
			if time.Now().After(end) {
				rt.Fatalf("%q did not arrive", text)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			rt.Fatalf("items upstream: %s", d)
		}
	})
	if p := up.Problems(); len(p) > 0 {
		t.Errorf("the upstream found fault: %v", p)
	}
}

func withID(up *relaytest.Upstream, id string) *relaytest.Request {
	for _, r := range up.Taken() {
		if r.EventID == id {
			return r
		}
	}
	return nil
}

// drawItems makes an envelope of an event and neighbours, and what should
// arrive of it, as itemKey says it.
func drawItems(t *rapid.T, id string) (text []byte, want []string) {
	text = []byte(`{"event_id":"` + id + "\"}\n")
	add := func(head, payload string) {
		full := head
		if strings.Contains(payload, "\n") || rapid.Bool().Draw(t, "length") {
			full = fmt.Sprintf(`{"length":%d,%s`, len(payload), head[1:])
		}
		text = append(text, full+"\n"+payload+"\n"...)
		want = append(want, head+"\n"+payload)
	}
	message := string(schemas.QuoteString(rapid.String().Draw(t, "message")))
	add(`{"type":"event"}`, `{"event_id":"`+id+`","timestamp":1795494394.5,"level":"error","release":"a@1","environment":"e","extra":{"text":`+message+`,"big":12345678901234567890}}`)
	for range rapid.IntRange(0, 5).Draw(t, "neighbours") {
		switch rapid.IntRange(0, 2).Draw(t, "type") {
		case 0:
			add(`{"type":"attachment","filename":"a.bin"}`, string(rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "attachment")))
		case 1:
			add(`{"type":"hologram","x-depth":[1, 2.50]}`, rapid.StringMatching(`[a-z ]{0,200}`).Draw(t, "unknown"))
		case 2:
			add(`{"type":"attachment","filename":"b.txt","content_type":"text/plain"}`, rapid.StringN(0, 1000, 4000).Draw(t, "text"))
		}
	}
	return text, want
}

// inSegments sends a body in as many writes as drawn, with or without a length.
func inSegments(t *rapid.T, addr, path, coding string, text []byte) (int, error) {
	body := text
	if enc := encoders[coding]; enc != nil {
		var b bytes.Buffer
		w := enc(&b)
		_, _ = w.Write(text) // to memory
		_ = w.Close()
		body = b.Bytes()
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	chunked := rapid.Bool().Draw(t, "chunked")
	var head strings.Builder
	fmt.Fprintf(&head, "POST %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n", path)
	if coding != "" {
		fmt.Fprintf(&head, "Content-Encoding: %s\r\n", strings.Fields(coding)[0])
	}
	if chunked {
		head.WriteString("Transfer-Encoding: chunked\r\n\r\n")
	} else {
		fmt.Fprintf(&head, "Content-Length: %d\r\n\r\n", len(body))
	}
	writes := []string{head.String()}
	for len(body) > 0 {
		n := min(len(body), rapid.IntRange(1, 1+len(body)/2).Draw(t, "segment"))
		if chunked {
			writes = append(writes, fmt.Sprintf("%x\r\n%s\r\n", n, body[:n]))
		} else {
			writes = append(writes, string(body[:n]))
		}
		body = body[n:]
	}
	if chunked {
		writes = append(writes, "0\r\n\r\n")
	}
	for _, w := range writes { // no delay: each write is a segment of its own
		if _, err := io.WriteString(c, w); err != nil {
			return 0, err
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
