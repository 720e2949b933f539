package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
)

func attacks(t *testing.T) []attack {
	const attachment = `{"type":"attachment","length":268435456,"filename":"a"}`
	list := []attack{}
	for _, encoding := range []string{"gzip", "deflate", "br", "zstd"} {
		for item, head := range map[string]string{"event": `{"type":"event"}`, "attachment": attachment} {
			body := bomb(t, encoding, head, 256<<20)
			list = append(list, attack{
				fmt.Sprintf("%s bomb, an %s of 256 MiB in %d KiB", encoding, item, len(body)>>10),
				repeat(64, 8, plain(string(body), "Content-Encoding: "+encoding)),
				[]int{413, 503},
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
		attack{"brotli that asks for 16 MiB", repeat(200, 8, plain(large24.String(), "Content-Encoding: br")), []int{400}},
		attack{"encoding in an encoding", repeat(200, 8, plain("x", "Content-Encoding: gzip, gzip")), []int{415}},
		attack{"zstd that asks for 2 GiB", repeat(200, 8, plain(string(windowed), "Content-Encoding: zstd")), []int{400, 413}},
		attack{"gzip of noise", repeat(200, 8, plain(strings.Repeat("noise", 1000), "Content-Encoding: gzip")), []int{400}},
		attack{"100 MB, announced", repeat(16, 8, plain(large)), []int{413, 408}},
		attack{"100 MB in chunks", repeat(16, 8, chunked), []int{413, 408}},
		attack{"an event of 5 MB", repeat(64, 8, plain(eventEnvelope(`{"message":"`+large[:5<<20]+`"}`))), []int{413}},
		attack{"an envelope header of 5 MB", repeat(64, 8, plain(`{"a":"`+large[:5<<20]+`"}`+"\n")), []int{400, 413}},
		attack{"a length beyond the end", repeat(200, 8, plain("{}\n{\"type\":\"event\",\"length\":99999999}\n{}")), []int{400}},
		attack{"a length beyond numbers", repeat(200, 8, plain("{}\n{\"type\":\"event\",\"length\":99999999999999999999999}\n{}")), []int{400}},
		attack{"two million empty lines", repeat(64, 8, plain("{}\n"+strings.Repeat("\n", 2<<20))), []int{200, 400, 413}},
		attack{"100,000 items", repeat(32, 8, plain("{}\n"+strings.Repeat("{\"type\":\"session\",\"length\":2}\n{}\n", 100_000))), []int{400, 413}},
		attack{"JSON 200,000 deep", repeat(200, 8, plain(eventEnvelope(`{"extra":`+deep+`}`))), []int{400}},
		attack{"an envelope header 200,000 deep", repeat(200, 8, plain(`{"trace":`+deep+"}\n{\"type\":\"event\"}\n{}")), []int{400}},
		attack{"a beacon 10,000 deep", repeat(200, 8, func(host string) []byte {
			return postRequest(host, "/api/1/vitals/?key="+testKey, strings.Repeat(`{"vitals":[`, 5_000)+strings.Repeat("]}", 5_000))
		}), []int{400}},
		attack{"a crash report 200,000 deep", repeat(200, 8, func(host string) []byte {
			return postRequest(host, "/api/1/crash/?key="+testKey, `{"message":"x","tags":`+deep+`}`)
		}), []int{400}},
		attack{"a minidump packed by xz with a dictionary of 64 MiB", repeat(64, 8, dumpRequest(xzOf(t, strings.Repeat("MDMP", 1000)), "")), []int{400}},
		attack{"a minidump packed by xz, 32 MiB of zeros", repeat(24, 8, dumpRequest(xzOf(t, "MDMP"+strings.Repeat("\x00", 32<<20), "-6"), "")), []int{413, 503}},
		attack{"a minidump packed by zstd, 64 MiB of zeros", repeat(64, 8, dumpRequest(zstded(t, "MDMP"+strings.Repeat("\x00", 64<<20)), "")), []int{413, 503}},
		attack{"a form of 2,000 files", repeat(64, 8, dumpRequest(strings.Repeat("--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nx\r\n", 2000)+"--B--\r\n", "multipart/form-data; boundary=B")), []int{413}},
		attack{"a form's header of 4 MB", repeat(64, 8, dumpRequest("--B\r\nX: "+large[:4<<20]+"\r\n\r\n", "multipart/form-data; boundary=B")), []int{400}},
		attack{"MessagePack 200,000 deep", repeat(64, 8, dumpRequest("--B\r\nContent-Disposition: form-data; name=\"__sentry-event\"\r\n\r\n"+strings.Repeat("\x91", 200_000)+"\r\n--B\r\nContent-Disposition: form-data; name=\"upload_file_minidump\"\r\n\r\nMDMP\r\n--B--\r\n", "multipart/form-data; boundary=B")), []int{200}},
		attack{"40,000 browser reports", repeat(64, 8, func(host string) []byte {
			return typed(postRequest(host, nelPath, "["+strings.Repeat(`{"type":"coep"},`, 40_000)+"{}]"), "application/reports+json")
		}), []int{200, 400}},
		attack{"OTLP of half a million empty attributes", repeat(64, 8, otlpRequest("traces", otlpNest(otlpField("\x12", strings.Repeat("\x4a\x00", 1<<19-64))), "application/x-protobuf")), []int{400, 503}},
		attack{"OTLP of spans of 120 KB, of empty attributes", repeat(32, 8, otlpRequest("traces", otlpNest(strings.Repeat(otlpField("\x12", strings.Repeat("\x4a\x00", 60_000)), 8)), "application/x-protobuf")), []int{400, 503}},
		attack{"OTLP of half a million empty records", repeat(64, 8, otlpRequest("logs", otlpNest(strings.Repeat("\x12\x00", 1<<19-64)), "application/x-protobuf")), []int{200, 503}},
		attack{"OTLP of 15,000 records under a resource of 120 KB", repeat(32, 8, otlpRequest("logs", otlpField("\x0a", otlpField("\x0a", strings.Repeat(otlpField("\x0a", "\x0a\x01k\x12"+otlpLength(3002)+otlpField("\x0a", strings.Repeat("v", 2999))), 40))+otlpField("\x12", strings.Repeat("\x12\x00", 15_000))), "application/x-protobuf")), []int{200, 503}},
		attack{"OTLP 100,000 deep", repeat(64, 8, otlpRequest("logs", `{"resourceLogs":`+deep+`}`, "application/json")), []int{400}},
		attack{"300,000 Faro entries", repeat(64, 8, faroRequest(`{"exceptions":[`+strings.Repeat("1,", 100_000)+`1],"logs":[`+strings.Repeat("{},", 100_000)+`{}],"measurements":[`+strings.Repeat("1,", 100_000)+`1]}`)), []int{202, 503}},
		attack{"Faro of 2,000 logs under a session of 4 KB", repeat(32, 8, faroRequest(`{"meta":{"session":{"id":"`+large[:4<<10]+`"},"page":{"url":"`+large[:8<<10]+`"}},"logs":[`+strings.Repeat(`{"message":"x"},`, 2_000)+`{}]}`)), []int{202, 503}},
		attack{"Faro 200,000 deep", repeat(64, 8, faroRequest(`{"logs":`+deep+`}`)), []int{400}},
		attack{"duplicate keys", repeat(200, 8, plain(eventEnvelope(`{`+fields.String()+`"message":"a","message":"b"}`))), []int{200}},
		attack{"text that is not UTF-8", repeat(200, 8, plain(eventEnvelope("{\"message\":\"\xff\xfe\xc0\x80\xed\xa0\x80\",\"tags\":{\"\xff\":\"\\ud800\"}}"))), []int{200}},
		attack{"numbers beyond all bounds", repeat(200, 8, plain(eventEnvelope(`{"timestamp":1e999999,"extra":{"a":`+strings.Repeat("9", 10_000)+`,"b":-0.`+strings.Repeat("0", 10_000)+`1}}`))), []int{200}},
		attack{"a header of 1 MB", repeat(64, 8, plain("{}", "X-Flood: "+large[:1<<20])), []int{431}},
		attack{"10,000 headers", repeat(64, 8, plain("{}", strings.TrimSuffix(strings.Repeat("X-Flood: 1234567890\r\n", 10_000), "\r\n"))), []int{431}},
		attack{"900 headers", repeat(200, 8, plain(anEnvelope, strings.TrimSuffix(strings.Repeat("X-Flood: 1234567890\r\n", 900), "\r\n"))), []int{200}},
		attack{"2,000 slow connections, half in the header, half in the body", func(addr string) map[int]int {
			all := make(chan map[int]int, 2)
			go func() { all <- slow(1000, "POST "+envelopePath+" HTTP/1.1\r\nHost: x\r\nX-A: ", "drip")(addr) }()
			go func() {
				all <- slow(1000, "POST "+envelopePath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{}\n{\"type\":\"event\"}\n", "drip")(addr)
			}()
			got := <-all
			for status, n := range <-all {
				got[status] += n
			}
			return got
		}, []int{0, 408}},
		attack{"not HTTP", repeat(200, 8, func(string) []byte {
			return []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 this is not HTTP\r\n\r\n")
		}), []int{400}},
	)
}
