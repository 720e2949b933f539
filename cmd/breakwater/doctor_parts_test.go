package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"breakwater/cmd/breakwater/config"
	"breakwater/cmd/breakwater/doctor"
	"breakwater/cmd/breakwater/monitoring"
)

// patient is a server process of the tests: nginx, Prometheus, Alertmanager.
func patient(t *testing.T, ready string, argv ...string) {
	t.Helper()
	path, err := exec.LookPath(argv[0])
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + argv[0]) // not in everybody's path
	}
	if err != nil {
		t.Fatalf("%s is missing: `make test` installs it", argv[0])
	}
	var out lockedBuffer
	cmd := exec.Command(path, argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%.3000s", argv[0], out.String())
		}
	})
	eventually(t, 60*time.Second, func() error {
		c, err := net.DialTimeout("tcp", ready, time.Second)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out.String())
		}
		return c.Close()
	})
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// nginx runs a real one in front of a gateway. server holds directives of the
// server block; location those of a location that passes all on.
func nginx(t *testing.T, g *gateway, server, location string, more ...string) (base string) {
	t.Helper()
	dir, addr := t.TempDir(), freeAddr(t)
	if location != "" {
		location = "location / { proxy_pass http://" + g.public + "; " + location + " }"
	}
	listen := "listen " + addr
	scheme := "http://"
	if strings.Contains(server, "ssl_certificate") {
		listen, scheme = listen+" ssl", "https://"
	}
	conf := "daemon off; worker_processes 1; master_process off; pid " + dir + "/pid; error_log stderr warn;\nevents { worker_connections 128; }\n" +
		"http { access_log off; client_body_temp_path " + dir + "/b; proxy_temp_path " + dir + "/p; fastcgi_temp_path " + dir + "/f; uwsgi_temp_path " + dir + "/u; scgi_temp_path " + dir + "/s;\n" +
		"server { " + listen + "; " + server + "\n" + strings.ReplaceAll(strings.Join(more, "\n"), "GATEWAY", g.public) + "\n" + location + " } }\n"
	patient(t, addr, "nginx", "-p", dir, "-e", "stderr", "-c", writeFile(t, filepath.Join(dir, "nginx.conf"), conf))
	return scheme + addr
}

const (
	passAll   = "client_max_body_size 50m;"
	forwarded = "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header Host $host;"
)

// healthyConfig is a gateway behind a proxy on this machine.
func healthyConfig(dsn string) string {
	return `server: {listen: "LISTEN", admin_listen: "ADMIN", trusted_proxies: ["127.0.0.0/8"]}
spool: {dir: "DATA/spool", min_free: 0B, max_size: 1GiB}
limits: {per_ip: {rate: 1000/s, burst: 10000}}
projects:
  - id: 1
    name: shop
    keys: [{public: ` + testKey + `, name: web}]
    allowed_origins: ["https://shop.example", "*.shop.example"]
    upstreams: [{name: sentry, type: sentry, dsn: "` + dsn + `", timeout: 10s}]
`
}

// examine runs doctor with the gateway's own file and environment.
func examine(t *testing.T, g *gateway, set func(*doctor.Options)) *doctor.Report {
	t.Helper()
	o := doctor.Options{Path: g.config, Patience: time.Minute}
	o.Config, o.Problem = config.Load(g.config, func(name string) (string, bool) {
		if name == "BREAKWATER_DATA_DIR" {
			return g.dir, true
		}
		return "", false
	})
	if set != nil {
		set(&o)
	}
	return doctor.Run(t.Context(), o)
}

// names are the words of the faults found, each once.
func names(r *doctor.Report) (list []string) {
	for _, res := range r.Results {
		if res.Status == doctor.Fault && !slices.Contains(list, res.Name) {
			list = append(list, res.Name)
		}
	}
	slices.Sort(list)
	return list
}

func expectFaults(t *testing.T, r *doctor.Report, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := names(r); !slices.Equal(got, want) {
		t.Errorf("faults %v, want %v\n%s", got, want, asText(t, r.Results))
	}
	for _, res := range r.Results {
		if res.Status == doctor.Fault && (res.Cause == "" || res.Fix == "") {
			t.Errorf("%s names neither cause nor fix: %+v", res.Name, res)
		}
	}
}

// answering is an upstream that gives one answer.
func answering(t *testing.T, status int, body string, header ...string) (dsn string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return "http://" + testKey + "@" + strings.TrimPrefix(s.URL, "http://") + "/5"
}

// resolving sends requests for names to servers of the test.
func resolving(servers map[string]string) http.RoundTripper {
	return &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(addr)
		dsn, ok := servers[host]
		if !ok {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		at := dsn[strings.Index(dsn, "@")+1 : strings.LastIndex(dsn, "/")]
		return (&net.Dialer{}).DialContext(ctx, network, at)
	}}
}

// mounted is a small file system of its own; mounting one needs root.
func mounted(t *testing.T, flags uintptr, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Skipf("only root may mount the small disk that is filled here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// promConfig scrapes a target and knows an Alertmanager, each "" for none.
func promConfig(target, am string, rules bool) string {
	c := "global: {scrape_interval: 3s, scrape_timeout: 3s, evaluation_interval: 1s}\n"
	if rules {
		c += "rule_files: [rules.yml]\n"
	}
	if am != "" {
		c += "alerting: {alertmanagers: [{static_configs: [{targets: [\"" + strings.TrimPrefix(am, "http://") + "\"]}]}]}\n"
	}
	if target != "" {
		c += "scrape_configs:\n  - job_name: breakwater\n    static_configs: [{targets: [\"" + target + "\"]}]\n"
	}
	return c
}

type examined struct{ url string }

// hasRules tells whether the rules file was read.
func (e examined) hasRules() error {
	var r struct {
		Data struct {
			Groups []struct{ Name string }
		}
	}
	resp, err := http.Get(e.url + "/api/v1/rules")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		return err
	}
	if len(r.Data.Groups) == 0 {
		return errors.New("no rules")
	}
	return nil
}

// prometheusFor runs a real Prometheus; after a zero byte config may hold other
// rules than ours.
func prometheusFor(t *testing.T, config string, flags ...string) examined {
	t.Helper()
	config, rules, other := strings.Cut(config, "\x00")
	if !other {
		rules = string(monitoring.Rules(monitoring.Links{}))
	}
	dir, addr := t.TempDir(), freeAddr(t)
	writeFile(t, filepath.Join(dir, "rules.yml"), rules)
	patient(t, addr, append([]string{
		"prometheus", "--config.file=" + writeFile(t, filepath.Join(dir, "prometheus.yml"), config),
		"--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + addr, "--log.level=warn",
	}, flags...)...)
	return examined{"http://" + addr}
}

func alertmanager(t *testing.T) string {
	t.Helper()
	dir, addr := t.TempDir(), freeAddr(t)
	conf := writeFile(t, filepath.Join(dir, "alertmanager.yml"), "route: {receiver: on-call}\nreceivers: [{name: on-call}]\n")
	patient(t, addr, "prometheus-alertmanager", "--config.file="+conf, "--storage.path="+dir, "--web.listen-address="+addr, "--cluster.listen-address=", "--log.level=warn")
	return "http://" + addr
}

// authority issues certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
	file string
	n    int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Authority of a test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour * 365), KeyUsage: x509.KeyUsageCertSign,
	}
	a.file = a.write(t, "ca.pem", "CERTIFICATE", a.sign(t, a.cert, &a.key.PublicKey))
	return a
}

func (a *authority) sign(t *testing.T, c *x509.Certificate, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	return writeFile(t, filepath.Join(a.dir, name), string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

// issue makes a certificate that is valid for so long from now; the third value
// is for the callers that take three.
func (a *authority) issue(t *testing.T, host string, valid time.Duration) (cert, key string, _ func(*doctor.Options)) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.n++
	c := &x509.Certificate{SerialNumber: big.NewInt(1 + a.n), Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(valid)}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%d", a.n)
	return a.write(t, name+".pem", "CERTIFICATE", a.sign(t, c, &k.PublicKey)), a.write(t, name+".key", "EC PRIVATE KEY", der), nil
}
