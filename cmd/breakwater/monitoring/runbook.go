package monitoring

import (
	"bytes"
	"fmt"
	"html/template"
	"sync"

	"github.com/yuin/goldmark"
)

// Runbook is the page of one alert: what it means, what it costs, the first
// three commands, how to silence it safely.
type Runbook struct {
	// Name is the alert's, and the last part of its runbook_url.
	Name string
	// Title is the alert's summary, one sentence.
	Title string
	// Severity is critical, warning, info, or none.
	Severity string
	// Markdown is the page as it is written, with a heading of level 1.
	Markdown string
	// HTML is what follows the heading, as a fragment. It holds no script, no
	// style and nothing that comes from outside the binary.
	HTML template.HTML
}

// Runbooks are the pages in the order of the alerts.
func Runbooks() []Runbook { return runbooks() }

var runbooks = sync.OnceValue(func() []Runbook {
	var list []Runbook
	for _, a := range Alerts() {
		text := mustRead("runbooks/" + a.Alert + ".md")
		var html bytes.Buffer
		_, body, _ := bytes.Cut(text, []byte("\n")) // the heading is the page's
		if err := goldmark.Convert(body, &html); err != nil {
			panic(fmt.Sprintf("the embedded runbook of %s: %v", a.Alert, err))
		}
		list = append(list, Runbook{
			Name: a.Alert, Title: a.Annotations["summary"], Severity: a.Labels["severity"],
			Markdown: string(text), HTML: template.HTML(html.String()),
		})
	}
	return list
})
