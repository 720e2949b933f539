package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"breakwater/cmd/breakwater/config"
	"breakwater/ingest/vitals"
)

type routesCmd struct {
	Simulate simulateRoutesCmd `cmd:"" help:"Show what an access log would become: routes, templates worth adding, number of series."`
}

type simulateRoutesCmd struct {
	File      string   `arg:"" help:"URLs, paths or access log lines (common or combined format), one a line; - reads standard input." type:"path"`
	Templates []string `help:"Route templates to try, such as /product/:id; those of the configuration when there are none." placeholder:"TEMPLATE"`
	Project   string   `help:"Project whose templates apply; the first one when empty."`
	Top       int      `help:"How many routes the table shows; 0 shows all." default:"20"`
	JSON      bool     `help:"Print everything as JSON."`
}

// simulation is what the command prints as JSON.
type simulation struct {
	// Templates were in force.
	Templates []string `json:"templates"`
	// Budget is vitals.series_per_project: label sets one project may have.
	Budget int `json:"budget"`
	vitals.Report
}

// Run reads the file as a stream, so that its size does not matter.
func (s *simulateRoutesCmd) Run(c *cli, out io.Writer) error {
	cfg, err := config.Load(c.Config, os.LookupEnv)
	if err != nil {
		return err
	}
	sim := simulation{Templates: s.Templates, Budget: cfg.Vitals.SeriesPerProject}
	if len(s.Templates) == 0 {
		i := slices.IndexFunc(cfg.Projects, func(p config.Project) bool { return s.Project == "" || p.Name == s.Project })
		if i < 0 {
			return fmt.Errorf("no project is named %q", s.Project)
		}
		sim.Templates = cfg.Projects[i].Vitals.Routes
	}
	in := io.Reader(os.Stdin)
	if filepath.Base(s.File) != "-" {
		f, err := os.Open(s.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	if sim.Report, err = vitals.SimulateRoutes(sim.Templates, in); err != nil {
		return err
	}
	if sim.Templates == nil {
		sim.Templates = []string{} // an empty list, for programs
	}
	if s.JSON || !isTerminal(out) {
		return writeJSON(out, sim)
	}
	_, err = io.WriteString(out, sim.render(s.Top))
	return err
}

// render is the report for people.
func (s *simulation) render(top int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d lines: %d page views, %d skipped (assets, other methods, redirects, errors, no path)\n\n", s.Lines, s.Pages, s.Skipped)
	if s.Pages == 0 {
		b.WriteString("No line names a page. What can be read: URLs, paths, and access logs in the common or combined format, as plain text (zcat FILE.gz | breakwater routes simulate -).\n")
		return b.String()
	}
	t := newTable("route label", "page views", "share", "from")
	shown := s.Routes
	if top > 0 {
		shown = shown[:min(top, len(shown))]
	}
	rest := s.Pages
	for _, r := range shown {
		from := "built-in folding"
		if r.Configured {
			from = "template"
		}
		rest -= r.Count
		t.AppendRow(table.Row{r.Route, r.Count, percent(r.Count, s.Pages), from})
	}
	if more := len(s.Routes) - len(shown); more > 0 {
		t.AppendFooter(table.Row{fmt.Sprintf("%d more", more), rest, percent(rest, s.Pages), ""})
	}
	fmt.Fprintln(&b, t.Render())
	if s.Uncounted > 0 {
		fmt.Fprintf(&b, "%d page views came after %d different routes and are not told apart.\n", s.Uncounted, vitals.MaxSimulatedRoutes)
	}
	if len(s.Proposals) > 0 {
		t = newTable("template worth adding", "page views", "gathers routes", "such as")
		for _, p := range s.Proposals {
			t.AppendRow(table.Row{p.Template, p.Count, p.Routes, strings.Join(p.Examples, ", ")})
		}
		fmt.Fprintf(&b, "\n%s\n", t.Render())
	}
	t = newTable("cost on three devices", "routes", "label sets", "series")
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 2, Align: text.AlignRight}, {Number: 3, Align: text.AlignRight}, {Number: 4, Align: text.AlignRight}})
	t.AppendRow(s.cost("as it is", s.Bill))
	if len(s.Proposals) > 0 {
		t.AppendRow(s.cost("with these templates", s.BillWithProposals))
	}
	t.AppendRow(table.Row{"budget (vitals.series_per_project)", "", s.Budget, ""})
	fmt.Fprintf(&b, "\n%s\n", t.Render())
	if s.Bill.LabelSets > s.Budget {
		b.WriteString("Over the budget the busiest routes keep their names and the rest is counted as __other__.\n")
	}
	return b.String()
}

func (s *simulation) cost(what string, bill vitals.Bill) table.Row {
	return table.Row{what, bill.Routes, bill.LabelSets, bill.Series}
}

// newTable is a light table whose middle columns are numbers.
func newTable(header ...any) table.Writer {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header, t.Style().Format.Footer = text.FormatDefault, text.FormatDefault
	t.AppendHeader(header)
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 2, Align: text.AlignRight, AlignFooter: text.AlignRight},
		{Number: 3, Align: text.AlignRight, AlignFooter: text.AlignRight},
	})
	return t
}

func percent(n, of int) string { return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of)) }
