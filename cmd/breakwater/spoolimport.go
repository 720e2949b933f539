package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"breakwater/cmd/breakwater/backlog"
)

type spoolImportCmd struct {
	File string            `arg:"" help:"The archive."`
	Map  map[string]string `help:"Deliver to another upstream: PROJECT/NAME=PROJECT/NAME, or PROJECT=PROJECT for all of one." placeholder:"FROM=TO"`
	JSON bool              `help:"Print JSON."`
}

const (
	// chunkRecords and chunkBytes bound one request of an import; a larger
	// record goes alone.
	chunkRecords = 200
	chunkBytes   = 8 << 20
)

// importReport is what an import prints.
type importReport struct {
	File     string `json:"file"`
	Records  int    `json:"records"`
	Imported int    `json:"imported"`
	Repeated int    `json:"repeated"`
	Receipt  string `json:"receipt"`
}

// Run checks the whole archive, takes what was not taken before, and leaves a
// receipt. Broken off, the same command goes on.
func (i *spoolImportCmd) Run(c *cli, out io.Writer) (err error) {
	s, err := surveyArchive(i.File)
	if err != nil {
		return err
	}
	a, err := c.Spool.open(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	res := importReport{File: i.File, Records: len(s.records), Receipt: receiptOf(i.File)}
	if err := i.send(a, &res); err != nil {
		return err
	}
	rc := receipt{Archive: s.header.ID, SHA256: s.end.SHA256, Records: len(s.records), At: time.Now().UTC()}
	rc.Gateway, _ = os.Hostname() // "" is good enough
	b, err := json.MarshalIndent(rc, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(res.Receipt, append(b, '\n'), 0o600); err != nil {
		return err
	}
	if i.JSON || !isTerminal(out) {
		return writeJSON(out, res)
	}
	fmt.Fprintf(out, "%d record(s) taken, %d were here before. The receipt is %s: copy it to the first gateway, then breakwater spool export --finish %s there.\n",
		res.Imported, res.Repeated, res.Receipt, i.File)
	return nil
}

// send posts the archive's records in pieces.
func (i *spoolImportCmd) send(a *admin, res *importReport) error {
	f, err := os.Open(i.File)
	if err != nil {
		return err
	}
	defer f.Close()
	r := backlog.NewReader(f)
	if _, err := r.Header(); err != nil {
		return err
	}
	var chunk bytes.Buffer
	n := 0
	flush := func(more io.Reader) error {
		if n == 0 {
			return nil
		}
		err := a.take(io.MultiReader(&chunk, more), res)
		chunk.Reset()
		n = 0
		return err
	}
	for {
		h, envelope, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			return flush(bytes.NewReader(nil))
		}
		if err != nil {
			return err
		}
		i.translate(&h)
		line, err := json.Marshal(h)
		if err != nil {
			return err
		}
		if n > 0 && (n == chunkRecords || int64(chunk.Len())+h.Length > chunkBytes) {
			if err := flush(bytes.NewReader(nil)); err != nil {
				return err
			}
		}
		chunk.Write(append(line, '\n'))
		n++
		if h.Length > chunkBytes { // streamed, and not held in memory
			if err := flush(io.MultiReader(envelope, strings.NewReader("\n"))); err != nil {
				return err
			}
			continue
		}
		if _, err := io.Copy(&chunk, envelope); err != nil {
			return err
		}
		chunk.WriteByte('\n')
	}
}

// take posts records.
func (a *admin) take(body io.Reader, res *importReport) error {
	resp, err := a.do(context.Background(), http.MethodPost, backlog.Paths[1], nil, "application/x-breakwater-records", body)
	var refused *apiError
	if errors.As(err, &refused) {
		var part backlog.Result
		_ = json.Unmarshal(refused.body, &part) // what was taken before the one that was refused
		return fmt.Errorf("%d record(s) are taken, the same command goes on behind them: %w", res.Imported+part.Imported, err)
	}
	if err != nil {
		return fmt.Errorf("%d record(s) are taken for certain, the same command goes on behind them: %w", res.Imported, err)
	}
	defer resp.Body.Close()
	var done backlog.Result
	if err := json.NewDecoder(resp.Body).Decode(&done); err != nil {
		return err
	}
	res.Imported += done.Imported
	res.Repeated += done.Repeated
	return nil
}

// translate sends a record to where the map says.
func (i *spoolImportCmd) translate(h *backlog.Head) {
	project := h.Project
	if to, ok := i.Map[project]; ok {
		h.Project = to
	}
	for n, d := range h.Destinations {
		if to, ok := i.Map[project+"/"+d]; ok {
			p, name, named := strings.Cut(to, "/")
			if named {
				h.Project, h.Destinations[n] = p, name
			} else {
				h.Destinations[n] = to
			}
		}
	}
}
