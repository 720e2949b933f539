package ingest_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"breakwater/ingest"
)

// framed is a connection of HTTP/2 whose every frame a test sends itself.
type framed struct {
	t testing.TB
	*http2.Framer
	conn net.Conn
}

func frames(t testing.TB, addr string, trust *tls.Config) *framed {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, trust)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	f := &framed{t, http2.NewFramer(conn, conn), conn}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return f
}

// request begins a stream; whole says that it has no body.
func (f *framed) request(stream uint32, method, path string, whole bool) {
	f.t.Helper()
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, h := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", "h.example"}, {":path", path}} {
		_ = enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Bytes(), EndStream: whole, EndHeaders: true}); err != nil {
		f.t.Fatal(err)
	}
}

// until reads frames to one that is wanted.
func (f *framed) until(want func(http2.Frame) bool) error {
	for {
		switch got, err := f.ReadFrame(); {
		case err != nil:
			return err
		case want(got):
			return nil
		}
	}
}

// answered waits for the end of a stream's answer.
func (f *framed) answered(stream uint32) {
	f.t.Helper()
	if err := f.until(func(got http2.Frame) bool {
		return got.Header().StreamID == stream && got.Header().Flags.Has(http2.FlagDataEndStream)
	}); err != nil {
		f.t.Fatal(err)
	}
}

// ping is nil when the other end has read all that was sent, and lives.
func (f *framed) ping() error {
	if err := f.WritePing(false, [8]byte{1}); err != nil {
		return err
	}
	return f.until(func(got http2.Frame) bool {
		p, ok := got.(*http2.PingFrame)
		return ok && p.IsAck()
	})
}

// What HTTP/2 sends between two requests is none; a request that takes its time
// is one, also beside others that were quick. Who has been quick is not the slowest.
func TestSendersOfHTTP2(t *testing.T) {
	donor := httptest.NewTLSServer(http.NotFoundHandler()) // lends its certificate
	defer donor.Close()
	files := writeCertificate(t, donor.TLS.Certificates[0])
	e, addr := overTCP(t, func(o *ingest.Options) { o.Config.TLS, o.Config.SendingPerIP = files, 3 })
	trust := donor.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trust.NextProtos = []string{"h2"}
	var resting []*framed
	for range 5 {
		f := frames(t, addr, trust)
		f.request(1, http.MethodGet, "/healthz", true)
		f.answered(1)
		if err := f.ping(); err != nil {
			t.Fatal(err)
		}
		resting = append(resting, f)
	}
	for i, f := range resting {
		if err := f.ping(); err != nil {
			t.Errorf("connection %d, which rests, was cut off: %v", i, err)
		}
	}
	upload := func(f *framed, inFlight float64) {
		t.Helper()
		f.request(3, http.MethodPost, envelopePath, false)
		if err := f.WriteData(3, false, []byte("{}\n")); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() error {
			if n := metricValue(t, e, "breakwater_http_requests_in_flight"); n != inFlight {
				return fmt.Errorf("%v requests are in flight, want %v", n, inFlight)
			}
			return nil
		})
	}
	busy, slow := resting[0], resting[1]
	upload(busy, 1)
	upload(slow, 2)
	busy.request(5, http.MethodPost, envelopePath, false)
	if err := busy.WriteData(5, true, []byte(env(goodEvent))); err != nil {
		t.Fatal(err)
	}
	busy.answered(5)
	upload(resting[2], 3)
	if n := metricValue(t, e, "breakwater_http_connections_cut_total"); n != 0 {
		t.Fatalf("%v connections are cut off when three send", n)
	}
	upload(resting[3], 3) // one too many
	if err := slow.until(func(http2.Frame) bool { return false }); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the slowest goes on")
	}
	for i, f := range resting {
		if err := f.ping(); f != slow && err != nil {
			t.Errorf("connection %d: %v", i, err)
		}
	}
	if n := metricValue(t, e, "breakwater_http_connections_cut_total"); n != 1 {
		t.Errorf("%v connections are cut off, want 1", n)
	}
}
