package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"breakwater/relay/relaytest"
)

// newID makes an event id; the generator sends them, the sink looks for them.
func newID() (v relaytest.ID) {
	_, _ = rand.Read(v[:]) // never fails on the systems Go supports
	return v
}

// template is a request with holes for the event id, filled in place so that
// making a request costs a copy of 32 bytes.
type template struct {
	raw   []byte
	holes []int
}

const hole = "00000000000000000000000000000000"

func newTemplate(method, path, host, contentType, body string) *template {
	return templateOf(browserHead, method, path, host, contentType, body)
}

// browserHead is what Chromium 156 sends with a sendBeacon, in its order: reading
// all that is most of what an empty handler's server does, and some of it is used
// by a gateway (the device of a vital, the page's origin).
var browserHead = strings.ReplaceAll(`{method} {path} HTTP/1.1
Host: {host}
Connection: keep-alive
Content-Length: {length}
sec-ch-ua-platform: "Linux"
`+userAgent+`
sec-ch-ua: "Not:A-Brand";v="8", "Chromium";v="156"
Content-Type: {type}
sec-ch-ua-mobile: ?0
Accept-Language: en-GB
Accept: */*
Origin: https://shop.example
Sec-Fetch-Site: cross-site
Sec-Fetch-Mode: no-cors
Sec-Fetch-Dest: empty
Referer: https://shop.example/
Accept-Encoding: gzip, deflate, br, zstd

`, "\n", "\r\n")

// fewHead is as little as a client can send: the least that a server can have to read.
var fewHead = strings.ReplaceAll(`{method} {path} HTTP/1.1
Host: {host}
`+userAgent+`
Content-Type: {type}
Content-Length: {length}

`, "\n", "\r\n")

const userAgent = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"

func templateOf(head, method, path, host, contentType, body string) *template {
	fill := strings.NewReplacer("{method}", method, "{path}", path, "{host}", host, "{type}", contentType, "{length}", strconv.Itoa(len(body)))
	t := &template{raw: []byte(fill.Replace(head) + body)}
	raw := t.raw
	for at := 0; ; {
		i := bytes.Index(raw[at:], []byte(hole))
		if i < 0 {
			return t
		}
		t.holes = append(t.holes, at+i)
		at += i + len(hole)
	}
}

// clone gives each connection bytes of its own.
func (t *template) clone() *template {
	return &template{raw: bytes.Clone(t.raw), holes: t.holes}
}

func (t *template) fill(v relaytest.ID) []byte {
	for _, h := range t.holes {
		hex.Encode(t.raw[h:], v[:])
	}
	return t.raw
}

// withAttachment appends an attachment of n KiB that repeats the event's id,
// so that the other end can tell whether it came whole.
func withAttachment(envelope string, n int) string {
	size := n << 10
	return fmt.Sprintf("%s\n{\"type\":\"attachment\",\"length\":%d,\"filename\":\"state.bin\",\"content_type\":\"application/octet-stream\"}\n%s",
		envelope, size, strings.Repeat(hole, size/len(hole)))
}

// envelope is the shape of a stock browser SDK's error envelope, padded with
// stack frames to about size bytes. The event id stands in header and payload.
func envelope(key, size string) (string, error) {
	want, err := strconv.Atoi(size)
	if err != nil {
		return "", fmt.Errorf("size %q: %w", size, err)
	}
	now := time.Now().UTC()
	head := fmt.Sprintf(`{"event_id":"%s","sent_at":"%s","sdk":{"name":"sentry.javascript.react","version":"11.12.0"},"trace":{"environment":"production","release":"shop@1.4.2","public_key":"%s","trace_id":"e292a4fcb0104e9ebef9b1c9cf689836"}}`,
		hole, now.Format("2006-01-02T15:04:05.000Z"), key)
	frame := `{"filename":"https://shop.example/assets/checkout-C9yad1pJ.js","function":"renderWithHooks","in_app":true,"lineno":15,"colno":34979}`
	event := func(frames int) string {
		list := make([]string, frames)
		for i := range list {
			list[i] = frame
		}
		return fmt.Sprintf(`{"exception":{"values":[{"type":"TypeError","value":"Cannot read properties of undefined (reading 'unit')","stacktrace":{"frames":[%s]},"mechanism":{"type":"generic","handled":true}}]},"level":"error","event_id":"%s","platform":"javascript","request":{"url":"https://shop.example/checkout","headers":{"User-Agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"}},"contexts":{"trace":{"trace_id":"e292a4fcb0104e9ebef9b1c9cf689836","span_id":"b655c2191ddc62a1"}},"timestamp":%d.745,"environment":"production","release":"shop@1.4.2","sdk":{"name":"sentry.javascript.react","version":"11.12.0"}}`,
			strings.Join(list, ","), hole, now.Unix())
	}
	frames := 1
	for len(head)+len(event(frames))+20 < want {
		frames++
	}
	return head + "\n{\"type\":\"event\"}\n" + event(frames), nil
}

// postAttachment streams an envelope whose one item is an attachment of n MiB.
func postAttachment(gw *gateway, v relaytest.ID, n int) (int, error) {
	head := fmt.Sprintf("{\"event_id\":\"%s\"}\n{\"type\":\"attachment\",\"length\":%d,\"filename\":\"heap.bin\",\"content_type\":\"application/octet-stream\"}\n", v, n<<20)
	chunk := make([]byte, 1<<20)
	_, _ = rand.Read(chunk)
	parts := []io.Reader{strings.NewReader(head)}
	for range n {
		parts = append(parts, bytes.NewReader(chunk))
	}
	resp, err := http.Post("http://"+gw.public+gw.envelopePath(), "application/x-sentry-envelope", io.MultiReader(parts...))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// beacon is one LCP report of the web-vitals library, about 300 bytes. The
// hole makes each metric id its own.
func beacon() string {
	return fmt.Sprintf(`{"route":"/product/:id","release":"shop@1.4.2","environment":"production","device":"mobile","vitals":[{"name":"LCP","value":1834.2,"id":"v6-%s","delta":1834.2,"rating":"good","navigationType":"navigate","navigationURL":"https://shop.example/product/42"}]}`, hole)
}
