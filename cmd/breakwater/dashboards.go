package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jedib0t/go-pretty/v6/table"

	"breakwater/cmd/breakwater/console"
	"breakwater/cmd/breakwater/monitoring"
)

type dashboardsCmd struct {
	Export exportCmd `cmd:"" help:"Write dashboards, rules, alerts and runbooks, with examples of the files that put them in force."`
}

type exportCmd struct {
	Dir          string `arg:"" help:"Folder to write to; made when it is not there." type:"path"`
	Console      string `help:"Address of the private listener as people reach it: runbooks and the console are linked there." default:"http://127.0.0.1:8081" placeholder:"URL" name:"console-url"`
	Grafana      string `help:"Address of Grafana as people reach it: alerts link their dashboard there." default:"http://127.0.0.1:3000" placeholder:"URL" name:"grafana-url"`
	Target       string `help:"The private listener as Prometheus reaches it." default:"127.0.0.1:8081" placeholder:"HOST:PORT"`
	Prometheus   string `help:"Prometheus as Grafana reaches it." default:"http://127.0.0.1:9090" placeholder:"URL" name:"prometheus-url"`
	Alertmanager string `help:"Alertmanager as Prometheus reaches it." default:"127.0.0.1:9093" placeholder:"HOST:PORT"`
	Folder       string `help:"Folder in which Grafana will find the dashboards." default:"/etc/grafana/dashboards" placeholder:"PATH" name:"grafana-folder"`
	Native       bool   `help:"Ask for native histograms (Prometheus 3.8 or later that scrapes them); classic ones otherwise. The dashboards are the same, and so are their addresses."`
	Force        bool   `help:"Write over files that differ. Without it they are kept, and the exit code is 1."`
	JSON         bool   `help:"Print the list of files as JSON."`
}

// Help is the text under the flags.
func (*exportCmd) Help() string {
	return `Examples:
  breakwater dashboards export ./monitoring
  breakwater dashboards export /etc/breakwater/monitoring --console-url https://breakwater.internal --grafana-url https://grafana.internal

Then:
  prometheus      rule_files: [DIR/prometheus/breakwater.rules.yml], and a scrape job named breakwater (DIR/prometheus/prometheus.yml shows both)
  alertmanager    take routes, inhibitions and receivers from DIR/alertmanager/alertmanager.yml; breakwater.tmpl lies beside it
  grafana         copy DIR/grafana/provisioning into its provisioning folder and DIR/grafana/dashboards to --grafana-folder; or import the JSON files by hand

The same version writes the same bytes. After an update of the gateway run it again.`
}

// exported is one file of the list that is printed.
type exported struct {
	Path   string `json:"path"`
	What   string `json:"what"`
	Status string `json:"status"`
}

// Run writes the files, and says of each what became of it.
func (x *exportCmd) Run(out io.Writer) error {
	tree, err := monitoring.Tree(monitoring.Export{
		Options: monitoring.Options{Links: monitoring.Links{Console: x.Console, Grafana: x.Grafana}, Native: x.Native},
		Target:  x.Target, Prometheus: x.Prometheus, Alertmanager: x.Alertmanager, Dashboards: x.Folder,
	})
	if err != nil {
		return err
	}
	var list []exported
	kept := 0
	for _, f := range tree {
		status, err := x.write(f)
		if err != nil {
			return err
		}
		if status == "kept" {
			kept++
		}
		list = append(list, exported{f.Path, f.What, status})
	}
	if x.JSON || !isTerminal(out) {
		err = writeJSON(out, map[string]any{"dir": x.Dir, "files": list})
	} else {
		t := newTable("file", "what", "status")
		t.SetColumnConfigs(nil)
		for _, e := range list {
			t.AppendRow(table.Row{e.Path, e.What, e.Status})
		}
		_, err = fmt.Fprintf(out, "%s\n%s\n", x.Dir, t.Render())
	}
	if err == nil && kept > 0 {
		err = fmt.Errorf("%d files differ from what would be written and were kept; --force writes over them", kept)
	}
	return err
}

// write makes one file: written, unchanged, or kept because it differs.
func (x *exportCmd) write(f monitoring.File) (status string, err error) {
	name := filepath.Join(x.Dir, filepath.FromSlash(f.Path))
	switch have, err := os.ReadFile(name); {
	case err == nil && bytes.Equal(have, f.Data):
		return "unchanged", nil
	case err == nil && !x.Force:
		return "kept", nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return "", err
	}
	return "written", os.WriteFile(name, f.Data, 0o644)
}

// helpPages are the runbooks of the alerts.
func helpPages() (pages []console.HelpPage) {
	for _, r := range monitoring.Runbooks() {
		pages = append(pages, console.HelpPage{Name: r.Name, Title: r.Title, Severity: r.Severity, HTML: r.HTML})
	}
	return pages
}
