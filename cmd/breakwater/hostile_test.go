package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"

	"breakwater/relay/relaytest"
)

// maxGrowth is by how much any attack may raise the gateway's memory above
// that of the same process under ordinary load.
const maxGrowth = 32 << 20

// Where that does not hold: a crowd of slow connections, of which each holds a
// stack and buffers of net/http's, 16 KiB at least; bombs of encodings with
// large windows; and batches of thousands of small things, which are taken. What is
// in use rises by half of it at most; the collector lets the heap grow to twice
// of what is in use.
const (
	slowGrowth   = 96 << 20
	windowGrowth = 64 << 20
	batchGrowth  = 96 << 20
)

// attack is something a stranger may send.
type attack struct {
	name string
	// do runs it against the gateway and returns the answers by status; 0 is a
	// connection that was closed without one.
	do func(t *testing.T, g *gateway) map[int]int
	// want are the statuses that are right.
	want []int
	// most is by how much memory may grow; 0 is maxGrowth.
	most int64
}

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
func repeat(n, conns int, request func(host string) []byte) func(*testing.T, *gateway) map[int]int {
	return func(t *testing.T, g *gateway) map[int]int {
		req := request(g.public)
		return each(n, conns, func() int {
			w := &wire{addr: g.public}
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
func slow(n int, first, rest string) func(*testing.T, *gateway) map[int]int {
	return func(t *testing.T, g *gateway) map[int]int {
		return each(n, n, func() int {
			conn, err := net.DialTimeout("tcp", g.public, 20*time.Second)
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

func attacks(t *testing.T) []attack {
	const attachment = `{"type":"attachment","length":268435456,"filename":"a"}`
	list := []attack{}
	most := map[string]int64{"br": windowGrowth, "zstd": windowGrowth}
	for _, encoding := range []string{"gzip", "deflate", "br", "zstd"} {
		for item, head := range map[string]string{"event": `{"type":"event"}`, "attachment": attachment} {
			body := bomb(t, encoding, head, 256<<20)
			list = append(list, attack{
				fmt.Sprintf("%s bomb, an %s of 256 MiB in %d KiB", encoding, item, len(body)>>10),
				repeat(64, 8, plain(string(body), "Content-Encoding: "+encoding)),
				[]int{413, 503},
				most[encoding],
			})
		}
	}
	deep := strings.Repeat("[", 200_000) + strings.Repeat("]", 200_000)
	large := strings.Repeat("x", 100<<20)
	chunked := func(host string) []byte {
		var b bytes.Buffer
		fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n", envelopePath, host)
		start := "{}\n{\"type\":\"attachment\",\"length\":104857600}\n"
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(start), start)
		for range 100 {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", 1<<20, large[:1<<20])
		}
		b.WriteString("0\r\n\r\n")
		return b.Bytes()
	}
	var fields strings.Builder
	for i := range 5_000 {
		fmt.Fprintf(&fields, `"k%d":%d,`, i%7, i)
	}
	var large24 bytes.Buffer
	wide := brotli.NewWriterOptions(&large24, brotli.WriterOptions{Quality: 2, LGWin: 24})
	if _, err := io.WriteString(wide, large[:32<<20]); err != nil {
		t.Fatal(err)
	}
	if err := wide.Close(); err != nil {
		t.Fatal(err)
	}
	windowed := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8} // a frame that asks for a window of 2 GiB
	windowed = append(windowed, 0x01, 0x00, 0x00)
	return append(list,
		attack{"brotli that asks for 16 MiB", repeat(200, 8, plain(large24.String(), "Content-Encoding: br")), []int{400}, 0},
		attack{"encoding in an encoding", repeat(200, 8, plain("x", "Content-Encoding: gzip, gzip")), []int{415}, 0},
		attack{"zstd that asks for 2 GiB", repeat(200, 8, plain(string(windowed), "Content-Encoding: zstd")), []int{400, 413}, 0},
		attack{"gzip of noise", repeat(200, 8, plain(strings.Repeat("noise", 1000), "Content-Encoding: gzip")), []int{400}, 0},
		attack{"100 MB, announced", repeat(16, 8, plain(large)), []int{413, 408}, 0},
		attack{"100 MB in chunks", repeat(16, 8, chunked), []int{413, 408}, 0},
		attack{"an event of 5 MB", repeat(64, 8, plain(eventEnvelope(`{"message":"`+large[:5<<20]+`"}`))), []int{413}, 0},
		attack{"an envelope header of 5 MB", repeat(64, 8, plain(`{"a":"`+large[:5<<20]+`"}`+"\n")), []int{400, 413}, 0},
		attack{"a length beyond the end", repeat(200, 8, plain("{}\n{\"type\":\"event\",\"length\":99999999}\n{}")), []int{400}, 0},
		attack{"a length beyond numbers", repeat(200, 8, plain("{}\n{\"type\":\"event\",\"length\":99999999999999999999999}\n{}")), []int{400}, 0},
		attack{"two million empty lines", repeat(64, 8, plain("{}\n"+strings.Repeat("\n", 2<<20))), []int{200, 400, 413}, 0},
		attack{"100,000 items", repeat(32, 8, plain("{}\n"+strings.Repeat("{\"type\":\"session\",\"length\":2}\n{}\n", 100_000))), []int{400, 413}, 0},
		attack{"JSON 200,000 deep", repeat(200, 8, plain(eventEnvelope(`{"extra":`+deep+`}`))), []int{400}, 0},
		attack{"an envelope header 200,000 deep", repeat(200, 8, plain(`{"trace":`+deep+"}\n{\"type\":\"event\"}\n{}")), []int{400}, 0},
		attack{"a beacon 10,000 deep", repeat(200, 8, func(host string) []byte {
			return postRequest(host, "/api/1/vitals/?key="+testKey, strings.Repeat(`{"vitals":[`, 5_000)+strings.Repeat("]}", 5_000))
		}), []int{400}, 0},
		attack{"a crash report 200,000 deep", repeat(200, 8, func(host string) []byte {
			return postRequest(host, "/api/1/crash/?key="+testKey, `{"message":"x","tags":`+deep+`}`)
		}), []int{400}, 0},
		attack{"a minidump packed by xz with a dictionary of 64 MiB", repeat(64, 8, dumpRequest(xzOf(t, strings.Repeat("MDMP", 1000)), "")), []int{400}, 0},
		attack{"a minidump packed by xz, 32 MiB of zeros", repeat(24, 8, dumpRequest(xzOf(t, "MDMP"+strings.Repeat("\x00", 32<<20), "-6"), "")), []int{413, 503}, windowGrowth},
		attack{"a minidump packed by zstd, 64 MiB of zeros", repeat(64, 8, dumpRequest(zstded(t, "MDMP"+strings.Repeat("\x00", 64<<20)), "")), []int{413, 503}, windowGrowth},
		attack{"a form of 2,000 files", repeat(64, 8, dumpRequest(strings.Repeat("--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nx\r\n", 2000)+"--B--\r\n", "multipart/form-data; boundary=B")), []int{413}, 0},
		attack{"a form's header of 4 MB", repeat(64, 8, dumpRequest("--B\r\nX: "+large[:4<<20]+"\r\n\r\n", "multipart/form-data; boundary=B")), []int{400}, 0},
		attack{"MessagePack 200,000 deep", repeat(64, 8, dumpRequest("--B\r\nContent-Disposition: form-data; name=\"__sentry-event\"\r\n\r\n"+strings.Repeat("\x91", 200_000)+"\r\n--B\r\nContent-Disposition: form-data; name=\"upload_file_minidump\"\r\n\r\nMDMP\r\n--B--\r\n", "multipart/form-data; boundary=B")), []int{200}, 0},
		attack{"40,000 browser reports", repeat(64, 8, func(host string) []byte {
			return typed(postRequest(host, nelPath, "["+strings.Repeat(`{"type":"coep"},`, 40_000)+"{}]"), "application/reports+json")
		}), []int{200, 400}, 0},
		attack{"OTLP of half a million empty attributes", repeat(64, 8, otlpRequest("traces", otlpNest(otlpField("\x12", strings.Repeat("\x4a\x00", 1<<19-64))), "application/x-protobuf")), []int{400, 503}, windowGrowth},
		attack{"OTLP of spans of 120 KB, of empty attributes", repeat(32, 8, otlpRequest("traces", otlpNest(strings.Repeat(otlpField("\x12", strings.Repeat("\x4a\x00", 60_000)), 8)), "application/x-protobuf")), []int{400, 503}, windowGrowth},
		attack{"OTLP of half a million empty records", repeat(64, 8, otlpRequest("logs", otlpNest(strings.Repeat("\x12\x00", 1<<19-64)), "application/x-protobuf")), []int{200, 503}, batchGrowth},
		attack{"OTLP of 15,000 records under a resource of 120 KB", repeat(32, 8, otlpRequest("logs", otlpField("\x0a", otlpField("\x0a", strings.Repeat(otlpField("\x0a", "\x0a\x01k\x12"+otlpLength(3002)+otlpField("\x0a", strings.Repeat("v", 2999))), 40))+otlpField("\x12", strings.Repeat("\x12\x00", 15_000))), "application/x-protobuf")), []int{200, 503}, batchGrowth},
		attack{"OTLP 100,000 deep", repeat(64, 8, otlpRequest("logs", `{"resourceLogs":`+deep+`}`, "application/json")), []int{400}, 0},
		attack{"300,000 Faro entries", repeat(64, 8, faroRequest(`{"exceptions":[`+strings.Repeat("1,", 100_000)+`1],"logs":[`+strings.Repeat("{},", 100_000)+`{}],"measurements":[`+strings.Repeat("1,", 100_000)+`1]}`)), []int{202, 503}, batchGrowth},
		attack{"Faro of 2,000 logs under a session of 4 KB", repeat(32, 8, faroRequest(`{"meta":{"session":{"id":"`+large[:4<<10]+`"},"page":{"url":"`+large[:8<<10]+`"}},"logs":[`+strings.Repeat(`{"message":"x"},`, 2_000)+`{}]}`)), []int{202, 503}, batchGrowth},
		attack{"Faro 200,000 deep", repeat(64, 8, faroRequest(`{"logs":`+deep+`}`)), []int{400}, 0},
		attack{"duplicate keys", repeat(200, 8, plain(eventEnvelope(`{`+fields.String()+`"message":"a","message":"b"}`))), []int{200}, 0},
		attack{"text that is not UTF-8", repeat(200, 8, plain(eventEnvelope("{\"message\":\"\xff\xfe\xc0\x80\xed\xa0\x80\",\"tags\":{\"\xff\":\"\\ud800\"}}"))), []int{200}, 0},
		attack{"numbers beyond all bounds", repeat(200, 8, plain(eventEnvelope(`{"timestamp":1e999999,"extra":{"a":`+strings.Repeat("9", 10_000)+`,"b":-0.`+strings.Repeat("0", 10_000)+`1}}`))), []int{200}, 0},
		attack{"a header of 1 MB", repeat(64, 8, plain("{}", "X-Flood: "+large[:1<<20])), []int{431}, 0},
		attack{"10,000 headers", repeat(64, 8, plain("{}", strings.TrimSuffix(strings.Repeat("X-Flood: 1234567890\r\n", 10_000), "\r\n"))), []int{431}, 0},
		attack{"900 headers", repeat(200, 8, plain(anEnvelope, strings.TrimSuffix(strings.Repeat("X-Flood: 1234567890\r\n", 900), "\r\n"))), []int{200}, 0},
		attack{"2,000 slow connections, half in the header, half in the body", func(t *testing.T, g *gateway) map[int]int {
			all := make(chan map[int]int, 2)
			go func() { all <- slow(1000, "POST "+envelopePath+" HTTP/1.1\r\nHost: x\r\nX-A: ", "drip")(t, g) }()
			go func() {
				all <- slow(1000, "POST "+envelopePath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{}\n{\"type\":\"event\"}\n", "drip")(t, g)
			}()
			got := <-all
			for status, n := range <-all {
				got[status] += n
			}
			return got
		}, []int{0, 408}, slowGrowth},
		attack{"not HTTP", repeat(200, 8, func(string) []byte {
			return []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is not HTTP\r\n\r\n")
		}), []int{400}, 0},
	)
}

// collect lets the process sweep up what the attack before left, so that each
// is measured from rest.
func (g *gateway) collect(t *testing.T) {
	t.Helper()
	resp, err := http.Get("http://" + g.private + "/debug/pprof/heap?gc=1")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// What strangers can think of, each against a warm process with ordinary
// limits: it is answered as it should be, the process's memory rises by at
// most 32 MiB (more under 2,000 slow connections and under bombs with large windows), and a well-behaved client is served all the time.
func TestHostileRequests(t *testing.T) {
	up := startUpstream(t, relaytest.Options{IDsOnly: true})
	g := newGateway(t, doorConfig(up, "    storm: {then_one_in: 1}\n", "limits: {per_ip: {rate: 100000/s, burst: 1000000}, read_timeout: 3s}\n")).start()
	ordinary := func(n int) []byte {
		return postRequest(g.public, envelopePath, errorEnvelope(t, n, "TypeError", "shop@1"))
	}
	list := attacks(t)
	// Warm: ordinary requests on as many connections as a busy minute has, and
	// each decoder once.
	blast(t, g.public, 256, 4000, time.Time{}, ordinary)
	eventually(t, 60*time.Second, g.emptySpool)
	alone := startQuiet(g.public, ordinary)
	time.Sleep(time.Second) // how long to measure
	p99 := alone.end(t)
	ordinarily, _ := g.rss()
	t.Logf("alone: p99 %v, memory %s", p99.Round(10*time.Microsecond), mib(ordinarily))

	for _, a := range list {
		t.Run(a.name, func(t *testing.T) {
			g.collect(t)
			g.forgetPeak()
			before, _ := g.rss()
			q := startQuiet(g.public, ordinary)
			began := time.Now()
			got := a.do(t, g)
			took := time.Since(began)
			beside := q.end(t)
			_, peak := g.rss()
			// At rest the process has given back what ordinary load takes.
			grown := peak - max(before, ordinarily)
			t.Logf("%v in %v; memory %s and at most %s more; p99 of others %v, ratio %.1f", got, took.Round(time.Millisecond), mib(before), mib(max(0, grown)), beside.Round(10*time.Microsecond), float64(beside)/float64(p99))
			for status, n := range got {
				right := false
				for _, want := range a.want {
					right = right || status == want
				}
				if !right {
					t.Errorf("%d were answered %d, want %v", n, status, a.want)
				}
			}
			if grown > cmp.Or(a.most, maxGrowth) {
				t.Errorf("memory grew by %s", mib(grown))
			}
		})
	}
	eventually(t, 60*time.Second, g.emptySpool)
	if off := imbalance(g.scrape()); off != 0 {
		t.Errorf("the ledger is off by %v", off)
	}
	if strings.Contains(g.stdout.String(), "fault of ours") {
		t.Error("something panicked")
	}
}
