package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"breakwater/cmd/breakwater/config"
	"breakwater/cmd/breakwater/console"
	"breakwater/ingest/scrub"
	"breakwater/schemas"
)

type checkScrubCmd struct {
	File    string `arg:"" help:"An envelope, one JSON item such as an event, or a recording of a replay; - reads standard input." type:"path"`
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
	header, items, err := split(body, s.Type)
	if err != nil {
		return err
	}
	results, err := explain(rules, header, items)
	if err != nil {
		return err
	}
	if s.JSON || !isTerminal(out) {
		return writeJSON(out, results)
	}
	for _, r := range results {
		fmt.Fprintf(out, "\x1b[1m%s\x1b[0m\n\x1b[31m- %s\x1b[0m\n\x1b[32m+ %s\x1b[0m\n", console.VisibleLines(r.Type), console.VisibleLines(r.Before), console.VisibleLines(r.After))
		if r.Opaque {
			fmt.Fprintf(out, "cannot be read, so it cannot be scrubbed: scrub.opaque is %q\n", project.Scrub.Opaque)
		}
		t := table.NewWriter()
		t.SetStyle(table.StyleLight)
		t.Style().Format.Header = text.FormatDefault
		t.AppendHeader(table.Row{"where", "rule"})
		for _, h := range r.Hits {
			t.AppendRow(table.Row{console.VisibleLines(h.Path), h.Rule})
		}
		fmt.Fprintln(out, t.Render())
	}
	return nil
}

// explain scrubs each item, and the headers of the envelope and of the items;
// those are shown where a rule hit.
func explain(rules *scrub.Rules, header *schemas.Object, items []schemas.Item) ([]scrubbed, error) {
	results := make([]scrubbed, 0, len(items))
	add := func(typ, payload string, raw, after []byte, hits []scrub.Hit, err error) error {
		if err != nil && !errors.Is(err, scrub.ErrOpaque) {
			return err
		}
		results = append(results, scrubbed{Type: typ, Before: shown(payload, raw), After: shown(payload, after), Hits: hits, Opaque: err != nil})
		return nil
	}
	line := func(typ string, o *schemas.Object, item bool) error {
		if o == nil {
			return nil
		}
		raw := o.Bytes()
		after, hits, err := rules.ExplainHeader(raw, item)
		if err == nil && len(hits) == 0 {
			return nil
		}
		return add(typ, "", raw, after, hits, err)
	}
	if err := line("header of the envelope", header, false); err != nil {
		return nil, err
	}
	for _, it := range items {
		raw, _ := it.InMemory()
		typ := it.Header.Type
		if err := line("header of "+typ, it.Header.Object, true); err != nil {
			return nil, err
		}
		after, hits, err := rules.Explain(typ, bytes.Clone(raw))
		if err := add(typ, typ, raw, after, hits, err); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// shown is a payload as people can read it.
func shown(typ string, payload []byte) string {
	payload = scrub.Readable(typ, payload)
	if !utf8.Valid(payload) {
		return fmt.Sprintf("(%d bytes that are no text)", len(payload))
	}
	return string(payload)
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

// split reads an envelope; a file that is none is one item: a replay's recording,
// or of the given type.
func split(body []byte, typ string) (header *schemas.Object, items []schemas.Item, err error) {
	one := func(typ string) []schemas.Item {
		return []schemas.Item{{Header: schemas.NewItemHeader(typ), Payload: schemas.Bytes(body)}}
	}
	if scrub.IsRecording(body) {
		return nil, one("replay_recording"), nil
	}
	r := schemas.NewReader(bytes.NewReader(body))
	if h, err := r.Header(); err == nil {
		for {
			ih, payload, err := r.Next()
			if errors.Is(err, io.EOF) && len(items) > 0 {
				return h.Object, items, nil
			}
			if err != nil {
				break
			}
			raw, err := io.ReadAll(payload)
			if err != nil {
				return nil, nil, err
			}
			items = append(items, schemas.Item{Header: ih, Payload: schemas.Bytes(raw)})
		}
	}
	if _, err := schemas.ParseObject(body); err != nil {
		return nil, nil, fmt.Errorf("the file is neither an envelope, nor a JSON object, nor a replay's recording: %w", err)
	}
	return nil, one(typ), nil
}
