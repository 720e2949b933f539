package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"breakwater/cmd/breakwater/config"
	"breakwater/cmd/breakwater/simulate"
	"breakwater/schemas"
)

type simulateCmd struct {
	Scenario  string        `help:"What happens: ${scenarios}." default:"mixed" enum:"${scenarios}"`
	Rate      float64       `help:"Items a second: errors, sessions, spans, log lines, vitals." default:"100"`
	Duration  time.Duration `help:"How long to send." default:"30s"`
	Releases  []string      `help:"Releases people use, oldest first." default:"shop@1.4.1,shop@1.4.2"`
	DSN       string        `help:"The gateway's DSN, as an SDK has it; from the configuration when empty." placeholder:"DSN"`
	Project   string        `help:"Configured name of the project; the first one when empty."`
	Metrics   string        `help:"Address of the gateway's /metrics; from the configuration when empty." placeholder:"URL"`
	Upstream  string        `help:"A recording upstream to ask as well (go run ./cmd/loadgen sink)." placeholder:"URL"`
	Addresses int           `help:"Client addresses to invent, sent as X-Forwarded-For. Believed only where this machine is in server.trusted_proxies; else all requests share one address and its limit." default:"0"`
	Parallel  int           `help:"Requests at the same time." default:"64"`
	Seed      uint64        `help:"Makes the same visits again; 0 makes new ones."`
	Wait      time.Duration `help:"How long to wait for deliveries at the end." default:"60s"`
	JSON      bool          `help:"Print the comparison as JSON."`
}

// Help is shown below the flags.
func (simulateCmd) Help() string {
	var b strings.Builder
	b.WriteString("Sends believable traffic of stock SDK shapes, then compares what was sent with what the gateway's metrics (and a recording upstream) say. Exit code 1 when an item is unaccounted for.\n\nScenarios:\n")
	for _, s := range simulate.Scenarios {
		fmt.Fprintf(&b, "  %-17s %s\n", s.Name, s.Help)
	}
	b.WriteString(`
Examples:
  breakwater simulate                                  100 items a second for 30 s at the gateway on this machine
  breakwater simulate --scenario storm --rate 500      watch storm control in the console
  breakwater simulate --scenario release-gone-bad --duration 10m
  breakwater simulate --dsn http://key@gateway:8080/1 --metrics http://gateway:8081/metrics --json`)
	return b.String()
}

// Run sends, waits and compares.
func (s *simulateCmd) Run(c *cli, out io.Writer) error {
	o, err := s.options(c)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	line := statusLine{w: os.Stderr, on: isTerminal(os.Stderr)}
	o.Progress = func(p simulate.Progress) { line.show(progressText(p, s.Duration)) }
	r, err := simulate.Run(ctx, o)
	line.clear()
	if err != nil {
		return err
	}
	if s.JSON || !isTerminal(out) {
		err = writeJSON(out, r)
	} else {
		_, err = io.WriteString(out, renderSimulation(r))
	}
	if err == nil && !r.Balanced {
		err = errors.New("not every item is accounted for")
	}
	return err
}

// options takes from the configuration what no flag says.
func (s *simulateCmd) options(c *cli) (o simulate.Options, err error) {
	o = simulate.Options{
		Project: s.Project, Scenario: s.Scenario, Rate: s.Rate, Duration: s.Duration, Releases: s.Releases, Connections: s.Parallel,
		Addresses: s.Addresses, Seed: s.Seed, Metrics: s.Metrics, Upstream: s.Upstream, Wait: s.Wait,
	}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	if s.DSN != "" {
		if o.DSN, err = schemas.ParseDSN(s.DSN); err != nil {
			return o, fmt.Errorf("--dsn: %w", err)
		}
		if s.Metrics == "" {
			return o, errors.New("--dsn names another gateway: give --metrics the address of its private listener, such as http://127.0.0.1:8081/metrics")
		}
		return o, nil
	}
	cfg, err := config.Load(c.Config, os.LookupEnv)
	if err != nil {
		return o, err
	}
	if o.DSN, o.Project, err = ownDSN(cfg, s.Project); err != nil {
		return o, err
	}
	if o.Metrics == "" {
		o.Metrics = "http://" + reachable(cfg.Server.AdminListen) + "/metrics"
	}
	return o, nil
}

// ownDSN is the DSN by which this machine reaches a project of the gateway
// that runs by cfg; without a name, the first project.
func ownDSN(cfg *config.Config, project string) (schemas.DSN, string, error) {
	if _, err := cfg.EnsureKey(); err != nil {
		return schemas.DSN{}, "", err
	}
	i := slices.IndexFunc(cfg.Projects, func(p config.Project) bool { return project == "" || p.Name == project })
	if i < 0 {
		return schemas.DSN{}, "", fmt.Errorf("no project is named %q", project)
	}
	p := cfg.Projects[i]
	if len(p.Keys) == 0 {
		return schemas.DSN{}, "", fmt.Errorf("project %q has no key", p.Name)
	}
	scheme := "http"
	if cfg.Server.TLS.Enabled() {
		scheme = "https"
	}
	dsn, err := schemas.ParseDSN(fmt.Sprintf("%s://%s@%s/%d", scheme, p.Keys[0].Public, reachable(cfg.Server.Listen), p.ID))
	return dsn, p.Name, err
}

// reachable is where this machine reaches a listener: one on all interfaces by
// loopback.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func progressText(p simulate.Progress, of time.Duration) string {
	done := min(1, p.Elapsed.Seconds()/of.Seconds())
	const width = 24
	bar := strings.Repeat("█", int(done*width)) + strings.Repeat("░", width-int(done*width))
	line := fmt.Sprintf("%s %s  %d items  %.0f/s", bar, p.Elapsed.Round(time.Second), p.Sent, float64(p.Sent)/max(0.001, p.Elapsed.Seconds()))
	if p.Refused > 0 {
		line += fmt.Sprintf("  %d refused", p.Refused)
	}
	if p.Lost > 0 {
		line += fmt.Sprintf("  %d without an answer", p.Lost)
	}
	if p.Phase != "sending" {
		line += fmt.Sprintf("  %s: %d in the spool", p.Phase, p.InSpool)
	}
	return line
}

// renderSimulation is the report for people.
func renderSimulation(r *simulate.Report) string {
	var b strings.Builder
	answers := make([]string, 0, len(r.Answers))
	for status, n := range r.Answers {
		answers = append(answers, fmt.Sprintf("%d × %s", n, status))
	}
	sort.Strings(answers)
	fmt.Fprintf(&b, "%s: %d requests in %.1f s, %.0f items a second; answers: %s\n\n", r.Scenario, r.Requests, r.Seconds, r.Rate, strings.Join(answers, ", "))
	t := newTable("category", "sent", "unread", "own", "received", "delivered", "waiting", "limited", "filtered", "suppressed", "other", "missing")
	var right []table.ColumnConfig
	for n := 2; n <= 12; n++ {
		right = append(right, table.ColumnConfig{Number: n, Align: text.AlignRight, AlignFooter: text.AlignRight})
	}
	t.SetColumnConfigs(right)
	for _, row := range r.Rows {
		o := row.Outcomes
		other := o[schemas.Invalid] + o[schemas.Unauthorized] + o[schemas.Expired] + o[schemas.DeadLetter]
		t.AppendRow(table.Row{row.Category, row.Sent, row.Unread, row.Own, row.Received, o[schemas.Delivered], row.Waiting, o[schemas.RateLimited], o[schemas.Filtered], o[schemas.Suppressed], other, row.Missing + row.Open})
	}
	fmt.Fprintln(&b, t.Render())
	b.WriteString("unread: in requests refused by address or key before they were read; each such request is one item of category unknown.\nown: summaries of storms and reports of drops, which the gateway adds.\n")
	if u := r.Upstream; u != nil {
		fmt.Fprintf(&b, "The upstream got %d requests; those with an event had %d different ids, and the gateway says it delivered %d such items.\n", u.Requests, u.Events, u.Delivered)
	}
	if r.Balanced {
		b.WriteString("\n✓ every item is accounted for\n")
	} else {
		b.WriteString("\n✗ not every item is accounted for (does something else send to this project?)\n")
	}
	return b.String()
}

// statusLine rewrites one line of a terminal, and is silent elsewhere.
type statusLine struct {
	w  io.Writer
	on bool
}

func (l statusLine) show(s string) {
	if l.on {
		fmt.Fprint(l.w, "\r\x1b[2K"+s)
	}
}

func (l statusLine) clear() { l.show("") }
