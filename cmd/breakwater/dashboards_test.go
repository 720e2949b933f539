package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The command writes what Prometheus and Alertmanager take, the same bytes
// twice, and never over what somebody changed unless told to.
func TestDashboardsExport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "monitoring")
	export := func(more ...string) (map[string]string, error) {
		out, err := exec.Command(binary(t), append([]string{"dashboards", "export", dir, "--console-url", "https://console.example"}, more...)...).Output()
		var answer struct{ Files []exported }
		if jerr := json.Unmarshal(out, &answer); jerr != nil {
			t.Fatalf("piped output is not JSON: %v (%v)\n%s", jerr, err, out)
		}
		status := map[string]string{}
		for _, f := range answer.Files {
			status[f.Path] = f.Status
		}
		return status, err
	}
	all := func(status map[string]string, want string, but ...string) {
		t.Helper()
		for path, s := range status {
			if s != want && !slices.Contains(but, path) {
				t.Errorf("%s is %s, want %s", path, s, want)
			}
		}
	}
	status, err := export()
	if err != nil || len(status) < 30 {
		t.Fatalf("%d files, %v", len(status), err)
	}
	all(status, "written")
	run := func(name string, args ...string) {
		t.Helper()
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatalf("%s is missing: `make test` installs it", name)
		}
		if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
			t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
	run("promtool", "check", "config", filepath.Join(dir, "prometheus", "prometheus.yml"))
	run("amtool", "check-config", filepath.Join(dir, "alertmanager", "alertmanager.yml"))
	status, err = export()
	if err != nil {
		t.Error(err)
	}
	all(status, "unchanged")

	mine := filepath.Join(dir, "alertmanager", "alertmanager.yml")
	if err := os.WriteFile(mine, []byte("route: {receiver: mine}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, err = export()
	if err == nil || status["alertmanager/alertmanager.yml"] != "kept" {
		t.Errorf("a changed file is %q, and the command %v", status["alertmanager/alertmanager.yml"], err)
	}
	if raw, _ := os.ReadFile(mine); !strings.Contains(string(raw), "mine") {
		t.Error("a changed file was written over")
	}
	status, err = export("--force")
	if err != nil || status["alertmanager/alertmanager.yml"] != "written" {
		t.Errorf("with --force it is %q, %v", status["alertmanager/alertmanager.yml"], err)
	}
}
