package monitoring

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	headings = regexp.MustCompile(`(?m)^## (.+)$`)
	fenced   = regexp.MustCompile("(?s)```sh\n(.*?)```")
)

// Every alert has a page of the same four parts, and no page is left of an
// alert that is gone.
func TestRunbooks(t *testing.T) {
	entries, err := os.ReadDir("runbooks")
	if err != nil {
		t.Fatal(err)
	}
	books := Runbooks()
	if len(books) != len(entries) || len(books) != len(Alerts()) {
		t.Errorf("%d pages, %d files, %d alerts", len(books), len(entries), len(Alerts()))
	}
	for _, b := range books {
		var parts []string
		for _, m := range headings.FindAllStringSubmatch(b.Markdown, -1) {
			parts = append(parts, m[1])
		}
		if !strings.HasPrefix(b.Markdown, "# "+b.Name+"\n") || !slices.Equal(parts, []string{"Meaning", "Impact", "First three commands", "Silencing"}) {
			t.Errorf("%s: parts %q", b.Name, parts)
		}
		commands := fenced.FindStringSubmatch(b.Markdown)
		if commands == nil || len(strings.Split(strings.TrimSpace(commands[1]), "\n")) != 3 {
			t.Errorf("%s: not three commands first: %q", b.Name, commands)
		}
		if b.Title == "" || !slices.Contains(severities, b.Severity) || !strings.Contains(string(b.HTML), "<h2>Impact</h2>") || strings.Contains(string(b.HTML), "<h1>") {
			t.Errorf("%s: %q %q\n%s", b.Name, b.Title, b.Severity, b.HTML)
		}
		if bad := regexp.MustCompile(`(?i)<script|style=|<img|javascript:`).FindString(string(b.HTML)); bad != "" {
			t.Errorf("%s: %s does not belong on a page with our policy", b.Name, bad)
		}
		// A silence must name what it silences: everything else keeps firing.
		for _, line := range strings.Split(b.Markdown, "\n") {
			if strings.Contains(line, "silence add") && (!strings.Contains(line, "alertname="+b.Name+" ") || !strings.Contains(line, "--duration=") || !strings.Contains(line, "--comment=")) {
				t.Errorf("%s: a careless silence: %s", b.Name, line)
			}
		}
	}
}

// The README lists every alert with its severity, and none that is gone.
func TestReadmeListsTheAlerts(t *testing.T) {
	raw, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, a := range Alerts() {
		want = append(want, a.Alert+" "+a.Labels["severity"])
	}
	var have []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(Breakwater\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(string(raw), -1) {
		have = append(have, m[1]+" "+m[2])
	}
	if !slices.Equal(have, want) {
		t.Errorf("the README lists\n%s\nand the rules are\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}
