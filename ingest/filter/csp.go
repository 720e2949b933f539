package filter

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/ingest"
	"breakwater/schemas"
)

// cspForms are the forms of a CSP report: of report-uri ({"csp-report":
// {"blocked-uri"}}), of the Reporting API ({"type": "csp-violation", "body":
// {"blockedURL"}}) and of Sentry ({"csp": {"blocked_uri"}}).
var cspForms = []cspForm{
	{"csp-report", "blocked-uri", "source-file", "document-uri"},
	{"body", "blockedURL", "sourceFile", "documentURL"},
	{"csp", "blocked_uri", "source_file", "document_uri"},
}

type cspForm struct{ member, blocked, file, document string }

// eventForms are those of an event that a server made of a report.
var eventForms = cspForms[2:]

// cspParts are what a CSP report blames: the source, the file it stood in, and
// the page.
func cspParts(ev *schemas.Event, forms []cspForm) (blocked, file, document string, ok bool) {
	for _, form := range forms {
		o, found := ev.Object.Object(form.member)
		if !found {
			continue
		}
		blocked, _ = o.String(form.blocked)
		file, _ = o.String(form.file)
		document, _ = o.String(form.document)
		return blocked, file, document, true
	}
	return "", "", "", false
}

// csp tells whether a report is about a disallowed source: one of the
// project's list or, in what browsers sent, one of ReportNoise.
func (r *rules) csp(ev *schemas.Event, typ string) bool {
	forms, noise := cspForms, r.noise
	switch typ {
	case "raw_security", "security":
	default:
		forms, noise = eventForms, nil
	}
	if len(r.sources)+len(noise) == 0 {
		return false
	}
	blocked, file, document, ok := cspParts(ev, forms)
	return ok && (disallowed(r.sources, blocked, file, document) || disallowed(noise, blocked, file, document))
}

// report is the name of the filter that matches a browser's security report by
// what it says, "" for none.
func (r *rules) report(ev *schemas.Event) string {
	if r.csp(ev, "raw_security") {
		return InvalidCSP
	}
	if r.Localhost {
		if _, _, document, ok := cspParts(ev, cspForms); ok && isLocalHost(parseSource(document).host) {
			return Localhost
		}
	}
	return ""
}

// reportLogs takes those entries out of a container of browsers' reports that
// an extension or the like caused. They end as an item of their own.
func (r *rules) reportLogs(b *ingest.Batch, it *ingest.Item) {
	if name := r.client(b.Request, "", "", ""); name != "" {
		b.Drop(it, schemas.Filtered, name)
		return
	}
	if r.BrowserExtensions {
		dropMembers(b, it, BrowserExtensions, func(entry jsontext.Value) bool {
			v, _ := schemas.Lookup(entry, "attributes")
			v, _ = schemas.Lookup(v, "code.file.path")
			v, _ = schemas.Lookup(v, "value")
			file, _ := schemas.UnquoteString(v)
			return disallowed(r.noise, file)
		})
	}
}

// bareScheme is the scheme that a text is alone: of what has no host, such as
// an extension's script, Chromium reports the scheme and nothing else.
func bareScheme(text string) string {
	text = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(text), ":"))
	if text == "" || strings.ContainsAny(text, "./:") {
		return ""
	}
	return text
}
