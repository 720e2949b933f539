package monitoring

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is missing: `make test` installs it")
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRulesAreValid(t *testing.T) {
	promtool(t, "check", "rules", "--lint-fatal", "rules/breakwater.rules.yml")
}

func TestRulesSayWhatTheyShould(t *testing.T) {
	promtool(t, "test", "rules", "testdata/rules_test.yml")
}

// Every alert tells who must do what, and every rule has a test.
func TestRulesAreComplete(t *testing.T) {
	raw, err := Files.ReadFile("rules/breakwater.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("testdata/rules_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Record, Alert, For  string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				if !strings.Contains(string(tests), r.Record) {
					t.Errorf("%s has no test", r.Record)
				}
				continue
			}
			alerts++
			if r.For == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" ||
				r.Annotations["runbook_url"] != "/help/alerts/"+r.Alert {
				t.Errorf("%s is not complete: %+v", r.Alert, r)
			}
			fires, silent := strings.Count(string(tests), "alertname: "+r.Alert+"\n"), strings.Count(string(tests), "alertname: "+r.Alert+"}")
			if fires == 0 || silent == 0 {
				t.Errorf("%s: %d tests in which it fires, %d in which it is silent; want both", r.Alert, fires, silent)
			}
		}
	}
	if alerts == 0 {
		t.Error("no alerts at all")
	}
}
