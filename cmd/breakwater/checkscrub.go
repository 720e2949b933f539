package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"breakwater/cmd/breakwater/config"
	"breakwater/ingest/scrub"
	"breakwater/schemas"
)

type checkScrubCmd struct {
	File    string `arg:"" help:"An envelope, or one JSON item such as an event; - reads standard input." type:"path"`
	Project string `help:"Project whose rules apply; the first one when empty."`
	Type    string `help:"Item type, when the file holds no envelope." default:"event"`
	JSON    bool   `help:"Print the result as JSON."`
}

// scrubbed is one item before and after.
type scrubbed struct {
	Type   string      `json:"type"`
	Before string      `json:"before"`
	After  string      `json:"after"`
	Hits   []scrub.Hit `json:"hits"`
	// Opaque tells that the item cannot be read; scrub.opaque decides.
	Opaque bool `json:"opaque,omitempty"`
}

// Run shows what scrubbing does to a file, with the rules that fired.
func (s *checkScrubCmd) Run(c *cli, out io.Writer) error {
	cfg, err := config.Load(c.Config, os.LookupEnv)
	if err != nil {
		return err
	}
	project, err := s.project(cfg)
	if err != nil {
		return err
	}
	salt, err := os.ReadFile(filepath.Join(cfg.DataDir(), "salt"))
	if err != nil { // hashes are then not those of this installation, but as long
		salt = make([]byte, saltSize)
	}
	rules, err := scrub.Compile(scrubConfig(project.Scrub, salt))
	if err != nil {
		return err
	}
	body, err := readFile(s.File)
	if err != nil {
		return err
	}
	items, err := split(body, s.Type)
	if err != nil {
		return err
	}
	results := make([]scrubbed, 0, len(items))
	for _, it := range items {
		raw, _ := it.InMemory()
		r := scrubbed{Type: it.Header.Type, Before: string(raw)}
		after, hits, err := rules.Explain(it.Header.Type, bytes.Clone(raw))
		if err != nil && !errors.Is(err, scrub.ErrOpaque) {
			return err
		}
		r.After, r.Hits, r.Opaque = string(after), hits, err != nil
		results = append(results, r)
	}
	if s.JSON || !isTerminal(out) {
		return writeJSON(out, results)
	}
	for _, r := range results {
		fmt.Fprintf(out, "\x1b[1m%s\x1b[0m\n\x1b[31m- %s\x1b[0m\n\x1b[32m+ %s\x1b[0m\n", r.Type, r.Before, r.After)
		if r.Opaque {
			fmt.Fprintf(out, "cannot be read, so it cannot be scrubbed: scrub.opaque is %q\n", project.Scrub.Opaque)
		}
		t := table.NewWriter()
		t.SetStyle(table.StyleLight)
		t.Style().Format.Header = text.FormatDefault
		t.AppendHeader(table.Row{"where", "rule"})
		for _, h := range r.Hits {
			t.AppendRow(table.Row{h.Path, h.Rule})
		}
		fmt.Fprintln(out, t.Render())
	}
	return nil
}

func (s *checkScrubCmd) project(cfg *config.Config) (*config.Project, error) {
	for i := range cfg.Projects {
		if s.Project == "" || cfg.Projects[i].Name == s.Project {
			return &cfg.Projects[i], nil
		}
	}
	return nil, fmt.Errorf("no project is named %q", s.Project)
}

// maxCheckFile bounds what is read from a file, in bytes.
const maxCheckFile = 100 << 20

func readFile(path string) ([]byte, error) {
	in := io.Reader(os.Stdin)
	if path != "-" && filepath.Base(path) != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return io.ReadAll(io.LimitReader(in, maxCheckFile))
}

// split reads an envelope's items; a file that is not an envelope is one item
// of the given type.
func split(body []byte, typ string) ([]schemas.Item, error) {
	r := schemas.NewReader(bytes.NewReader(body))
	if _, err := r.Header(); err == nil {
		var items []schemas.Item
		for {
			h, payload, err := r.Next()
			if errors.Is(err, io.EOF) && len(items) > 0 {
				return items, nil
			}
			if err != nil {
				break
			}
			raw, err := io.ReadAll(payload)
			if err != nil {
				return nil, err
			}
			items = append(items, schemas.Item{Header: h, Payload: schemas.Bytes(raw)})
		}
	}
	if _, err := schemas.ParseObject(body); err != nil {
		return nil, fmt.Errorf("the file is neither an envelope nor a JSON object: %w", err)
	}
	return []schemas.Item{{Header: schemas.NewItemHeader(typ), Payload: schemas.Bytes(body)}}, nil
}
