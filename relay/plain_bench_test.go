package relay

import (
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// BenchmarkSend is what sending an error of 4 KB and reading the answer costs,
// by 16 workers, both ways, before an upstream in the same process that does
// next to nothing: its part is in both. CPU of the process, not time: the
// machine may be busy.
func BenchmarkSend(b *testing.B) {
	body := strings.Repeat("x", 4096)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 16<<10)
				for n := 0; ; {
					got, err := c.Read(buf[n:])
					if err != nil {
						return
					}
					if n += got; n > len(body) && strings.HasSuffix(string(buf[n-2:n]), "xx") {
						n = 0
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
					}
				}
			}()
		}
	}()
	t := NewTransport(TransportConfig{Dial: (&net.Dialer{}).DialContext, Connections: 16})
	defer t.CloseIdleConnections()
	for name, way := range map[string]http.RoundTripper{"plain": t, "net-http": t.Transport} {
		b.Run(name, func(b *testing.B) {
			before := processCPU(b)
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://"+l.Addr().String()+"/api/1/envelope/", strings.NewReader(body))
					if err != nil {
						b.Error(err)
						return
					}
					r.Header["Idempotency-Key"] = []string{}
					resp, err := way.RoundTrip(r)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
			b.ReportMetric((processCPU(b)-before)/float64(b.N)*1e6, "cpu-µs/op")
		})
	}
}

// processCPU is what this process has used so far, in seconds.
func processCPU(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
