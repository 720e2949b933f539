package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/cmd/breakwater/monitoring"
)

// promServer is a real Prometheus process with a directory and a port of its
// own, which scrapes every second.
type promServer struct {
	t    *testing.T
	url  string
	stop func()
}

// promSample is one series of an instant query.
type promSample struct {
	Labels map[string]string
	Value  float64
}

// debianPrometheus is the Prometheus that `make test` installs.
func debianPrometheus(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("prometheus is missing: `make test` installs it")
	}
	return path
}

// startPrometheus runs a Prometheus that scrapes targets; scrape holds further
// keys of the scrape configuration, flags further flags. Rules are ours.
func startPrometheus(t *testing.T, path, scrape string, targets []string, flags ...string) *promServer {
	t.Helper()
	return runPrometheus(t, path, "scrape_configs:\n  - job_name: breakwater\n"+scrape+"    static_configs: [{targets: [\""+strings.Join(targets, `", "`)+"\"]}]\n", everySecond(monitoring.Rules(monitoring.Links{})), flags...)
}

// everySecond lets the groups that run once a minute run as often as the others.
func everySecond(rules []byte) string {
	return strings.ReplaceAll(string(rules), "interval: 1m", "interval: 1s")
}

// runPrometheus runs a Prometheus with the rules; config follows the global part.
func runPrometheus(t *testing.T, path, config, rules string, flags ...string) *promServer {
	t.Helper()
	dir := t.TempDir()
	config = "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n" + config
	for name, content := range map[string]string{"prometheus.yml": config, "rules.yml": rules} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr := freeAddr(t)
	var output lockedBuffer
	cmd := exec.Command(path, append([]string{
		"--config.file=" + filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + addr, "--log.level=warn",
	}, flags...)...)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus said:\n%s", output.String())
		}
	})
	t.Cleanup(stop)
	p := &promServer{t: t, url: "http://" + addr, stop: stop}
	eventually(t, 2*time.Minute, func() error {
		resp, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("prometheus is not ready: %s", resp.Status)
		}
		return nil
	})
	return p
}

// query evaluates an expression now.
func (p *promServer) query(expr string) ([]promSample, error) {
	resp, err := http.PostForm(p.url+"/api/v1/query", url.Values{"query": {expr}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", expr, answer.Error)
	}
	var list []promSample
	for _, r := range answer.Data.Result {
		text, ok := r.Value[1].(string)
		if !ok {
			return nil, fmt.Errorf("%s: not a number but %v", expr, r.Value)
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		list = append(list, promSample{r.Metric, v})
	}
	return list, nil
}

// value is the result of an expression with one series at most; 0 without any.
func (p *promServer) value(expr string) (float64, error) {
	list, err := p.query(expr)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	if len(list) > 1 {
		return 0, fmt.Errorf("%s: %d series", expr, len(list))
	}
	return list[0].Value, nil
}

// buckets are the counts of a classic histogram, each bucket alone, by upper
// bound; empty ones are left out.
func (p *promServer) buckets(family, matchers string) (map[float64]float64, error) {
	list, err := p.query("sum by (le) (" + family + "_bucket{" + matchers + "})")
	if err != nil {
		return nil, err
	}
	cumulative := map[float64]float64{}
	for _, s := range list {
		le, err := strconv.ParseFloat(s.Labels["le"], 64)
		if err != nil {
			return nil, err
		}
		cumulative[le] = s.Value
	}
	out, before := map[float64]float64{}, 0.0
	for _, le := range sortedKeys(cumulative) {
		if n := cumulative[le] - before; n != 0 {
			out[le] = n
		}
		before = cumulative[le]
	}
	return out, nil
}
