package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/mattn/go-isatty"
)

func terminal() bool { return isatty.IsTerminal(os.Stderr.Fd()) }

func outputIsTerminal() bool { return isatty.IsTerminal(os.Stdout.Fd()) }

// progress rewrites one line on a terminal and is silent elsewhere.
func progress(format string, args ...any) {
	if terminal() {
		fmt.Fprintf(os.Stderr, "\r\x1b[2K"+format, args...)
	}
}

func progressEnd() {
	if terminal() {
		fmt.Fprint(os.Stderr, "\r\x1b[2K")
	}
}

// print writes a report: JSON when asked for or piped, else a table of its fields.
func print(asJSON bool, report any) error {
	if asJSON || !outputIsTerminal() {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	v := reflect.ValueOf(report)
	for i := range v.NumField() {
		t.AppendRow(table.Row{v.Type().Field(i).Tag.Get("json"), fmt.Sprint(v.Field(i).Interface())})
	}
	fmt.Println(t.Render())
	return nil
}
