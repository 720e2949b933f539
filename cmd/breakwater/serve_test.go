package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

const anEnvelope = `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc"}
{"type":"event"}
{"message":"hello","level":"error","release":"shop@1.4.2"}`

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(url, "text/plain;charset=UTF-8", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A visitor's first minute: no file, no environment; the DSN that is printed
// takes an error, the snippet's address takes a beacon, the private address
// shows metrics, and a restart keeps both the key and what was held.
func TestZeroConfig(t *testing.T) {
	g := newGateway(t, "").start()
	banner := func() string { return g.stderr.String() }
	printed := func(times int) { // a moment after it is ready
		t.Helper()
		eventually(t, time.Minute, func() error {
			if strings.Count(banner(), "Private address") < times {
				return fmt.Errorf("no banner yet: %q", banner())
			}
			return nil
		})
	}
	printed(1)
	dsn := regexp.MustCompile(`http://([0-9a-f]{32})@([^/\s]+)/1\b`).FindStringSubmatch(banner())
	if dsn == nil {
		t.Fatalf("no DSN to paste in:\n%s", banner())
	}
	if status, body := post(t, fmt.Sprintf("http://%s/api/1/envelope/?sentry_version=7&sentry_key=%s", dsn[2], dsn[1]), anEnvelope); status != 200 || body != `{"id":"9ec79c33ec9942ab8353589fcb2e04dc"}` {
		t.Fatalf("the printed DSN was answered %d %s", status, body)
	}
	snippet := regexp.MustCompile(`sendBeacon\('([^']+)'`).FindStringSubmatch(banner())
	if snippet == nil {
		t.Fatalf("no vitals snippet in:\n%s", banner())
	}
	if status, body := post(t, snippet[1], `{"name":"LCP","value":1834.2,"id":"v6-1","rating":"good","navigationType":"navigate"}`); status != 204 {
		t.Fatalf("the snippet's beacon was answered %d %s", status, body)
	}
	if !strings.Contains(g.scrape(), `breakwater_items_in_spool{category="error",project="default"} 1`) {
		t.Error("the held event is not in the metrics")
	}
	if strings.Contains(g.stdout.String()+banner(), "hello") {
		t.Error("a payload is in the log")
	}
	for _, line := range strings.Split(strings.TrimSpace(g.stdout.String()), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("a piped log line is not JSON: %q", line)
		}
	}
	if err := g.stop(); err != nil {
		t.Fatalf("SIGTERM did not end well: %v\n%s", err, g.stdout.String())
	}
	g.start()
	printed(2)
	if again := regexp.MustCompile(`http://([0-9a-f]{32})@`).FindAllStringSubmatch(banner(), -1); again[len(again)-1][1] != dsn[1] {
		t.Error("the key changed over a restart")
	}
	if text := g.scrape(); !strings.Contains(text, `breakwater_items_in_spool{category="error",project="default"} 1`) ||
		!strings.Contains(text, `breakwater_items_recovered{category="error",project="default"} 1`) {
		t.Error("the held event was not found again")
	}
}

// Vitals that were settling are in the histograms after a graceful restart.
func TestVitalsSurviveRestart(t *testing.T) {
	g := newGateway(t, oneProject+"vitals: {settle: 1s}\n")
	g.start()
	if status, _ := post(t, "http://"+g.public+"/api/1/vitals/?key="+testKey, `{"name":"LCP","value":2500,"id":"v6-2","navigationType":"navigate","route":"/checkout"}`); status != 204 {
		t.Fatalf("beacon answered %d", status)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	g.start()
	eventually(t, time.Minute, func() error {
		for _, line := range strings.Split(g.scrape(), "\n") {
			if strings.HasPrefix(line, "web_vitals_lcp_seconds_bucket{") && strings.Contains(line, `le="2.5"`) && strings.HasSuffix(line, " 1") {
				return nil
			}
		}
		return errors.New("2500 ms is not in the bucket le=2.5")
	})
}

const testKey = "0123456789abcdef0123456789abcdef"

const oneProject = `server: {listen: "LISTEN", admin_listen: "ADMIN"}
spool: {dir: "DATA/spool", min_free: 0B}
projects:
  - id: 1
    name: shop
    keys: [{public: ` + testKey + `, name: web}]
    vitals: {routes: ["/product/:id"]}
`

// What Prometheus meets: text, OpenMetrics and protobuf with native
// histograms, and a linter that has nothing to say.
func TestScrape(t *testing.T) {
	g := newGateway(t, oneProject).start()
	post(t, "http://"+g.public+"/api/1/envelope/?sentry_key="+testKey, anEnvelope)
	for name, accept := range map[string]string{
		"text":        "text/plain;version=0.0.4",
		"OpenMetrics": "application/openmetrics-text;version=1.0.0",
		"protobuf":    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodGet, "http://"+g.private+"/metrics", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", accept)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, strings.SplitN(accept, ";", 2)[0]) {
				t.Fatalf("content type %q", got)
			}
			if name != "protobuf" {
				text, _ := io.ReadAll(resp.Body)
				if !strings.Contains(string(text), "breakwater_items_received_total{") {
					t.Error("no ledger in the scrape")
				}
				return
			}
			dec := expfmt.NewDecoder(bufio.NewReader(resp.Body), expfmt.NewFormat(expfmt.TypeProtoDelim))
			native := 0
			for {
				var f dto.MetricFamily
				if err := dec.Decode(&f); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				for _, m := range f.GetMetric() {
					if h := m.GetHistogram(); h != nil && h.Schema != nil {
						native++
					}
				}
			}
			if native == 0 {
				t.Error("no native histogram in the protobuf scrape")
			}
		})
	}
	t.Run("promtool", func(t *testing.T) {
		path, err := exec.LookPath("promtool")
		if err != nil {
			t.Fatal("promtool is missing: `make test` installs it")
		}
		cmd := exec.Command(path, "check", "metrics")
		cmd.Stdin = strings.NewReader(g.scrape())
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool check metrics: %v\n%s", err, out)
		}
	})
}

// A reload puts a good file in force and leaves everything as it was for a bad
// one, by signal and by request.
func TestReload(t *testing.T) {
	g := newGateway(t, oneProject).start()
	second := strings.Replace(oneProject, "projects:\n", "projects:\n  - {id: 2, name: second, keys: [{public: fedcba9876543210fedcba9876543210}]}\n", 1)
	url := "http://" + g.public + "/api/2/envelope/?sentry_key=fedcba9876543210fedcba9876543210"
	if status, _ := post(t, url, anEnvelope); status != http.StatusForbidden {
		t.Fatalf("an unknown project was answered %d", status)
	}
	g.write(second)
	if status, body := post(t, "http://"+g.private+"/-/reload", ""); status != http.StatusOK {
		t.Fatalf("reload answered %d %s", status, body)
	}
	if status, _ := post(t, url, anEnvelope); status != http.StatusOK {
		t.Fatalf("the new project was answered %d", status)
	}
	g.write(second + "nonsense: true\n")
	status, body := post(t, "http://"+g.private+"/-/reload", "")
	if status != http.StatusUnprocessableEntity || !strings.Contains(body, "nonsense") || !strings.Contains(body, `"line"`) {
		t.Fatalf("a bad file was answered %d %s", status, body)
	}
	if status, _ := post(t, url, anEnvelope); status != http.StatusOK {
		t.Fatalf("after a refused reload the project was answered %d", status)
	}
	if !strings.Contains(g.scrape(), "breakwater_config_reload_success 0") {
		t.Error("the refused reload is not in the metrics")
	}
	g.write(oneProject)
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		if status, _ := post(t, url, anEnvelope); status != http.StatusForbidden {
			return fmt.Errorf("after SIGHUP the removed project is answered %d", status)
		}
		return nil
	})
}

// Exit codes that scripts can trust, and every mistake at once.
func TestCommandLine(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yml")
	if err := os.WriteFile(bad, []byte("servr: {}\nprojects:\n  - {id: 0, name: a, keys: [{public: zz}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(t.TempDir(), "good.yml")
	if err := os.WriteFile(good, []byte("projects: [{id: 1, name: a, keys: [{public: "+testKey+"}], upstreams: [{dsn: 'http://"+testKey+":hidden5ecret@sentry.example/1'}]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	away := filepath.Join(t.TempDir(), "away.yml")
	if err := os.WriteFile(away, []byte("server: {admin_listen: '127.0.0.1:1'}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"version", []string{"version"}, 0, []string{"breakwater"}},
		{"help", []string{"--help"}, 0, []string{"Examples:", "check"}},
		{"unknown flag", []string{"--no-such-flag"}, 2, []string{"no-such-flag"}},
		{"unknown command", []string{"frobnicate"}, 2, []string{"frobnicate"}},
		{"good file", []string{"check", "--config", good}, 0, []string{"valid"}},
		{"bad file", []string{"check", "--config", bad}, 1, []string{"servr", "projects[0].id", "projects[0].keys[0].public", `"line": 3`}},
		{"missing file", []string{"check", "--config", bad + ".none"}, 1, []string{"bad.yml.none"}},
		{"serving a bad file", []string{"--config", bad}, 1, []string{"servr", "bad.yml:1:1"}},
		{"nobody there", []string{"health", "--url", "http://127.0.0.1:1/-/healthy"}, 1, []string{"refused"}},
		{"nobody at the configured address", []string{"health", "--config", away}, 1, []string{"127.0.0.1:1/-/healthy", "refused"}},
		{"archives are named as they were typed", []string{"spool", "import", "none.bwx"}, 1, []string{"open none.bwx"}},
		{"secrets stay hidden", []string{"check", "--print", "--config", good}, 0, []string{"***"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, err := exec.Command(binary(t), c.args...).CombinedOutput()
			code := 0
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if code != c.code {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, out)
			}
			for _, want := range c.says {
				if !strings.Contains(string(out), want) {
					t.Errorf("%q is not in:\n%s", want, out)
				}
			}
			if strings.Contains(string(out), "hidden5ecret") {
				t.Errorf("a secret was printed:\n%s", out)
			}
		})
	}
}

// A gateway that is told to stop while it waits for the servers of its stream has
// said what it waits for, and ends at once and in order; told to read its
// configuration again, it goes on.
func TestToldToStopWhileStarting(t *testing.T) {
	g := newGateway(t, strings.Replace(oneProject, "min_free: 0B}", `engine: jetstream, jetstream: {url: "nats://`+freeAddr(t)+`", replicas: 1, monitor_urls: ["http://127.0.0.1:1"]}}`, 1))
	g.launch()
	eventually(t, time.Minute, func() error {
		if text := g.stdout.String(); !strings.Contains(text, "waiting for the servers of the stream") {
			return fmt.Errorf("it does not say what it waits for:\n%s%s", text, g.stderr.String())
		}
		return nil
	})
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := g.stop(); err != nil {
		t.Errorf("the end while starting was %v\n%s", err, g.stderr.String())
	}
	if text := g.stdout.String(); !strings.Contains(text, "told to stop before the start was done") || strings.Contains(text, "serving") {
		t.Errorf("the log of its end is\n%s", text)
	}
}
