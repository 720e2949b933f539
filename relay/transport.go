package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync"
	"time"
)

// TransportConfig is what transports of destinations differ in.
type TransportConfig struct {
	ConnectTimeout time.Duration // 3 s
	Connections    int           // idle ones kept; 8
	RootCAs        *x509.CertPool
	// Dial replaces the network, and proxies from the environment.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// sendBuffer is how much of a request a connection gathers before it writes, in
// bytes: an error's envelope with its headers, which Go's 4 KiB would cut in two
// writes.
const sendBuffer = 16 << 10

// NewTransport is how destinations reach the network by HTTP: short times to
// connect, dead HTTP/2 connections found by pings, bounded answers' headers.
func NewTransport(c TransportConfig) *Transport {
	orDuration(&c.ConnectTimeout, 3*time.Second)
	if c.Connections <= 0 {
		c.Connections = 8
	}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: c.ConnectTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs},
		TLSHandshakeTimeout:    5 * time.Second,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		MaxIdleConns:           c.Connections,
		MaxIdleConnsPerHost:    c.Connections,
		IdleConnTimeout:        60 * time.Second,
		ExpectContinueTimeout:  time.Second,
		WriteBufferSize:        sendBuffer,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // answers are small, and a bomb in one would be ours to defuse
	}
	if c.Dial != nil {
		t.DialContext, t.Proxy = c.Dial, nil
	}
	return &Transport{Transport: t}
}

// Transport is net/http's, but for small bodies over plain HTTP, which it sends
// by itself: see plain.go.
type Transport struct {
	*http.Transport
	known  sync.Map // host to whether it can be sent to plainly
	plains plainPool
}

// CloseIdleConnections closes the connections that nobody uses now.
func (t *Transport) CloseIdleConnections() {
	t.plains.close()
	t.Transport.CloseIdleConnections()
}

// RoundTrip sends one request, as http.RoundTripper asks for.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.plain(req) {
		return t.Transport.RoundTrip(req)
	}
	return t.sendPlain(req)
}
