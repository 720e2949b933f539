package report

import (
	"breakwater/schemas"
)

// kind is what becomes of a report.
type kind int

const (
	kindOther kind = iota
	kindSecurity
	kindNEL
	kindCrash
	kindLog
)

// apiTypes are the types of the Reporting API that have a place.
var apiTypes = map[string]kind{
	"csp-violation":                          kindSecurity,
	"network-error":                          kindNEL,
	"crash":                                  kindCrash,
	"deprecation":                            kindLog,
	"intervention":                           kindLog,
	"permissions-policy-violation":           kindLog,
	"potential-permissions-policy-violation": kindLog,
	"document-policy-violation":              kindLog,
	"integrity-violation":                    kindLog,
	"coep":                                   kindLog,
	"coop":                                   kindLog,
}

// kindOf recognises a report by its members (protocol §4.3); cause says what
// it lacks.
func kindOf(o *schemas.Object) (k kind, cause string) {
	if _, ok := o.Get("csp-report"); ok {
		csp, ok := o.Object("csp-report")
		if !ok {
			return 0, "csp-report is not an object"
		}
		return kindSecurity, lacksDirective(csp, "effective-directive", "violated-directive")
	}
	for _, name := range []string{"expect-ct-report", "expect-staple-report"} {
		if _, ok := o.Get(name); ok {
			if _, ok := o.Object(name); !ok {
				return 0, name + " is not an object"
			}
			return kindSecurity, ""
		}
	}
	if pins, ok := o.Get("known-pins"); ok {
		if pins.Kind() != '[' {
			return 0, "known-pins is not a list"
		}
		return kindSecurity, ""
	}
	return apiKind(o)
}

// apiKind recognises a report of the Reporting API: {type, age, url, user_agent, body}.
func apiKind(o *schemas.Object) (k kind, cause string) {
	typ, ok := o.String("type")
	if !ok || typ == "" {
		return 0, "neither csp-report, expect-ct-report, expect-staple-report, known-pins nor a type"
	}
	k = apiTypes[typ]
	body, ok := o.Object("body")
	switch {
	case k == kindOther:
		return k, ""
	case !ok:
		return 0, "body is not an object"
	case typ == "csp-violation":
		return k, lacksDirective(body, "effectiveDirective", "violatedDirective")
	}
	return k, ""
}

// lacksDirective tells what a CSP report misses without which no server takes
// it. Old Firefox names the violated directive only.
func lacksDirective(o *schemas.Object, names ...string) string {
	for _, name := range names {
		if s, _ := o.String(name); s != "" {
			return ""
		}
	}
	return "no " + names[0]
}
