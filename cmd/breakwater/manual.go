package main

import (
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	mangokong "github.com/alecthomas/mango-kong"
	"github.com/muesli/roff"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Shell to complete in: bash, zsh or fish."`
}

// Help is shown below the flags.
func (completionCmd) Help() string {
	return `Prints what a shell needs to complete commands, flags and their values. The shell asks breakwater itself, which therefore has to be in its PATH.

Examples:
  source <(breakwater completion bash)                                     for this shell
  breakwater completion bash > /etc/bash_completion.d/breakwater           for everybody
  source <(breakwater completion zsh)
  breakwater completion fish > ~/.config/fish/completions/breakwater.fish`
}

// Run prints the script.
func (c completionCmd) Run(out io.Writer) error {
	_, err := io.WriteString(out, completionScripts[c.Shell])
	return err
}

// completionScripts let a shell run breakwater with COMP_LINE set; run answers.
var completionScripts = map[string]string{
	"bash": "complete -o default -o bashdefault -C breakwater breakwater\n",
	"zsh":  "autoload -U +X bashcompinit && bashcompinit\ncomplete -o default -o bashdefault -C breakwater breakwater\n",
	"fish": `function __breakwater_complete
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct)
    and set COMP_LINE "$COMP_LINE "
    breakwater
end
complete -f -c breakwater -a "(__breakwater_complete)"
`,
}

type manCmd struct{}

// Help is shown below the flags.
func (manCmd) Help() string {
	return `Prints the manual page, in troff.

Examples:
  breakwater man | man -l -
  breakwater man > /usr/local/share/man/man1/breakwater.1`
}

// Run writes the page.
func (manCmd) Run(app *kong.Kong, out io.Writer) error {
	page := mangokong.NewManPage(1, app.Model).Build(manual{roff.NewDocument()})
	page = example.ReplaceAllStringFunc(page, func(s string) string {
		return "\n.nf" + strings.ReplaceAll(s, "\n.PP\n", "\n") + "\n.fi"
	})
	_, err := io.WriteString(out, joined.ReplaceAllString(page, "$1\n.br\n$2"))
	return err
}

// example matches lines of examples, which the writer takes for paragraphs.
var example = regexp.MustCompile(`(\n\.PP\n  [^\n]*)+`)

// joined matches a command that its description follows without a break.
var joined = regexp.MustCompile(`(?m)^(\\fB.*\[flags\]\\fP)(.)`)

// manual is a document whose header fits in a line.
type manual struct{ *roff.Document }

// Heading names the manual; the description has its place under NAME.
func (m manual) Heading(section uint, title, _ string, ts time.Time) {
	m.Document.Heading(section, title, "Breakwater", ts)
}
