package console

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func demoOf(folders ...string) *Demo {
	return &Demo{
		Folders:  folders,
		Projects: func() []DemoProject { return []DemoProject{{ID: 1 << 60, Name: "shop", Key: "abc"}} },
		Public:   func() (net.Addr, bool) { return &net.TCPAddr{IP: net.IPv6unspecified, Port: 8080}, true },
		Explain: func(project, itemType string, payload []byte) ([]byte, []Scrubbed, error) {
			if project != "shop" {
				return nil, nil, errors.New("no such project")
			}
			return payload, nil, nil
		},
	}
}

// The page is served where a build is, and with a policy of its own; nothing
// but the build can be read.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := handler(Options{Demo: demoOf(filepath.Join(dir, "nothing"), filepath.Join(dir, "dist"))})
	get := func(path string) *httptest.ResponseRecorder { return ask(h, http.MethodGet, path, "Bearer "+token) }
	if w := get("/demo/"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "make demo-build") {
		t.Errorf("without a build: %d %s", w.Code, w.Body)
	}
	write("dist/index.html", "<p>the page")
	write("dist/assets/a.js", "1")
	write("secret.txt", "secret")
	if err := os.Symlink(filepath.Join(dir, "secret.txt"), filepath.Join(dir, "dist", "link.txt")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/demo/": "<p>the page", "/demo/orders/7": "<p>the page", "/demo/index.html": "<p>the page", "/demo/assets": "<p>the page", "/demo/assets/a.js": "1",
		"/demo/assets/b.js": "", "/demo/../secret.txt": "", "/demo/%2e%2e/secret.txt": "", "/demo/..%2fsecret.txt": "", "/demo/link.txt": "", "/demo//etc/passwd.txt": "",
	} {
		w := get(path)
		if want != "" && (w.Code != http.StatusOK || w.Body.String() != want) || want == "" && w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "secret") && want == "" && w.Code == 200 {
			t.Errorf("%s: %d %q, want %q", path, w.Code, w.Body, want)
		}
	}
	if w := get("/demo"); w.Code != http.StatusFound || w.Header().Get("Location") != "/demo/" {
		t.Errorf("/demo: %d %s", w.Code, w.Header())
	}
	page := get("/demo/").Header().Get("Content-Security-Policy")
	for _, want := range []string{"script-src 'self';", "connect-src 'self' https://127.0.0.1:8080;", "report-uri https://127.0.0.1:8080/api/1152921504606846976/security/?sentry_key=abc"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page's policy %q lacks %q", page, want)
		}
	}
	if strings.Contains(page, "unsafe") {
		t.Errorf("the page's policy is %q", page)
	}
	if other := get("/").Header().Get("Content-Security-Policy"); strings.Contains(other, "8080") || !strings.Contains(other, "frame-ancestors 'none'") {
		t.Errorf("another page's policy is %q", other)
	}
	if w := get("/demo/config.json"); !strings.Contains(w.Body.String(), `"id":"1152921504606846976"`) || !strings.Contains(w.Body.String(), `"dsn":"https://abc@127.0.0.1:8080/1152921504606846976"`) {
		t.Errorf("config: %s", w.Body)
	}
	for _, path := range []string{"/demo", "/demo/", "/demo/config.json", "/demo/assets/a.js"} {
		if w := ask(h, http.MethodGet, path, ""); w.Code != http.StatusUnauthorized {
			t.Errorf("%s without the token: %d", path, w.Code)
		}
	}
}

func TestDemoScrub(t *testing.T) {
	h := handler(Options{Demo: demoOf()})
	for body, want := range map[string]int{
		`{"project":"shop","type":"event","payload":{"a":1}}`:  200,
		`{"project":"other","type":"event","payload":{"a":1}}`: 400,
		`{"project":"shop","type":"event"}`:                    400,
		`{"project":"shop","payload":`:                         400,
		``:                                                     400,
	} {
		r := httptest.NewRequest(http.MethodPost, "/demo/scrub", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || want == 200 && w.Body.String() != `{"hits":[],"payload":{"a":1}}`+"\n" {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}
