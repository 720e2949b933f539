package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/config"
	"breakwater/cmd/breakwater/redistest"
	"breakwater/ingest"
	"breakwater/ingest/auth"
	"breakwater/schemas"
)

// nowhere takes records and forgets them: the benchmark is of the door alone.
type nowhere struct{}

func (nowhere) Append(context.Context, *schemas.Record) error { return nil }

// door is the whole public edge with every default on, before a sink that
// costs nothing.
func door(b testing.TB) http.Handler { return doorWith(b, "") }

// doorWith is door with further keys of limits.
func doorWith(b testing.TB, more string) http.Handler {
	b.Helper()
	dir := b.TempDir()
	path := filepath.Join(dir, "breakwater.yml")
	text := strings.NewReplacer("LISTEN", "127.0.0.1:0", "ADMIN", "127.0.0.1:0", "DATA", dir).Replace(oneProject) +
		"limits: {per_ip: {rate: 1000000/s, burst: 10000000}" + more + "}\n"
	text = strings.Replace(text, "    vitals:", "    limits: {per_key: {rate: 1000000/s, burst: 10000000}}\n    vitals:", 1)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg, err := config.Load(path, func(string) (string, bool) { return "", false })
	if err != nil {
		b.Fatal(err)
	}
	a, err := newApp(b.Context(), path, cfg, func(string) (string, bool) { return "", false }, zerolog.Nop(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = a.stop() })
	ctx, cancel := context.WithCancel(context.Background())
	var room sync.WaitGroup
	room.Go(func() { _ = keepRoom(ctx, time.Now) }) // as in the process
	b.Cleanup(func() { cancel(); room.Wait() })
	settings, err := a.edgeSettings(cfg)
	if err != nil {
		b.Fatal(err)
	}
	edge, err := ingest.New(ingest.Options{
		Settings: settings, Projects: a.projects, Auth: auth.Auth{}, Sink: nowhere{}, Ledger: a.ledger, Recorder: a.vitals,
		Logger: zerolog.Nop(), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		b.Fatal(err)
	}
	return edge
}

// BenchmarkDoor is what one request costs the edge, all defaults on, without
// the network and the disk. The events differ in their message, so that storm
// control thins nothing out. ns/op is with making the request and recording the
// answer; door-cpu-µs/op is without: the user and system time of all cores,
// collector included, less that of as many of the same requests to a handler
// that only reads their bodies.
func BenchmarkDoor(b *testing.B) {
	frame := `{"filename":"https://shop.example/assets/checkout-C9yad1pJ.js","function":"renderWithHooks","in_app":true,"lineno":15,"colno":34979}`
	event := `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","sent_at":"2026-11-24T12:00:00.000Z"}
{"type":"event"}
{"exception":{"values":[{"type":"TypeError","value":"Cannot read %s","stacktrace":{"frames":[` + strings.Repeat(frame+",", 24) + frame + `]},"mechanism":{"type":"generic","handled":true}}]},"level":"error","platform":"javascript","request":{"url":"https://shop.example/checkout?step=2","headers":{"User-Agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"}},"release":"shop@1.4.2","environment":"production"}`
	word := func(n int) string { // letters only: digits are folded out of fingerprints
		var w []byte
		for n += 1000; n > 0; n /= 26 {
			w = append(w, byte('a'+n%26))
		}
		return string(w)
	}
	for _, c := range []struct {
		name, path string
		body       func(n int) string
	}{
		{"envelope-4KB", "/api/1/envelope/?sentry_key=" + testKey, func(n int) string { return fmt.Sprintf(event, word(n)) }},
		{"beacon-300B", "/api/1/vitals/?key=" + testKey, func(n int) string {
			return fmt.Sprintf(`{"route":"/product/:id","release":"shop@1.4.2","environment":"production","device":"mobile","vitals":[{"name":"LCP","value":1834.2,"id":"v6-%d","delta":1834.2,"rating":"good","navigationType":"navigate","navigationURL":"https://shop.example/product/42"}]}`, n)
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := door(b)
			send := func(h http.Handler, n int) {
				r := httptest.NewRequest(http.MethodPost, c.path, bytes.NewReader([]byte(c.body(n))))
				r.RemoteAddr = "192.0.2.7:1234"
				w := httptest.NewRecorder()
				if h.ServeHTTP(w, r); w.Code/100 != 2 {
					b.Fatalf("answered %d %s", w.Code, w.Body)
				}
			}
			b.SetBytes(int64(len(c.body(0))))
			b.ReportAllocs()
			began, n := cpuSeconds(b), 0
			for b.Loop() {
				n++
				send(h, n)
			}
			spent := cpuSeconds(b) - began
			began = cpuSeconds(b)
			for i := range n {
				send(http.HandlerFunc(readAlone), i)
			}
			spent -= cpuSeconds(b) - began
			b.ReportMetric(1e6*spent/float64(n), "door-cpu-µs/op")
		})
	}
}

// readAlone reads a body and answers: what a request costs before the door has
// done anything.
func readAlone(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusNoContent)
}

// BenchmarkShared is the door alone and with its limits in Redis on this machine,
// by one client after the other and by 128 at a time: their difference is what
// sharing costs a request.
func BenchmarkShared(b *testing.B) {
	redis := fmt.Sprintf(", redis: {url: %q, timeout: 2s}", redistest.Start(b).URL())
	for _, limits := range []struct{ name, more string }{{"alone", ""}, {"redis", redis}} {
		for _, clients := range []int{1, 128} {
			b.Run(fmt.Sprintf("%s-%d", limits.name, clients), func(b *testing.B) {
				h := doorWith(b, limits.more)
				var n atomic.Int64
				post := func() {
					body := strings.Replace(anEnvelope, "hello", "hello "+letters(int(n.Add(1))), 1)
					r := httptest.NewRequest(http.MethodPost, "/api/1/envelope/?sentry_key="+testKey, strings.NewReader(body))
					r.RemoteAddr = "192.0.2.7:1234"
					w := httptest.NewRecorder()
					if h.ServeHTTP(w, r); w.Code != http.StatusOK {
						b.Errorf("answered %d %s", w.Code, w.Body)
					}
				}
				if clients == 1 {
					for b.Loop() {
						post()
					}
					return
				}
				b.SetParallelism(max(1, clients/runtime.GOMAXPROCS(0)))
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						post()
					}
				})
			})
		}
	}
}

// still is a connection that answers nobody and allocates nothing.
type still struct {
	header http.Header
	status int
}

func (s *still) Header() http.Header               { return s.header }
func (s *still) Write(p []byte) (int, error)       { return len(p), nil }
func (s *still) WriteHeader(status int)            { s.status = status }
func (s *still) SetReadDeadline(_ time.Time) error { return nil }

// replayed is a body that can be sent again.
type replayed struct{ bytes.Reader }

func (*replayed) Close() error { return nil }

// TestBeaconAllocations counts what the whole path of a beacon allocates,
// beside what net/http does for any request. The race detector allocates on its
// own: under it the whole path is still walked, but its number says nothing.
func TestBeaconAllocations(t *testing.T) {
	send := beaconSender(t)
	for range 500 {
		send()
	}
	got := testing.AllocsPerRun(2000, send)
	for range 4 { // what else runs in this process allocates, too, now and then
		got = min(got, testing.AllocsPerRun(2000, send))
	}
	if t.Logf("%v allocations", got); got > 12 && !raceDetector {
		t.Errorf("a beacon costs %v allocations, want 12 at most", got)
	}
}

// ofBrowser are the headers Chromium sends with navigator.sendBeacon, as they were
// captured: a request without them costs less than one of the field.
var ofBrowser = map[string]string{
	"Connection": "keep-alive", "Content-Type": "text/plain;charset=UTF-8",
	"User-Agent":         "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
	"sec-ch-ua":          `"Not:A-Brand";v="8", "Chromium";v="156"`,
	"sec-ch-ua-mobile":   "?0",
	"sec-ch-ua-platform": `"Linux"`,
	"Accept":             "*/*", "Accept-Language": "en-GB", "Accept-Encoding": "gzip, deflate, br, zstd",
	"Origin": "https://shop.example", "Referer": "https://shop.example/",
	"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty",
}

// beaconSender sends a beacon with an id of its own to a door on each call, and
// allocates nothing itself.
func beaconSender(t testing.TB) func() {
	h := door(t)
	text := []byte(`{"route":"/product/:id","release":"shop@1.4.2","environment":"production","device":"mobile","vitals":[{"name":"LCP","value":1834.2,"id":"v6-00000000","delta":1834.2,"rating":"good","navigationType":"navigate","navigationURL":"https://shop.example/product/42"}]}`)
	id := text[bytes.Index(text, []byte("v6-"))+3:][:8]
	r := httptest.NewRequest(http.MethodPost, "/api/1/vitals/?key="+testKey, nil)
	r.RemoteAddr, r.ContentLength = "192.0.2.7:1234", int64(len(text))
	for name, value := range ofBrowser {
		r.Header.Set(name, value)
	}
	r.Header.Set("Content-Length", strconv.Itoa(len(text)))
	body, w := &replayed{}, &still{header: http.Header{}}
	return func() {
		for i := len(id) - 1; ; i-- { // the next number
			if id[i]++; id[i] <= '9' {
				break
			}
			id[i] = '0'
		}
		body.Reset(text)
		r.Body = body
		clear(w.header)
		if h.ServeHTTP(w, r); w.status != http.StatusNoContent {
			t.Fatalf("answered %d", w.status)
		}
	}
}

// BenchmarkBeacon is what the door adds to an empty handler for a beacon, while as many
// page views wait to settle as may.
func BenchmarkBeacon(b *testing.B) {
	send := beaconSender(b)
	for range 110_000 {
		send()
	}
	b.ReportAllocs()
	cpu := cpuSeconds(b)
	for b.Loop() {
		send()
	}
	b.ReportMetric((cpuSeconds(b)-cpu)/float64(b.N)*1e6, "cpu-us/op")
}
