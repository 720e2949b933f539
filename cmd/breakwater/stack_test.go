package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"breakwater/cmd/breakwater/monitoring"
)

const stackDir = "../../webdemo/stack"

// stackFiles is what the export command writes for the containers' names; the
// runbooks are on the private listener. Of Kubernetes the rules are the same,
// because `kubectl port-forward` makes the addresses of the links those of a
// person's machine.
func stackFiles(t *testing.T) []monitoring.File {
	t.Helper()
	tree, err := monitoring.Tree(monitoring.Export{
		Options: monitoring.Options{Links: monitoring.Links{Console: "http://localhost:8081", Grafana: "http://localhost:3000"}},
		Target:  "gateway:8081", Prometheus: "http://prometheus:9090", Alertmanager: "alertmanager:9093",
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(tree, func(f monitoring.File) bool { return strings.HasPrefix(f.Path, "runbooks/") })
}

// stackFile is where a file of the export lies for the containers, or for
// Kubernetes beside what kustomize reads with it.
func stackFile(f monitoring.File) string {
	if name, ok := strings.CutPrefix(f.Path, "kubernetes/"); ok {
		return filepath.Join(stackDir, "kubernetes", "monitoring", name)
	}
	return filepath.Join(stackDir, "monitoring", f.Path)
}

// The files that the containers read are those of this version
// (go test ./cmd/breakwater -run TestStackIsExported -update).
func TestStackIsExported(t *testing.T) {
	want := map[string]bool{}
	for _, f := range stackFiles(t) {
		name := stackFile(f)
		want[name] = true
		if *update {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, f.Data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, f.Data) {
			t.Errorf("%s is not what the export command writes (%v)", name, err)
		}
	}
	err := filepath.WalkDir(filepath.Join(stackDir, "monitoring"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !want[path] {
			t.Errorf("%s is not of the export", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What compose.yaml mounts is there, every service that files name is one of
// it, ports are open on this machine only, and the gateway takes its file.
func TestStackFitsTogether(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(stackDir, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct {
			Image          string
			Build          string
			Ports, Volumes []string
		}
		Volumes map[string]any
	}
	if err := yaml.Unmarshal(raw, &compose); err != nil {
		t.Fatal(err)
	}
	for name, s := range compose.Services {
		if s.Image == "" || strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s: image %q", name, s.Image)
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to everybody", name, p)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if _, named := compose.Volumes[from]; named {
				continue
			}
			if _, err := os.Stat(filepath.Join(stackDir, from)); err != nil {
				t.Errorf("%s mounts %s: %v", name, from, err)
			}
		}
	}
	for _, f := range stackFiles(t) {
		for _, m := range regexp.MustCompile(`(?m)(?:targets: \["|^\s+url: http://)([a-z]+):\d+`).FindAllStringSubmatch(string(f.Data), -1) {
			if _, ok := compose.Services[m[1]]; !ok {
				t.Errorf("%s names %s, which is no service", f.Path, m[1])
			}
		}
	}
	cmd := exec.Command(binary(t), "check", "--config", filepath.Join(stackDir, "breakwater.yml"))
	cmd.Env = append(os.Environ(), "BREAKWATER_ADMIN_TOKEN=change-me-change-me", "BUGSINK_DSN=http://d3a0b1c2d3e4f5061728394a5b6c7d8f@bugsink:8000/1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the gateway does not take its file: %v\n%s", err, out)
	}
}

// What SIZING.md tells to watch is there: metrics, alerts, keys.
func TestSizingNamesWhatExists(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(stackDir, "SIZING.md"))
	if err != nil {
		t.Fatal(err)
	}
	families, err := os.ReadFile("testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range regexp.MustCompile(`\b(?:breakwater|web_vitals)_[a-z_]+`).FindAllString(string(raw), -1) {
		n++
		if !strings.Contains("\n"+string(families), "\n"+name+" ") {
			t.Errorf("there is no metric %s", name)
		}
	}
	alerts := monitoring.Alerts()
	for _, name := range regexp.MustCompile(`\bBreakwater[A-Z][A-Za-z]+`).FindAllString(string(raw), -1) {
		n++
		if !slices.ContainsFunc(alerts, func(r monitoring.Rule) bool { return r.Alert == name }) {
			t.Errorf("there is no alert %s", name)
		}
	}
	if n < 15 {
		t.Errorf("%d names", n)
	}
}
