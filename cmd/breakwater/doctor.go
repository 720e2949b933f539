package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"breakwater/cmd/breakwater/config"
	"breakwater/cmd/breakwater/doctor"
)

type doctorCmd struct {
	URL          string        `name:"url" help:"Where clients reach the gateway, with a proxy if there is one; by default the listener itself." placeholder:"URL"`
	Private      []string      `help:"Address of the private listener; from the configuration when empty. Of several gateways behind one address name each." placeholder:"URL"`
	Prometheus   string        `help:"Address of Prometheus." placeholder:"URL"`
	Alertmanager string        `help:"Address of Alertmanager." placeholder:"URL"`
	From         []string      `help:"Origins to send from; by default those of allowed_origins." placeholder:"ORIGIN"`
	CAFile       string        `help:"PEM file of an authority for the public address's certificate." type:"path" placeholder:"FILE"`
	Patience     time.Duration `help:"Longest wait for a delivery or a scrape." default:"75s"`
	Watch        bool          `help:"Go on, a round every --every, and keep breakwater_canary_last_success_timestamp_seconds fresh; sends no events, which would cost quota."`
	Every        time.Duration `help:"Time between rounds of --watch." default:"1m"`
	JSON         bool          `help:"Print the results as JSON."`
}

// Help is shown below the flags.
func (doctorCmd) Help() string {
	return `Walks the real path of a report and of a measurement and names what is wrong, with its cause and the fix: configuration, disk, the stream and Redis where gateways share them, clock, ports, TLS, proxies, CORS, tunnel, spool, upstreams, /metrics, Prometheus, rules, panels, Alertmanager, log outputs.

It sends canaries: one event for each project goes all the way, tagged breakwater.canary; the rest ends at the door. None counts as somebody's error, session or page view. Run it where the gateway runs, with its configuration and its environment.

Examples:
  breakwater doctor
  breakwater doctor --config breakwater.yml --url https://errors.example.com --from https://shop.example
  breakwater doctor --prometheus http://127.0.0.1:9090 --alertmanager http://127.0.0.1:9093
  breakwater doctor --json | jq '.results[] | select(.status == "fault")'
  breakwater doctor --watch --every 5m

Exit codes: 0 no fault (warnings do not count), 1 a fault, 2 bad usage.`
}

// errFaults ends the command with exit code 1; the table has said why.
var errFaults = errors.New("faults were found")

// Run examines once, or again and again.
func (d *doctorCmd) Run(c *cli, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if d.Watch {
		return d.watch(ctx, c, out)
	}
	o := d.options(c)
	line := statusLine{w: os.Stderr, on: isTerminal(os.Stderr)}
	o.Progress = func(r doctor.Result) { line.show("examining: " + r.Check + " " + r.Subject) }
	r := doctor.Run(ctx, o)
	line.clear()
	var err error
	if d.JSON || !isTerminal(out) {
		err = writeJSON(out, r)
	} else {
		_, err = io.WriteString(out, renderExamination(r))
	}
	if err == nil && !r.Healthy() {
		err = errFaults
	}
	return err
}

func (d *doctorCmd) options(c *cli) doctor.Options {
	o := doctor.Options{
		Path: c.Config, Public: d.URL, Prometheus: d.Prometheus, Alertmanager: d.Alertmanager,
		Origins: d.From, CAFile: d.CAFile, Patience: d.Patience, Queries: watchedQueries(), Rules: ownRules(),
	}
	if len(d.Private) > 0 {
		o.Private, o.Peers = d.Private[0], slices.Clone(d.Private[1:])
	}
	o.Config, o.Problem = config.Load(c.Config, os.LookupEnv)
	if o.Problem == nil {
		_, o.Problem = o.Config.EnsureKey()
		o.Stream, o.Redis = seenStream(o.Config), seenRedis(o.Config)
	}
	return o
}

// watch runs rounds until it is interrupted. It writes a line when a round finds
// what the one before did not, and one when all is well again.
func (d *doctorCmd) watch(ctx context.Context, c *cli, out io.Writer) error {
	last := "\x00"
	ticker := time.NewTicker(max(d.Every, time.Second))
	defer ticker.Stop()
	for {
		o := d.options(c)
		o.Quiet, o.Queries = true, nil // panels may be empty for an hour, and that is no news
		r := doctor.Run(ctx, o)
		if ctx.Err() != nil {
			return nil
		}
		if now := faultNames(r); now != last {
			last = now
			if err := d.round(out, r, now); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (d *doctorCmd) round(out io.Writer, r *doctor.Report, faults string) error {
	at := time.Now().Format(time.RFC3339)
	if d.JSON || !isTerminal(out) {
		return writeJSON(out, map[string]any{"time": at, "faults": r.Faults, "results": faultsOf(r)})
	}
	if faults == "" {
		_, err := fmt.Fprintln(out, at, text.FgGreen.Sprint("✓"), "no fault")
		return err
	}
	_, err := fmt.Fprintf(out, "%s\n%s", at, renderExamination(&doctor.Report{Results: faultsOf(r), Faults: r.Faults}))
	return err
}

func faultsOf(r *doctor.Report) []doctor.Result {
	list := []doctor.Result{}
	for _, res := range r.Results {
		if res.Status == doctor.Fault {
			list = append(list, res)
		}
	}
	return list
}

func faultNames(r *doctor.Report) string {
	var names []string
	for _, res := range faultsOf(r) {
		names = append(names, res.Check+"/"+res.Subject+"/"+res.Name)
	}
	return strings.Join(names, "\n")
}

// renderExamination is the table for people.
func renderExamination(r *doctor.Report) string {
	marks := map[doctor.Status]string{
		doctor.OK: text.FgGreen.Sprint("✓"), doctor.Warning: text.FgYellow.Sprint("!"), doctor.Fault: text.FgRed.Sprint("✗"), doctor.Skipped: text.Faint.Sprint("–"),
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"", "check", "of", "what was found"})
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 3, WidthMax: 34, WidthMaxEnforcer: wrapLines}, {Number: 4, WidthMax: 76, WidthMaxEnforcer: wrapLines}})
	for _, res := range r.Results {
		found := res.Detail
		if res.Cause != "" {
			found = strings.TrimSpace(res.Cause + "\n" + res.Detail)
		}
		if res.Fix != "" && res.Status != doctor.OK {
			found += "\nfix: " + res.Fix
		}
		t.AppendRow(table.Row{marks[res.Status], res.Check, res.Subject, found})
	}
	verdict := text.FgGreen.Sprint("✓ no fault")
	if r.Faults > 0 {
		verdict = text.FgRed.Sprintf("✗ %d faults", r.Faults)
	}
	if r.Warnings > 0 {
		verdict += fmt.Sprintf(", %d warnings", r.Warnings)
	}
	return t.Render() + "\n" + verdict + "\n"
}

// wrapLines breaks long lines between words and keeps the breaks there are.
func wrapLines(s string, width int) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = text.WrapSoft(l, width)
	}
	return strings.Join(lines, "\n")
}
