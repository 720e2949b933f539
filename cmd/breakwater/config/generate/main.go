// Command generate writes what is told about the configuration elsewhere: the
// JSON Schema that editors complete from (schemas/config.schema.json), and the
// table in the README between <!-- config:begin --> and <!-- config:end -->.
//
//	doc comments + tags of package config ──▶ JSON Schema ──▶ README table
//
// `go generate ./cmd/breakwater/config` runs it; this package's tests fail
// when either is stale.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/invopop/jsonschema"
)

// Places below the module's root.
const (
	sourceDir  = "cmd/breakwater/config"
	schemaFile = "schemas/config.schema.json"
	readmeFile = "README.md"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run() error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	schema, err := makeSchema(root)
	if err != nil {
		return err
	}
	text, err := schemaJSON(schema)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(root, schemaFile), text); err != nil {
		return err
	}
	return updateReadme(filepath.Join(root, readmeFile), schema)
}

// moduleRoot is the folder of go.mod, from here upwards.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod here or above")
		}
		dir = parent
	}
}

// write writes a file only when it would change.
func write(path string, data []byte) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, data) {
		return nil
	}
	return os.WriteFile(path, data, 0o644)
}

// updateReadme rewrites the table; a README without the marks, or none, is
// left alone.
func updateReadme(path string, schema *jsonschema.Schema) error {
	have, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	want, found := withTable(have, schema)
	if !found {
		return nil
	}
	return write(path, want)
}

var beginMark, endMark = []byte("<!-- config:begin -->"), []byte("<!-- config:end -->")

// withTable is the README with the table of a schema between its marks; found
// is false when it has none.
func withTable(readme []byte, schema *jsonschema.Schema) (out []byte, found bool) {
	before, rest, ok := bytes.Cut(readme, beginMark)
	_, after, closed := bytes.Cut(rest, endMark)
	if !ok || !closed {
		return nil, false
	}
	return bytes.Join([][]byte{before, beginMark, []byte("\n"), []byte(markdownTable(schema)), endMark, after}, nil), true
}
