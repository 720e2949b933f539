package storm

import (
	"net/url"
	"strings"

	"breakwater/ingest"
	"breakwater/schemas"
)

// securityForms are the members of a browser's security report that tell two
// findings apart: what was violated, and by whom.
var securityForms = []struct {
	member    string
	directive []string
	blamed    string
}{
	{"csp-report", []string{"effective-directive", "violated-directive"}, "blocked-uri"},
	{"body", []string{"effectiveDirective", "violatedDirective"}, "blockedURL"},
	{"expect-ct-report", nil, "hostname"},
	{"expect-staple-report", nil, "hostname"},
}

// ReadSecurity recognises a browser's security report by the directive and the
// host that was blocked: a policy that every page violates is one finding,
// whatever the page and the file.
func ReadSecurity(ev *schemas.Event) Fingerprint {
	kind, directive, blamed := "security report", "", ""
	for _, form := range securityForms {
		o, ok := ev.Object.Object(form.member)
		if !ok {
			continue
		}
		kind = form.member
		for _, name := range form.directive {
			if directive, _ = o.String(name); directive != "" {
				break
			}
		}
		blamed, _ = o.String(form.blamed)
		break
	}
	if kind == "body" {
		kind = "csp-report"
	}
	directive, _, _ = strings.Cut(strings.TrimSpace(directive), " ") // old Firefox names the whole policy
	f := Facts{Logger: "security", Custom: []string{kind, directive, hostOf(blamed)}, Level: "info"}
	f.Message = strings.TrimSpace(strings.Join(f.Custom, " "))
	return f.Fingerprint()
}

// hostOf is an address's host, or the word that stands in its place (inline,
// eval, data).
func hostOf(s string) string {
	if u, err := url.Parse(cut(s, maxValue)); err == nil && u.Host != "" {
		return u.Hostname()
	}
	word, _, _ := strings.Cut(s, ":")
	return cut(word, maxValue)
}

// security decides on a browser's security report. It has no place for tags,
// and no SDK behind it that would obey a limit.
func (c *Control) security(p *project, b *ingest.Batch, it *ingest.Item) {
	if p.off() {
		return
	}
	o, ok := c.finding(b, it)
	if !ok {
		return
	}
	if v := c.decide(p, b, it, &o); !v.forward {
		b.Drop(it, schemas.Suppressed, Reason)
		c.metrics.suppressed.WithLabelValues(p.name).Inc()
	}
}

// finding reads a security report; ok is false when it cannot be read.
func (c *Control) finding(b *ingest.Batch, it *ingest.Item) (o occurrence, ok bool) {
	if asked, ok := b.Request.Ballot().Subject(ingest.StepStorm, it).(*occurrence); ok {
		return *asked, true
	}
	ev := it.Event()
	if ev == nil {
		return o, false
	}
	f := ReadSecurity(ev)
	o = occurrence{project: b.Request.Project, publicKey: b.Request.Key, id: f.ID, level: f.Level, title: f.Title}
	o.client = newClientID(o.public()+"/security", b.Request.ClientIP)
	o.release, _ = it.Header.String("sentry_release")
	o.env, _ = it.Header.String("sentry_environment")
	return o, true
}
