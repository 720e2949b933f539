package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"
	"github.com/mattn/go-isatty"

	"breakwater/cmd/breakwater/config"
	"breakwater/cmd/breakwater/simulate"
)

// version is set by the build (-ldflags "-X main.version=…").
var version = ""

// exit codes that scripts can trust.
const (
	exitGood  = 0
	exitFault = 1
	exitUsage = 2
)

type cli struct {
	Config string `help:"Configuration file; without one: one project, a key made at the first start." short:"c" type:"path" env:"BREAKWATER_CONFIG"`

	Serve      serveCmd      `cmd:"" default:"1" help:"Take reports, keep them, relay them (the default)."`
	Check      checkCmd      `cmd:"" help:"Check the configuration, or what scrubbing does to a file."`
	Routes     routesCmd     `cmd:"" help:"Try route templates on an access log before they cost series."`
	Doctor     doctorCmd     `cmd:"" help:"Prove that the whole path works; name what does not, and the fix."`
	Dashboards dashboardsCmd `cmd:"" help:"Dashboards, rules, alerts and runbooks for Prometheus and Grafana."`
	Simulate   simulateCmd   `cmd:"" help:"Send believable traffic at a gateway and hold what was sent against its metrics."`
	Spool      spoolCmd      `cmd:"" help:"Look at the spool, retry, drop, move a backlog to another gateway, check it."`
	Tail       tailCmd       `cmd:"" help:"Watch what becomes of items at the door, live."`
	Health     healthCmd     `cmd:"" help:"Ask a running gateway whether it is well; for container health checks."`
	Completion completionCmd `cmd:"" help:"Complete commands, flags and their values in your shell."`
	Man        manCmd        `cmd:"" help:"Print the manual page."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

const description = `Breakwater takes errors and Web Vitals from browsers and phones, answers 200 once they are on disk, relays errors to Sentry and shows vitals to Prometheus.

Examples:
  breakwater                                  serve on embedded defaults, print a DSN to paste
  SENTRY_DSN=https://key@host/1 breakwater    the same, and relay to that Sentry
  breakwater --config breakwater.yml          serve what the file says
  breakwater check --config breakwater.yml    every mistake at once, with file, line and fix
  kill -HUP <pid>                             read the file again; a mistake changes nothing

Exit codes: 0 good, 1 a fault was found, 2 bad usage.`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main without the exit: it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	var c cli
	code, exited := exitGood, false
	parser, err := kong.New(&c, kong.Name("breakwater"), kong.Description(description), kong.Writers(stdout, stderr),
		kong.Exit(func(n int) { code, exited = n, true }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"scenarios": strings.Join(simulate.ScenarioNames(), ",")}, kong.Bind(&c), kong.BindTo(stdout, (*io.Writer)(nil)))
	if err != nil {
		fmt.Fprintln(stderr, "breakwater:", err)
		return exitFault
	}
	if os.Getenv("COMP_LINE") != "" { // a shell asks what could come next
		kongcompletion.Register(parser)
	}
	if exited {
		return code
	}
	ctx, err := parser.Parse(args)
	if exited { // --help
		return code
	}
	if err != nil {
		fmt.Fprintf(stderr, "breakwater: %v\nSee: breakwater --help\n", err)
		return exitUsage
	}
	if err := ctx.Run(); err != nil {
		fmt.Fprintln(stderr, "breakwater:", err)
		return exitFault
	}
	return exitGood
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(out io.Writer) error {
	_, err := fmt.Fprintln(out, "breakwater", versionText())
	return err
}

// versionText is the build's version, else the module's, else "dev".
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

type healthCmd struct {
	URL     string        `help:"Health address, such as http://127.0.0.1:8081/-/healthy; by default that of the configuration."`
	Timeout time.Duration `help:"How long to wait." default:"3s"`
}

// Run asks once; anything but 200 is a fault.
func (h *healthCmd) Run(c *cli) error {
	if h.URL == "" {
		cfg, err := config.Load(c.Config, os.LookupEnv)
		if err != nil {
			return err
		}
		h.URL = "http://" + reachable(cfg.Server.AdminListen) + "/-/healthy"
	}
	resp, err := (&http.Client{Timeout: h.Timeout}).Get(h.URL)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
		return fmt.Errorf("%s answered %s: %s", h.URL, resp.Status, text)
	}
	return nil
}

type checkCmd struct {
	File  checkFileCmd  `cmd:"" default:"withargs" name:"config" help:"Check the configuration (the default)."`
	Scrub checkScrubCmd `cmd:"" help:"Show what scrubbing does to an envelope or an event."`
}

type checkFileCmd struct {
	Print bool `help:"Print the configuration in force, with secrets hidden."`
	JSON  bool `help:"Print the problems as JSON."`
}

// Run reports every mistake at once.
func (f *checkFileCmd) Run(c *cli, out io.Writer) error {
	cfg, err := config.Load(c.Config, os.LookupEnv)
	if ps := config.AsProblems(err); ps != nil && (f.JSON || !isTerminal(out)) {
		if err := writeJSON(out, map[string]any{"status": "invalid", "problems": ps}); err != nil {
			return err
		}
		return errors.New("the configuration has mistakes")
	}
	if err != nil {
		return err
	}
	switch {
	case f.Print:
		_, err = io.WriteString(out, cfg.Redacted())
	case f.JSON || !isTerminal(out):
		valid := map[string]any{"status": "valid", "projects": len(cfg.Projects), "hash": cfg.Hash()}
		if ws := cfg.Warnings(); len(ws) > 0 {
			valid["warnings"] = ws
		}
		err = writeJSON(out, valid)
	default:
		for _, w := range cfg.Warnings() {
			fmt.Fprintf(out, "\x1b[33m!\x1b[0m %s\n    %s\n    fix: %s\n\n", w.Key, w.Reason, w.Fix)
		}
		_, err = fmt.Fprintf(out, "\x1b[32m✓\x1b[0m the configuration is valid: %d project(s)\n", len(cfg.Projects))
	}
	return err
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
