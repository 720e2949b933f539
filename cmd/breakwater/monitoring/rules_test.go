package monitoring

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
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
	promtool(t, "check", "rules", "--lint-fatal", rulesFile)
}

func TestRulesSayWhatTheyShould(t *testing.T) {
	for _, file := range ruleTests(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			promtool(t, "test", "rules", file)
		})
	}
}

func ruleTests(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*_test.yml")
	if err != nil || len(files) < 3 {
		t.Fatalf("rule tests: %v %v", files, err)
	}
	return files
}

var severities = []string{"critical", "warning", "info", "none"}

// Every alert tells who must do what and where to look, and every rule has a
// test: an alert one in which it fires and one in which it is silent.
func TestRulesAreComplete(t *testing.T) {
	var tests strings.Builder
	for _, file := range ruleTests(t) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(raw)
	}
	// An alert that uses a recorded series tests it, too.
	used := tests.String()
	for _, a := range Alerts() {
		used += a.Expr
	}
	for _, r := range parsedRules() {
		if r.Alert == "" && !strings.Contains(used, r.Record) && !feedsTested(r.Record, used) {
			t.Errorf("%s has no test", r.Record)
		}
	}
	fires, silent := map[string]int{}, map[string]int{}
	for _, m := range regexp.MustCompile(`alertname: (\w+)(\}?)`).FindAllStringSubmatch(tests.String(), -1) {
		if m[2] == "" {
			fires[m[1]]++
		} else {
			silent[m[1]]++
		}
	}
	for _, a := range Alerts() {
		always := a.Alert == "BreakwaterWatchdog"
		if a.For == "" && !always || !slices.Contains(severities, a.Labels["severity"]) || a.Annotations["summary"] == "" || a.Annotations["description"] == "" ||
			a.Annotations["runbook_url"] != consoleURL+"/help/alerts/"+a.Alert || !strings.HasPrefix(a.Annotations["dashboard_url"], grafanaURL+"/d/breakwater-") {
			t.Errorf("%s is not complete: %+v", a.Alert, a)
		}
		if strings.Contains(a.Annotations["summary"], "{{") {
			t.Errorf("%s: a summary is a fixed text, so that alerts group by it", a.Alert)
		}
		if fires[a.Alert] == 0 || silent[a.Alert] == 0 && !always {
			t.Errorf("%s: %d tests in which it fires, %d in which it is silent; want both", a.Alert, fires[a.Alert], silent[a.Alert])
		}
	}
	if len(Alerts()) == 0 {
		t.Error("no alerts at all")
	}
}

// feedsTested tells whether a recorded series is read by another one that a
// test or an alert names.
func feedsTested(record, used string) bool {
	return slices.ContainsFunc(parsedRules(), func(r Rule) bool {
		return r.Record != "" && strings.Contains(r.Expr, record) && strings.Contains(used, r.Record)
	})
}

// The addresses of the operator are in every link.
func TestRulesCarryTheLinks(t *testing.T) {
	text := string(Rules(Links{Console: "https://breakwater.example/", Grafana: "https://grafana.example"}))
	if strings.Contains(text, "127.0.0.1") {
		t.Error("an address of this machine is left")
	}
	for _, want := range []string{"https://breakwater.example/help/alerts/BreakwaterUpstreamDown\n", "https://grafana.example/d/breakwater-gateway?"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the rules", want)
		}
	}
}
