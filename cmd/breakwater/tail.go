package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"breakwater/cmd/breakwater/config"
	"breakwater/relay"
)

type tailCmd struct {
	adminTarget `embed:""`
	Project     string `help:"Items of this project only." placeholder:"NAME"`
	Category    string `help:"Items of this category only, such as error, session or replay." placeholder:"NAME"`
	Outcome     string `help:"Items with this outcome only: accepted, rate_limited, filtered, suppressed, invalid, unauthorized." placeholder:"NAME"`
	Reason      string `help:"Items with this reason only." placeholder:"NAME"`
	Match       string `help:"Items whose summary, release or event id matches this regular expression only." placeholder:"REGEXP"`
	Count       int    `help:"End after so many items; 0 goes on until interrupted." short:"n" default:"0"`
	JSON        bool   `help:"Print a JSON object per line."`
}

// Help is what stands behind the list of flags.
func (tailCmd) Help() string {
	return `Each line is one item: when, its project, category and outcome, and a summary after scrubbing.

Examples:
  breakwater tail --outcome rate_limited
  breakwater tail --project shop --category error --match 'TypeError'
  breakwater tail --json | jq -r 'select(.reason == "storm") | .summary'`
}

// tailLine is one item as the private API tells it.
type tailLine struct {
	At       time.Time `json:"at"`
	Project  string    `json:"project"`
	Category string    `json:"category"`
	Quantity int       `json:"quantity"`
	Outcome  string    `json:"outcome"`
	Reason   string    `json:"reason,omitempty"`
	Endpoint string    `json:"endpoint,omitempty"`
	EventID  string    `json:"event_id,omitempty"`
	Release  string    `json:"release,omitempty"`
	Summary  string    `json:"summary,omitempty"`
}

// tailRetry is how long a gateway that went away is left alone.
const tailRetry = time.Second

// errEnough ends a stream after Count items.
var errEnough = errors.New("enough")

// Run prints items until it is interrupted. A gateway that restarts is
// connected to again; the first connection must work.
func (t *tailCmd) Run(c *cli, out io.Writer) error {
	cfg, err := config.Load(c.Config, os.LookupEnv)
	if err != nil {
		return err
	}
	var match *regexp.Regexp
	if t.Match != "" {
		if match, err = regexp.Compile(t.Match); err != nil {
			return fmt.Errorf("--match: %w", err)
		}
	}
	base, token, up := t.running(cfg)
	if !up {
		return fmt.Errorf("no gateway answers at %s", base)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &admin{base: base, token: token, client: &http.Client{}}
	p := &tailPrinter{out: out, cmd: t, match: match, plain: t.JSON || !isTerminal(out)}
	for first := true; ; first = false {
		err := t.follow(ctx, a, p)
		var refused *apiError
		switch {
		case errors.Is(err, errEnough), ctx.Err() != nil:
			return nil
		case errors.As(err, &refused), first && !p.connected:
			return err
		}
		fmt.Fprintf(os.Stderr, "the stream ended; connecting again\n")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tailRetry):
		}
	}
}

// follow reads one connection's events to its end.
func (t *tailCmd) follow(ctx context.Context, a *admin, p *tailPrinter) error {
	q := url.Values{}
	for name, v := range map[string]string{"project": t.Project, "category": t.Category, "outcome": t.Outcome} {
		if v != "" {
			q.Set(name, v)
		}
	}
	resp, err := a.do(ctx, http.MethodGet, "/api/v1/tail", q, "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	p.connected = true
	return readEvents(resp.Body, p.event)
}

// maxEvent bounds one event of a stream, in bytes.
const maxEvent = 64 << 10

// readEvents reads server-sent events: their name and data.
func readEvents(r io.Reader, fn func(name string, data []byte) error) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 4096), maxEvent)
	name, data := "", []byte(nil)
	for sc.Scan() {
		line := sc.Text()
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if len(data) > 0 {
				if err := fn(name, data); err != nil {
					return err
				}
			}
			name, data = "", nil
		case field == "event":
			name = value
		case field == "data" && len(data) > 0:
			data = append(append(data, '\n'), value...)
		case field == "data":
			data = []byte(value)
		}
		if len(data) > maxEvent {
			return errors.New("an event of the stream is too long")
		}
	}
	if err := sc.Err(); err != nil {
		return err
	}
	return io.EOF
}

// tailPrinter prints the items that are wanted.
type tailPrinter struct {
	out       io.Writer
	cmd       *tailCmd
	match     *regexp.Regexp
	plain     bool
	connected bool
	n         int
}

func (p *tailPrinter) event(name string, data []byte) error {
	switch name {
	case "missed":
		var m struct{ Lines int64 }
		if json.Unmarshal(data, &m) == nil {
			fmt.Fprintf(os.Stderr, "%d items were missed: they came faster than they were read\n", m.Lines)
		}
		return nil
	case "item":
	default:
		return nil
	}
	var l tailLine
	if err := json.Unmarshal(data, &l); err != nil {
		return fmt.Errorf("the stream cannot be read: %w", err)
	}
	if p.cmd.Reason != "" && l.Reason != p.cmd.Reason ||
		p.match != nil && !p.match.MatchString(l.Summary) && !p.match.MatchString(l.Release) && !p.match.MatchString(l.EventID) {
		return nil
	}
	var err error
	if p.plain {
		_, err = fmt.Fprintf(p.out, "%s\n", data)
	} else {
		_, err = io.WriteString(p.out, l.render())
	}
	if err != nil {
		return errEnough // whoever read it is gone
	}
	if p.n++; p.cmd.Count > 0 && p.n >= p.cmd.Count {
		return errEnough
	}
	return nil
}

// render is a line for a terminal.
func (l *tailLine) render() string {
	color := "33" // yellow
	switch l.Outcome {
	case "accepted":
		color = "32"
	case "invalid", "unauthorized":
		color = "31"
	}
	what := l.Category
	if l.Quantity > 1 {
		what = fmt.Sprintf("%s ×%d", l.Category, l.Quantity)
	}
	outcome := l.Outcome
	if l.Reason != "" {
		outcome += " (" + l.Reason + ")"
	}
	return fmt.Sprintf("%s  %-14s %-14s \x1b[%sm%s\x1b[0m  %s\n", l.At.Local().Format("15:04:05.000"), relay.Printable(l.Project, 40), relay.Printable(what, 40),
		color, relay.Printable(outcome, 60), relay.Printable(strings.TrimSpace(l.Summary+"  "+l.Release), 200))
}
