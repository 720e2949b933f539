package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// certificateFiles stores a certificate and its key for a gateway.
func certificateFiles(t *testing.T, c tls.Certificate) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pkcs8, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// What a real Chromium reports about pages of another origin, by report-uri, by
// the Reporting API with its preflight, and by a script's beacon of JSON with
// credentials, arrives at the upstream. The README's headers are those used.
func TestBrowserReports(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	var endpoint string
	pages := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		script := `<script>document.title = "ran"</script>`
		switch r.URL.Path {
		case "/report-uri":
			w.Header().Set("Content-Security-Policy", "default-src 'self'; report-uri "+endpoint)
		case "/report-to":
			w.Header().Set("Reporting-Endpoints", `csp="`+endpoint+`", default="`+endpoint+`"`)
			w.Header().Set("Content-Security-Policy", "default-src 'self'; report-to csp; report-uri "+endpoint)
		case "/beacon":
			script = `<script>navigator.sendBeacon("` + endpoint + `", new Blob([JSON.stringify([{type: "network-error", age: 1, url: location.href, body: {phase: "dns", type: "dns.failed"}}])], {type: "application/reports+json"}))</script>`
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>shop</title>"+script)
	}))
	defer pages.Close()
	cert, key := certificateFiles(t, pages.TLS.Certificates[0])
	config := strings.Replace(doorConfig(up, "    filters: {web_crawlers: false}\n"), "server: {", "server: {tls: {cert_file: "+cert+", key_file: "+key+"}, ", 1)
	g := newGateway(t, config).start()
	endpoint = "https://" + g.public + securityPath + "&sentry_release=shop@1.4.2&sentry_environment=production"

	if _, err := os.Stat(filepath.Join("..", "..", "webdemo", "node_modules", "playwright-core")); err != nil {
		t.Fatal("webdemo is not installed: `make test` does it")
	}
	cmd := exec.CommandContext(t.Context(), "node", "reports.mjs", pages.URL+"/report-uri", pages.URL+"/report-to", pages.URL+"/beacon")
	cmd.Dir = filepath.Join("..", "..", "webdemo", "e2e")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_, _ = stdin.Write([]byte("\n"))
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("driving the browser: %v\n%s", err, stderr.String())
		}
	}()
	want := []string{"csp-report /report-uri", "csp-violation /report-to", "network-error /beacon"}
	eventually(t, 90*time.Second, func() error {
		seen := map[string]bool{}
		for _, r := range up.Taken() {
			for _, it := range r.Items {
				seen[reportSeen(t, it)] = true
			}
		}
		for _, w := range want {
			if !seen[w] {
				return fmt.Errorf("%q did not arrive; seen %v; problems %v; %s", w, seen, up.Problems(), stderr.String())
			}
		}
		return nil
	})
}

// reportSeen is a report's kind and the path of its page.
func reportSeen(t *testing.T, it relaytest.Item) string {
	t.Helper()
	o, err := schemas.ParseObject(it.Payload)
	if err != nil {
		t.Fatal(err)
	}
	kind, page := "csp-report", ""
	if csp, ok := o.Object("csp-report"); ok {
		page, _ = csp.String("document-uri")
	} else {
		kind, _ = o.String("type")
		page, _ = o.String("url")
	}
	if it.Header.Type == "raw_security" {
		if release, _ := it.Header.String("sentry_release"); release != "shop@1.4.2" {
			t.Errorf("release %q", release)
		}
	}
	return kind + " " + page[strings.LastIndexByte(page, '/'):]
}
