package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"breakwater/schemas"
)

func (c *checker) checkServer() {
	s := c.Server
	if adminHost, _, err := net.SplitHostPort(s.AdminListen); err == nil && !loopback(adminHost) && s.AdminToken == "" {
		c.add("server.admin_token", "is missing, and server.admin_listen is not a loopback address, so anybody could read and change the gateway",
			"set a token (for example from: openssl rand -hex 32), or listen on 127.0.0.1")
	}
	if sameListener(s.Listen, s.AdminListen) {
		c.add("server.admin_listen", "is the same address as server.listen", "choose another port")
	}
	switch {
	case s.TLS.CertFile != "" && s.TLS.KeyFile == "":
		c.add("server.tls.key_file", "is missing; cert_file needs it", "give both files or none")
	case s.TLS.CertFile == "" && s.TLS.KeyFile != "":
		c.add("server.tls.cert_file", "is missing; key_file needs it", "give both files or none")
	case s.TLS.Enabled():
		c.checkCertificate(s.TLS)
	}
	if c.SelfMonitoring.DSN != "" {
		c.checkLoop("self_monitoring.dsn", c.SelfMonitoring.DSN)
	}
}

// maxPEM bounds certificate and key files, far above any real one.
const maxPEM = 1 << 20

func (c *checker) checkCertificate(t TLS) {
	var pem [2][]byte
	for i, f := range []struct{ key, path string }{{"server.tls.cert_file", t.CertFile}, {"server.tls.key_file", t.KeyFile}} {
		data, err := readBounded(f.path, maxPEM)
		if err != nil {
			c.add(f.key, "cannot be read: "+plain(err), "check the path and who may read it; relative paths begin in the working directory")
			return
		}
		pem[i] = data
	}
	if _, err := tls.X509KeyPair(pem[0], pem[1]); err != nil {
		c.add("server.tls.cert_file", "certificate and key cannot be used: "+strings.TrimPrefix(err.Error(), "tls: "), "give a PEM certificate (chain) and its own PEM key")
	}
}

// plain is an error of the file system without its path.
func plain(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// readBounded reads a regular file of a bounded size; a device or pipe could
// block or never end.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Size() > limit:
		return nil, fmt.Errorf("it has more than %d bytes", limit)
	}
	return os.ReadFile(path)
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// unspecified tells whether a listener takes connections on every address.
func unspecified(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.Unmap().IsUnspecified()
}

// sameListener tells whether two addresses cannot both be listened on.
func sameListener(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return strings.EqualFold(hostA, hostB) || unspecified(hostA) || unspecified(hostB) || loopback(hostA) && loopback(hostB)
}

// checkLoop reports a DSN that plainly leads back to this gateway: reports
// would go round for ever. Names of this machine that only the network knows
// cannot be seen here.
func (c *checker) checkLoop(key string, dsn Secret) {
	d, err := schemas.ParseDSN(dsn.Reveal())
	if err != nil {
		return
	}
	toHost, toPort := hostOf(d), (&url.URL{Host: d.Host}).Port()
	if toPort == "" {
		toPort = map[string]string{"http": "80", "https": "443"}[d.Scheme]
	}
	for _, l := range []struct{ key, listen string }{{"server.listen", c.Server.Listen}, {"server.admin_listen", c.Server.AdminListen}} {
		host, port, err := net.SplitHostPort(l.listen)
		if err != nil || port != toPort || port == "0" {
			continue
		}
		if strings.EqualFold(host, toHost) || loopback(toHost) && (loopback(host) || unspecified(host)) || unspecified(toHost) || c.ownName(toHost) {
			c.add(key, "leads back to this gateway ("+l.key+"), so reports would go round for ever", "give the DSN of a project in Sentry; the gateway's own DSN belongs into the applications")
			return
		}
	}
}

func (c *checker) ownName(host string) bool {
	own, err := os.Hostname()
	return err == nil && own != "" && strings.EqualFold(own, host)
}

// hostOf is a DSN's host without its port.
func hostOf(d schemas.DSN) string { return (&url.URL{Host: d.Host}).Hostname() }
