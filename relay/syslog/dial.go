package syslog

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"
)

// Server is where messages go.
type Server struct {
	// Network is udp, tcp or tls.
	Network string
	// Address is host:port.
	Address string
	// RootCAs replaces the system's certificate authorities, for tls.
	RootCAs *x509.CertPool
}

// connectTimeout bounds a connection and, apart from that, a TLS handshake.
const connectTimeout = 3 * time.Second

// Check finds fault with a server without connecting to it.
func (s Server) Check() error {
	switch s.Network {
	case "udp", "tcp", "tls":
	default:
		return fmt.Errorf("network %q is not one of udp, tcp, tls", s.Network)
	}
	if _, _, err := net.SplitHostPort(s.Address); err != nil {
		return fmt.Errorf("address %q is not host:port", s.Address)
	}
	return nil
}

// String is the server as network://host:port.
func (s Server) String() string { return s.Network + "://" + s.Address }

// Dial connects. sessions, unless nil, makes later handshakes cheaper.
func (s Server) Dial(ctx context.Context, sessions tls.ClientSessionCache) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*connectTimeout)
	defer cancel()
	d := &net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}
	switch s.Network {
	case "udp":
		return d.DialContext(ctx, "udp", s.Address)
	case "tcp":
		return d.DialContext(ctx, "tcp", s.Address)
	}
	host, _, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, err
	}
	// RFC 5425 §4.2: TLS 1.2 is the least, and the server shows a certificate.
	td := &tls.Dialer{NetDialer: d, Config: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, RootCAs: s.RootCAs, ClientSessionCache: sessions}}
	return td.DialContext(ctx, "tcp", s.Address)
}

// halfCloser is a connection whose sending side can be closed alone.
type halfCloser interface{ CloseWrite() error }

// closeSending says that nothing more comes: over TLS first by its own alert.
func closeSending(c net.Conn) error {
	if t, ok := c.(*tls.Conn); ok {
		if err := t.CloseWrite(); err != nil {
			return err
		}
		c = t.NetConn()
	}
	if h, ok := c.(halfCloser); ok {
		return h.CloseWrite()
	}
	return fmt.Errorf("closing one side of a connection of type %T", c)
}
