package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A shell asks the binary itself, so what it offers is what there is.
func TestShellCompletion(t *testing.T) {
	for _, tc := range []struct{ line, want, not string }{
		{"breakwater do", "doctor", "simulate"},
		{"breakwater simulate --sc", "--scenario", "--rate"},
		{"breakwater simulate --scenario release", "release-gone-bad", "storm"},
		{"breakwater dashboards ", "export", "doctor"},
	} {
		cmd := exec.Command(binary(t))
		cmd.Env = append(os.Environ(), "COMP_LINE="+tc.line)
		out, err := cmd.Output()
		if err != nil || !strings.Contains(string(out), tc.want) || strings.Contains(string(out), tc.not) {
			t.Errorf("%q completes to %q, %v", tc.line, out, err)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out, errs bytes.Buffer
		if code := run([]string{"completion", shell}, &out, &errs); code != exitGood || !strings.Contains(out.String(), "breakwater") {
			t.Errorf("%s: exit %d, %q %q", shell, code, out.String(), errs.String())
		}
	}
}

// Every command that there is has its place in the manual.
func TestManual(t *testing.T) {
	var page, help, errs bytes.Buffer
	if code := run([]string{"man"}, &page, &errs); code != exitGood {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	if code := run([]string{"--help"}, &help, &errs); code != exitGood {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	for _, want := range []string{
		`.TH BREAKWATER 1 "`, // and no sentence in the header
		"\n.nf\n  breakwater ",
		"\\fP\n.br\nPrints the manual page",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the manual has no %q", want)
		}
	}
	if header, _, _ := strings.Cut(page.String(), "\n"); len(header) > 80 {
		t.Errorf("a header of %d bytes: %s", len(header), header)
	}
	commands := 0
	for _, line := range strings.Split(help.String(), "\n") {
		name, _, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok || !strings.HasPrefix(line, "  ") || strings.HasPrefix(name, "-") || strings.HasPrefix(name, "breakwater") || strings.Contains(name, "=") || strings.Contains(name, "kill") {
			continue
		}
		name = strings.TrimSuffix(strings.Fields(name)[0], "")
		if strings.ToLower(name) != name {
			continue
		}
		commands++
		if !strings.Contains(page.String(), name) {
			t.Errorf("the manual has no %s", name)
		}
	}
	if commands < 8 {
		t.Errorf("only %d commands were found in the help\n%s", commands, help.String())
	}
}
