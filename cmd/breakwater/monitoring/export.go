package monitoring

import (
	"embed"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed provision
var provision embed.FS

// Addresses that the provisioning files are written with, beside those of Links.
const (
	scrapeTarget       = "127.0.0.1:8081"
	prometheusURL      = "http://127.0.0.1:9090"
	alertmanagerTarget = "127.0.0.1:9093"
)

// Export is what the files of Tree shall say.
type Export struct {
	Options
	// Target is the private listener as Prometheus reaches it, host:port.
	Target string
	// Prometheus is its address as Grafana reaches it, a URL.
	Prometheus string
	// Alertmanager is its address as Prometheus reaches it, host:port.
	Alertmanager string
	// Dashboards is the folder where Grafana finds the dashboards' JSON,
	// /etc/grafana/dashboards by default.
	Dashboards string
}

// File is one of an export.
type File struct {
	// Path is relative to the folder of the export, with slashes.
	Path string
	// What tells what it is for, in a few words.
	What string
	Data []byte
}

// Tree is everything to watch the gateway with: rules, dashboards and runbooks,
// and examples of the files that put them in force. The same Export gives the
// same bytes.
func Tree(x Export) ([]File, error) {
	list := []File{
		{"prometheus/breakwater.rules.yml", "recording rules and alerts", Rules(x.Links)},
		{"kubernetes/prometheusrule.yaml", "the rules, as a PrometheusRule", OperatorRules(x.Links)},
	}
	boards, err := Dashboards(x.Options)
	if err != nil {
		return nil, err
	}
	for _, d := range boards {
		list = append(list, File{"grafana/dashboards/" + d.UID + ".json", "dashboard " + d.Title, d.JSON})
	}
	for name, what := range map[string]string{
		"prometheus/prometheus.yml":                       "scrape configuration, an example",
		"alertmanager/alertmanager.yml":                   "routes and receivers, an example",
		"alertmanager/breakwater.tmpl":                    "texts of Slack messages and mails",
		"grafana/provisioning/datasources/breakwater.yml": "the data source",
		"grafana/provisioning/dashboards/breakwater.yml":  "where the dashboards lie",
		"grafana/provisioning/alerting/breakwater.yml":    "contact points for Grafana's own alerts",
	} {
		raw, err := fs.ReadFile(provision, path.Join("provision", name))
		if err != nil {
			return nil, err
		}
		list = append(list, File{name, what, []byte(x.replace(string(raw)))})
	}
	for _, b := range Runbooks() {
		list = append(list, File{"runbooks/" + b.Name + ".md", "runbook", []byte(x.replace(b.Markdown))})
	}
	slices.SortFunc(list, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

func (x Export) replace(text string) string {
	or := func(s, def string) string {
		if s == "" {
			return def
		}
		return s
	}
	const folder = "/etc/grafana/dashboards"
	text = strings.NewReplacer(
		`"`+scrapeTarget+`"`, `"`+or(x.Target, scrapeTarget)+`"`, prometheusURL, or(strings.TrimRight(x.Prometheus, "/"), prometheusURL),
		`"`+alertmanagerTarget+`"`, `"`+or(x.Alertmanager, alertmanagerTarget)+`"`, folder, or(x.Dashboards, folder),
	).Replace(text)
	if x.Native {
		text = strings.NewReplacer("# scrape_native", "scrape_native", "# always_scrape_classic", "always_scrape_classic").Replace(text)
	}
	return x.Links.replace(text)
}
