package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"breakwater/cmd/breakwater/console"
	"breakwater/relay"
)

type spoolCmd struct {
	spoolTarget `embed:""`

	Ls     spoolLsCmd     `cmd:"" help:"List waiting records, or dead letters."`
	Show   spoolShowCmd   `cmd:"" help:"Show one record: as JSON, as hex, or its bytes."`
	Retry  spoolRetryCmd  `cmd:"" help:"Put dead letters back into their queues."`
	Drop   spoolDropCmd   `cmd:"" help:"Give dead letters or waiting records up."`
	Export spoolExportCmd `cmd:"" help:"Write a backlog to a file for another gateway; end it here once that one has it."`
	Import spoolImportCmd `cmd:"" help:"Take a backlog from a file, each record once."`
	Verify spoolVerifyCmd `cmd:"" help:"Check every record of a spool, or of an exported file."`
}

// Help is what stands behind the list of subcommands.
func (spoolCmd) Help() string {
	return `A running gateway is asked by its private API; when none answers, the spool's directory is opened at rest. A directory that a gateway uses is never touched.

Examples:
  breakwater spool ls --project shop --destination sentry
  breakwater spool ls --dead --json | jq -r '.records[].id'
  breakwater spool show 01K9… --hex
  breakwater spool retry --project shop --all
  breakwater spool export --project shop backlog.bwx          on the gateway that shall give
  breakwater spool import backlog.bwx                         on the one that shall take
  breakwater spool export --finish backlog.bwx                on the first one: end there what the other has
  breakwater spool verify --dir /var/lib/breakwater/spool`
}

// storedRecord is a record as the private API lists it.
type storedRecord = console.Record

// recordFilter selects records.
type recordFilter struct {
	Project     string `help:"Of this project only." placeholder:"NAME"`
	Destination string `help:"Of this upstream only." placeholder:"NAME"`
	EventID     string `help:"With this event id only." placeholder:"ID"`
}

func (f recordFilter) query() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{"project": f.Project, "destination": f.Destination, "event_id": f.EventID} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

type spoolLsCmd struct {
	recordFilter `embed:""`
	Dead         bool `help:"Dead letters instead of waiting records."`
	Limit        int  `help:"At most so many records; 0 lists all." default:"50"`
	JSON         bool `help:"Print JSON."`
}

// pageSize is how many records one request lists.
const pageSize = 200

// Run lists records, oldest first.
func (l *spoolLsCmd) Run(c *cli, out io.Writer) error {
	a, err := c.Spool.open(c)
	if err != nil {
		return err
	}
	list, more, err := a.records(context.Background(), l.query(), l.Dead, l.Limit)
	if err = errors.Join(err, a.close()); err != nil {
		return err
	}
	if l.JSON || !isTerminal(out) {
		return writeJSON(out, map[string]any{"records": list, "more": more})
	}
	_, err = io.WriteString(out, renderRecords(list, more))
	return err
}

// records lists up to limit records, all of them when it is 0.
func (a *admin) records(ctx context.Context, query url.Values, dead bool, limit int) (list []storedRecord, more bool, err error) {
	list = []storedRecord{}
	if dead {
		query.Set("dead", "true")
	}
	for {
		n := pageSize
		if limit > 0 {
			n = min(n, limit-len(list))
		}
		query.Set("limit", strconv.Itoa(n))
		var page struct {
			Records []storedRecord `json:"records"`
			Next    string         `json:"next"`
		}
		if err := a.get(ctx, "/api/v1/spool/records", query, &page); err != nil {
			return list, false, err
		}
		list = append(list, page.Records...)
		if page.Next == "" {
			return list, false, nil
		}
		if limit > 0 && len(list) >= limit {
			return list, true, nil
		}
		query.Set("after", page.Next)
	}
}

func renderRecords(list []storedRecord, more bool) string {
	t := newTable("record", "items", "size", "destination", "state", "age", "attempts", "reason", "what")
	now := time.Now()
	for _, r := range list {
		items := 0
		for _, c := range r.Counts {
			items += c.Quantity
		}
		state := r.State
		if !r.Due.IsZero() {
			state += " " + shortAge(r.Due.Sub(now))
		}
		t.AppendRow(table.Row{
			r.ID, items, shortSize(r.Size), relay.Printable(r.Project+"/"+r.Destination, 80), state, shortAge(now.Sub(r.ReceivedAt)),
			r.Attempts, relay.Printable(r.Reason, 40), relay.Printable(r.Title, 60),
		})
	}
	s := t.Render() + "\n"
	switch {
	case len(list) == 0:
		s = "nothing\n"
	case more:
		s += fmt.Sprintf("the first %d; --limit 0 lists all\n", len(list))
	}
	return s
}

func shortAge(d time.Duration) string {
	switch {
	case d < 0:
		return "now"
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func shortSize(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// chosen is what retry and drop take: ids, or a selection.
type chosen struct {
	IDs          []string `arg:"" optional:"" name:"id" help:"Records."`
	recordFilter `embed:""`
	All          bool `help:"All that the filters leave."`
}

// check refuses an order that names nothing.
func (s *chosen) check() error {
	switch {
	case len(s.IDs) > 0 && s.All:
		return errors.New("give ids or --all, not both")
	case len(s.IDs) == 0 && !s.All && s.EventID == "":
		return errors.New("name records by id, by --event-id, or say --all")
	}
	return nil
}

// maxIDs is how many ids one request takes.
const maxIDs = 200

// act posts the selection and returns how many records it touched.
func (a *admin) act(path string, s *chosen) (n int, err error) {
	sel := map[string]any{}
	for name, v := range s.query() {
		sel[name] = v[0]
	}
	if s.All {
		sel["all"] = true
	}
	ids := s.IDs
	for {
		if len(s.IDs) > 0 {
			sel["ids"] = ids[:min(len(ids), maxIDs)]
			ids = ids[min(len(ids), maxIDs):]
		}
		var done struct{ Affected int }
		if err := a.post(context.Background(), path, nil, sel, &done); err != nil {
			return n, err
		}
		n += done.Affected
		if len(ids) == 0 {
			return n, nil
		}
	}
}

type spoolRetryCmd struct {
	chosen `embed:""`
	JSON   bool `help:"Print JSON."`
}

// Run puts dead letters back.
func (r *spoolRetryCmd) Run(c *cli, out io.Writer) error {
	return c.Spool.change(c, out, r.JSON, "/api/v1/dead-letters/retry", &r.chosen, "put back into their queues")
}

type spoolDropCmd struct {
	chosen  `embed:""`
	Waiting bool `help:"Records that wait, instead of dead letters."`
	Yes     bool `help:"Do not ask."`
	JSON    bool `help:"Print JSON."`
}

// Run gives records up, after a question.
func (d *spoolDropCmd) Run(c *cli, out io.Writer) error {
	path, what := "/api/v1/dead-letters/drop", "dead letters"
	if d.Waiting {
		path, what = "/api/v1/spool/records/drop", "waiting records"
	}
	if err := d.check(); err != nil {
		return err
	}
	if !d.Yes {
		if !isTerminal(os.Stdin) || !isTerminal(out) {
			return errors.New("dropping is for ever: say --yes")
		}
		fmt.Fprintf(out, "Drop these %s for ever? [y/N] ", what)
		reply, _ := bufio.NewReader(os.Stdin).ReadString('\n') // nothing is no
		if r := strings.ToLower(strings.TrimSpace(reply)); r != "y" && r != "yes" {
			return errors.New("nothing was dropped")
		}
	}
	return c.Spool.change(c, out, d.JSON, path, &d.chosen, "dropped")
}

// change does one thing to a selection and says how much it was.
func (t spoolTarget) change(c *cli, out io.Writer, asJSON bool, path string, s *chosen, did string) error {
	if err := s.check(); err != nil {
		return err
	}
	a, err := t.open(c)
	if err != nil {
		return err
	}
	n, err := a.act(path, s)
	if err = errors.Join(err, a.close()); err != nil {
		return err
	}
	if asJSON || !isTerminal(out) {
		err = writeJSON(out, map[string]any{"affected": n})
	} else {
		_, err = fmt.Fprintf(out, "%d record(s) %s\n", n, did)
	}
	if err == nil && n == 0 && len(s.IDs) > 0 {
		err = errors.New("no such record in that state")
	}
	return err
}
