package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"
)

// expiresSoon is when a certificate's end is worth a warning.
const expiresSoon = 14 * 24 * time.Hour

// tls looks at the chain that clients are shown at the public address, and
// gives the client of the public address its authorities.
func (x *exam) tls(ctx context.Context) {
	u, err := url.Parse(x.o.Public)
	if err != nil || u.Scheme != "https" {
		return
	}
	roots, err := x509.SystemCertPool()
	if err != nil || roots == nil {
		roots = x509.NewCertPool()
	}
	if x.o.CAFile != "" {
		pem, err := os.ReadFile(x.o.CAFile)
		if err != nil || !roots.AppendCertsFromPEM(pem) {
			x.fault("tls", x.o.CAFile, "certificate_chain", fmt.Sprintf("no certificates to be read: %v", err))
		}
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "443")
	}
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // what is shown is verified below, fault by fault
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		x.fault("tls", u.Host, "public_unreachable", bare(err))
		return
	}
	shown := conn.(*tls.Conn).ConnectionState().PeerCertificates
	_ = conn.Close()
	x.chain(u.Hostname(), shown, roots)
}

// chain verifies what a server shows, the end first: an expired certificate is
// the same fault whoever signed it.
func (x *exam) chain(host string, shown []*x509.Certificate, roots *x509.CertPool) {
	now := x.o.Now()
	leaf := shown[0]
	ends := "valid until " + leaf.NotAfter.UTC().Format(time.DateOnly)
	intermediates := x509.NewCertPool()
	for _, c := range shown[1:] {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now})
	switch {
	case now.After(leaf.NotAfter) || now.Before(leaf.NotBefore):
		x.fault("tls", host, "certificate_expired", ends)
	case leaf.VerifyHostname(host) != nil:
		x.fault("tls", host, "certificate_name", fmt.Sprintf("it is for %v", append(leaf.DNSNames, addresses(leaf)...)))
	case err != nil:
		x.fault("tls", host, "certificate_chain", fmt.Sprintf("%v; %d certificates were shown", err, len(shown)))
	case leaf.NotAfter.Sub(now) < expiresSoon:
		x.warn("tls", host, "certificate_expires", ends)
	default:
		x.ok("tls", host, ends)
	}
}

func addresses(c *x509.Certificate) (list []string) {
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	return list
}

// publicTLS is how the public address is reached once its chain was judged: a
// chain that is a fault of its own must not hide what lies behind it.
func publicTLS() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true} //nolint:gosec // see chain
}
