package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"

	"breakwater/cmd/breakwater/backlog"
)

type spoolExportCmd struct {
	File        string        `arg:"" help:"The archive to write; an export that broke off goes on."`
	Project     string        `help:"Of this project only." placeholder:"NAME"`
	Destination string        `help:"Of this upstream only." placeholder:"NAME"`
	Dead        bool          `help:"Dead letters instead of waiting records."`
	Finish      bool          `help:"End here what the other gateway has taken, by its receipt (FILE.receipt), and let the destinations work again."`
	NoReceipt   bool          `help:"With --finish: end everything that is in the archive, without a receipt."`
	Cancel      bool          `help:"Let the destinations work again and end nothing; the archive is then worth nothing."`
	Wait        time.Duration `help:"How long deliveries under way may take to end." default:"2m"`
	JSON        bool          `help:"Print JSON."`
}

// exportReport is what an export prints.
type exportReport struct {
	File    string   `json:"file"`
	Records int      `json:"records"`
	Bytes   int64    `json:"bytes"`
	Paused  []string `json:"paused,omitempty"`
	Resumed []string `json:"resumed,omitempty"`
	Ended   int      `json:"ended"`
	Gone    int      `json:"gone"`
}

// Run exports, or does the step after it.
func (e *spoolExportCmd) Run(c *cli, out io.Writer) (err error) {
	if e.Finish && e.Cancel {
		return errors.New("give --finish or --cancel, not both")
	}
	a, err := c.Spool.open(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	var res exportReport
	switch {
	case e.Finish:
		res, err = e.finish(a)
	case e.Cancel:
		res, err = e.cancel(a)
	default:
		res, err = e.export(a)
	}
	if err != nil {
		return err
	}
	if e.JSON || !isTerminal(out) {
		return writeJSON(out, res)
	}
	switch {
	case e.Finish:
		fmt.Fprintf(out, "%d record(s) ended here: the other gateway has them.\n", res.Ended)
		if res.Gone > 0 {
			fmt.Fprintf(out, "%d were not here any more: they were delivered or dropped after the export, so both gateways may have delivered them.\n", res.Gone)
		}
	case e.Cancel:
		fmt.Fprintln(out, "Nothing was ended. Do not import the archive: this gateway delivers its records.")
	default:
		fmt.Fprintf(out, "%d record(s), %s in %s. Next: breakwater spool import %s on the other gateway, then breakwater spool export --finish %s here.\n",
			res.Records, shortSize(res.Bytes), e.File, e.File, e.File)
	}
	for _, d := range res.Paused {
		fmt.Fprintf(out, "paused: %s\n", d)
	}
	for _, d := range res.Resumed {
		fmt.Fprintf(out, "works again: %s\n", d)
	}
	return nil
}

// queueState is a destination as the private API shows it.
type queueState struct {
	Project  string `json:"project"`
	Name     string `json:"name"`
	Paused   bool   `json:"paused"`
	InFlight int    `json:"in_flight"`
}

func (a *admin) destinations(ctx context.Context) ([]queueState, error) {
	var list struct {
		Destinations []queueState `json:"destinations"`
	}
	err := a.get(ctx, "/api/v1/destinations", nil, &list)
	return list.Destinations, err
}

func (a *admin) gate(ctx context.Context, q queueState, verb string) error {
	return a.post(ctx, "/api/v1/destinations/"+url.PathEscape(q.Project)+"/"+url.PathEscape(q.Name)+"/"+verb, nil, struct{}{}, nil)
}

// pause stops the deliveries of what is to be exported, so that only one
// gateway delivers it, and waits for those under way.
func (e *spoolExportCmd) pause(ctx context.Context, a *admin) (paused []string, err error) {
	if a.rest != "" || e.Dead { // nobody delivers
		return nil, nil
	}
	for deadline := time.Now().Add(e.Wait); ; time.Sleep(50 * time.Millisecond) {
		list, err := a.destinations(ctx)
		if err != nil {
			return nil, err
		}
		paused, busy := []string{}, ""
		for _, q := range list {
			if e.Project != "" && q.Project != e.Project || e.Destination != "" && q.Name != e.Destination {
				continue
			}
			if !q.Paused {
				if err := a.gate(ctx, q, "pause"); err != nil {
					return nil, fmt.Errorf("pausing %s/%s: %w", q.Project, q.Name, err)
				}
				busy = q.Project + "/" + q.Name
			}
			if q.InFlight > 0 {
				busy = q.Project + "/" + q.Name
			}
			paused = append(paused, q.Project+"/"+q.Name)
		}
		switch {
		case len(paused) == 0:
			return nil, errors.New("no such destination")
		case busy == "":
			return paused, nil
		case time.Now().After(deadline):
			return nil, fmt.Errorf("%s is paused, and deliveries of it are still under way after %v", busy, e.Wait)
		}
	}
}

// export writes the archive, or what is missing of it.
func (e *spoolExportCmd) export(a *admin) (res exportReport, err error) {
	ctx := context.Background()
	res.File = e.File
	if res.Paused, err = e.pause(ctx, a); err != nil {
		return res, err
	}
	f, err := os.OpenFile(e.File, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r, last, err := resume(f, res.Paused)
	if err != nil {
		return res, err
	}
	if _, err := f.Seek(r.Offset, io.SeekStart); err != nil {
		return res, err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	q := url.Values{"limit": {strconv.Itoa(backlog.MaxPage)}}
	for name, v := range map[string]string{"project": e.Project, "destination": e.Destination} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if e.Dead {
		q.Set("dead", "true")
	}
	for {
		if last != "" {
			q.Set("after", last)
		}
		n, listed, err := a.exportPage(ctx, q, w, &last)
		if err != nil {
			return res, errors.Join(fmt.Errorf("the export broke off; the same command goes on: %w", err), w.Flush())
		}
		if n == 0 && listed == "" {
			break
		}
		if n == 0 {
			last = listed
		}
	}
	if err := errors.Join(w.Flush(), f.Sync()); err != nil {
		return res, err
	}
	return res, seal(f, &res)
}

// exportPage adds one answer's records to the archive. last is the id of the
// last whole one.
func (a *admin) exportPage(ctx context.Context, q url.Values, w io.Writer, last *string) (n int, listed string, err error) {
	resp, err := a.do(ctx, http.MethodGet, backlog.Paths[0], q, "", nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	r := backlog.NewReader(resp.Body)
	for {
		h, envelope, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n, resp.Header.Get(backlog.LastListed), nil
		}
		if err != nil {
			return n, "", err
		}
		line, err := json.Marshal(h)
		if err != nil {
			return n, "", err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return n, "", err
		}
		if _, err := io.Copy(w, envelope); err != nil { // compares the checksum; a torn record is cut off by the next try
			return n, "", err
		}
		if _, err := w.Write([]byte("\n")); err != nil {
			return n, "", err
		}
		*last = h.Record
		n++
	}
}

// resume finds the end of what is whole in an archive, and cuts the rest off;
// a new one gets its first line.
func resume(f *os.File, paused []string) (r *backlog.Reader, last string, err error) {
	r = backlog.NewReader(f)
	_, err = r.Header()
	if errors.Is(err, io.EOF) {
		host, _ := os.Hostname() // "" is good enough
		if err := backlog.WriteHeader(f, backlog.Header{ID: ulid.MustNew(ulid.Now(), rand.Reader).String(), CreatedAt: time.Now().UTC(), Source: host, Paused: paused}); err != nil {
			return nil, "", err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, "", err
		}
		r = backlog.NewReader(f)
		_, err = r.Header()
		return r, "", err
	}
	if err != nil {
		return nil, "", err
	}
	whole := r.Offset
	for {
		h, envelope, end, err := r.Next()
		if end != nil {
			return nil, "", errors.New("the archive is whole already; name another file, or go on with --finish or --cancel")
		}
		if err == nil {
			_, err = io.Copy(io.Discard, envelope)
		}
		if err != nil { // torn, damaged, or just the end: from here on it is written anew
			r.Offset = whole
			return r, last, f.Truncate(whole)
		}
		whole, last = r.Offset, h.Record
	}
}

// seal reads the archive once more, so that its last line is right, and writes
// that.
func seal(f *os.File, res *exportReport) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := backlog.NewReader(f)
	if _, err := r.Header(); err != nil {
		return err
	}
	for {
		_, envelope, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			_, err = io.Copy(io.Discard, envelope)
		}
		if err != nil {
			return fmt.Errorf("reading the archive back: %w", err)
		}
	}
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	if err := backlog.WriteEnd(f, r.Count(), r.Sum()); err != nil {
		return err
	}
	res.Records, res.Bytes = r.Count(), r.Offset
	return f.Sync()
}
