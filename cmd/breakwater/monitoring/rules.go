package monitoring

import (
	"fmt"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
)

const rulesFile = "rules/breakwater.rules.yml"

// Addresses that the files of this package are written with. Render puts the
// operator's own in their place.
const (
	consoleURL = "http://127.0.0.1:8081"
	grafanaURL = "http://127.0.0.1:3000"
)

// Links are where the annotations of alerts and the links of dashboards lead;
// "" stands for the address on this machine.
type Links struct {
	// Console is the address of the private listener as people reach it,
	// http://127.0.0.1:8081 by default.
	Console string
	// Grafana is the address of Grafana, http://127.0.0.1:3000 by default.
	Grafana string
}

func (l Links) replace(text string) string {
	console, grafana := l.withDefaults()
	return strings.NewReplacer(consoleURL, console, grafanaURL, grafana).Replace(text)
}

func (l Links) withDefaults() (console, grafana string) {
	console, grafana = strings.TrimRight(l.Console, "/"), strings.TrimRight(l.Grafana, "/")
	if console == "" {
		console = consoleURL
	}
	if grafana == "" {
		grafana = grafanaURL
	}
	return console, grafana
}

// Rules is the file of recording rules and alerts, with its links.
func Rules(l Links) []byte { return []byte(l.replace(string(mustRead(rulesFile)))) }

// operatorHead is what makes the groups of the file an object of the Prometheus
// operator.
const operatorHead = `# Recording rules and alerts for Breakwater, for the Prometheus operator: the
# groups of prometheus/breakwater.rules.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: breakwater
  labels: {app.kubernetes.io/name: breakwater}
spec:
`

// OperatorRules is the same file as a PrometheusRule, the form in which the
// Prometheus operator takes rules in Kubernetes.
func OperatorRules(l Links) []byte {
	_, groups, _ := strings.Cut("\n"+string(Rules(l)), "\ngroups:\n")
	var b strings.Builder
	b.WriteString(operatorHead + "  groups:\n")
	for line := range strings.Lines(groups) {
		if strings.TrimSpace(line) != "" {
			b.WriteString("  ")
		}
		b.WriteString(line)
	}
	return []byte(b.String())
}

// Rule is one recording rule or one alert of the file.
type Rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

// Alerts are the alerts in the order of the file.
func Alerts() []Rule {
	var list []Rule
	for _, r := range parsedRules() {
		if r.Alert != "" {
			list = append(list, r)
		}
	}
	return list
}

// parsedRules reads the embedded file, which the tests hold to be valid.
var parsedRules = sync.OnceValue(func() []Rule {
	var file struct{ Groups []struct{ Rules []Rule } }
	if err := yaml.Unmarshal(mustRead(rulesFile), &file); err != nil {
		panic(fmt.Sprintf("the embedded rules: %v", err))
	}
	var list []Rule
	for _, g := range file.Groups {
		list = append(list, g.Rules...)
	}
	return list
})

// mustRead reads an embedded file; one that is not there is a fault of the build.
func mustRead(name string) []byte {
	raw, err := Files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return raw
}
