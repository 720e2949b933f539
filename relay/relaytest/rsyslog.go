package relaytest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Rsyslog is a real rsyslog that writes what it receives by UDP, TCP and TLS
// on the loopback interface to a file each. It keeps its addresses and its
// files over a Kill and a Start.
type Rsyslog struct {
	dir   string
	addrs map[string]string
	cmd   *exec.Cmd
	done  chan struct{}
}

// ErrNoRsyslog says what is not installed.
var ErrNoRsyslog = errors.New("rsyslogd is not installed: `make deps` does (Debian: rsyslog, rsyslog-gnutls)")

// rsyslogConf writes one line per message: what rsyslog understood of the
// header, then the text.
const rsyslogConf = `
global(workDirectory="DIR" defaultNetstreamDriverCAFile="DIR/ca.pem" defaultNetstreamDriverCertFile="DIR/cert.pem" defaultNetstreamDriverKeyFile="DIR/key.pem")
module(load="imudp")
module(load="imtcp")
template(name="seen" type="string" string="%syslogfacility-text%.%syslogseverity-text% %timereported:::date-rfc3339% %hostname% %app-name% %procid% %msgid% %msg:::drop-last-lf%\n")
input(type="imudp" address="127.0.0.1" port="UDP" ruleset="udp" rcvbufSize="1m")
input(type="imtcp" address="127.0.0.1" port="TCP" ruleset="tcp")
input(type="imtcp" address="127.0.0.1" port="TLS" ruleset="tls" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
ruleset(name="udp") { action(type="omfile" file="DIR/udp.log" template="seen") }
ruleset(name="tcp") { action(type="omfile" file="DIR/tcp.log" template="seen") }
ruleset(name="tls") { action(type="omfile" file="DIR/tls.log" template="seen") }
action(type="omfile" file="DIR/other.log")
`

// NewRsyslog prepares one that keeps its files in dir; Start runs it.
func NewRsyslog(dir string) (*Rsyslog, error) {
	if _, err := rsyslogd(); err != nil {
		return nil, err
	}
	r := &Rsyslog{dir: dir, addrs: map[string]string{}}
	conf := strings.ReplaceAll(rsyslogConf, "DIR", dir)
	for _, network := range []string{"udp", "tcp", "tls"} {
		addr, err := freePort(network)
		if err != nil {
			return nil, err
		}
		r.addrs[network] = addr
		_, port, _ := net.SplitHostPort(addr)
		conf = strings.Replace(conf, `port="`+strings.ToUpper(network)+`"`, `port="`+port+`"`, 1)
	}
	if err := r.certificates(); err != nil {
		return nil, err
	}
	return r, os.WriteFile(filepath.Join(dir, "rsyslog.conf"), []byte(conf), 0o600)
}

func rsyslogd() (string, error) {
	for _, p := range []string{"rsyslogd", "/usr/sbin/rsyslogd", "/sbin/rsyslogd"} {
		if found, err := exec.LookPath(p); err == nil {
			return found, nil
		}
	}
	return "", ErrNoRsyslog
}

func freePort(network string) (string, error) {
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		defer c.Close()
		return c.LocalAddr().String(), nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// certificates makes an authority and a certificate of it for 127.0.0.1.
func (r *Rsyslog) certificates() error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: caDER}, "cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Addr is where it listens for a network: udp, tcp or tls.
func (r *Rsyslog) Addr(network string) string { return r.addrs[network] }

// CAFile is the authority of its certificate, CAPool the same read.
func (r *Rsyslog) CAFile() string { return filepath.Join(r.dir, "ca.pem") }

// CAPool is the authority of its certificate.
func (r *Rsyslog) CAPool() *x509.CertPool {
	pool := x509.NewCertPool()
	if b, err := os.ReadFile(r.CAFile()); err == nil {
		pool.AppendCertsFromPEM(b)
	}
	return pool
}

// Start runs it and waits until it listens.
func (r *Rsyslog) Start() error {
	path, err := rsyslogd()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := exec.Command(path, "-n", "-f", filepath.Join(r.dir, "rsyslog.conf"), "-i", filepath.Join(r.dir, "pid"))
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = os.Remove(filepath.Join(r.dir, "pid")) // a kill leaves it
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	r.cmd, r.done = cmd, done
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		select {
		case <-done:
			return fmt.Errorf("rsyslogd ended: %s", out.String())
		default:
		}
		up := true
		for _, network := range []string{"tcp", "tls"} {
			c, err := net.DialTimeout("tcp", r.addrs[network], time.Second)
			if err != nil {
				up = false
				break
			}
			_ = c.Close()
		}
		if up {
			return nil
		}
	}
	return errors.New("rsyslogd did not listen in time")
}

// Kill is kill -9; Stop is SIGTERM, after which rsyslog writes what it has.
func (r *Rsyslog) Kill() { r.signal(syscall.SIGKILL) }

// Stop ends it in an orderly way.
func (r *Rsyslog) Stop() { r.signal(syscall.SIGTERM) }

func (r *Rsyslog) signal(s syscall.Signal) {
	if r.cmd == nil || r.cmd.Process == nil {
		return
	}
	_ = r.cmd.Process.Signal(s)
	<-r.done
	r.cmd = nil
}

// Lines are the messages that were written, of one network.
func (r *Rsyslog) Lines(network string) []string {
	b, err := os.ReadFile(filepath.Join(r.dir, network+".log"))
	if err != nil || len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}
