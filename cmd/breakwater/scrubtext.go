package main

import (
	"breakwater/ingest"
	"breakwater/schemas"
)

// scrubTitle holds an error group's title to the project's scrubbing: the
// console and summaries show it.
func (a *app) scrubTitle(p *ingest.Project, title string) string {
	return a.scrubOne(p.Name, "title", "title", title)
}

// scrubText does the same for a piece of a log line, as if it were the body of
// a log: the found pieces go, the rest stays.
func (a *app) scrubText(project, text string) string { return a.scrubOne(project, "log", "body", text) }

// scrubOne scrubs one text as a member of an item type; what cannot be
// scrubbed is "".
func (a *app) scrubOne(project, typ, member, text string) string {
	payload := append(append([]byte(`{"`+member+`":`), schemas.QuoteString(text)...), '}')
	out, _, err := a.scrubber.For(project).Item(typ, payload)
	if err != nil {
		return ""
	}
	v, _ := schemas.Lookup(out, member)
	clean, _ := schemas.UnquoteString(v)
	return clean
}
