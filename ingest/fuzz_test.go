package ingest_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"breakwater/ingest"
)

// FuzzHandler sends anything anywhere: whatever comes in, there is one answer
// with CORS headers, the books balance, and what reached the sink is whole.
func FuzzHandler(f *testing.F) {
	for _, c := range loadFixtures(f, "sentry-browser")[:20] {
		f.Add(c.Method, c.Path, "", "", "", c.body)
	}
	f.Add("POST", "/api//1/store", "gzip", "Sentry sentry_key="+webKey, "1.2.3.4", []byte(gz(event)))
	f.Add("POST", "/t/", "zstd", "Basic Og==", "[::1]:0, x", []byte("{}"))
	f.Add("GET", "/schemas/%2e%2e%2fx.schema.json", "br", "", "", []byte{})
	f.Add("POST", "/api/4201/vitals?key="+webKey, "deflate", "", "", []byte("LCP bad"))
	f.Fuzz(func(t *testing.T, method, target, encoding, authorization, forwarded string, body []byte) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(u.Path, "/") || method == "" || strings.ContainsAny(method, " \r\n\x00") {
			return
		}
		e := newEdge(t, small, func(o *ingest.Options) { o.Config.TrustedProxies = append(o.Config.TrustedProxies, loopback) })
		r := &http.Request{
			Method: method, URL: u, Host: "h", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: "127.0.0.1:1",
			Header: http.Header{
				"Content-Encoding": {encoding}, "X-Sentry-Auth": {authorization}, "Authorization": {authorization},
				"X-Forwarded-For": {forwarded}, "Origin": {forwarded}, "Content-Type": {encoding},
			},
			Body: readCloser{bytes.NewReader(body)}, ContentLength: -1,
		}
		w := e.do(r)
		if w.Code >= 500 && !bytes.Contains(body, []byte("panic")) {
			t.Errorf("status %d: %s", w.Code, e.logs)
		}
		if w.Header().Get("Access-Control-Allow-Origin") == "" {
			t.Error("no CORS headers")
		}
		if w.Code >= 400 && method != http.MethodHead {
			checkAnswer(t, w.Header(), w.Body.Bytes(), w.Code, "", method)
		}
		e.ledger.balanced(t)
		if len(e.sink.records) > 0 && w.Code != 200 {
			t.Errorf("stored, but answered %d", w.Code)
		}
		if len(e.sink.records) == 0 && e.spiller.open() > 0 {
			t.Error("a file was left behind")
		}
		if len(e.sink.records) > 1 {
			t.Error("stored twice")
		}
	})
}
