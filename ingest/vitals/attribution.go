package vitals

import (
	"encoding/json"
	"regexp"
	"strings"

	"breakwater/schemas"
)

// attributionFields are what explains a poor value, by vital: numbers as they
// are, text cut and stripped. Everything else of an attribution stays out of
// the log: it is large, or personal.
var attributionFields = [webVitals][]string{
	lcp:  {"target", "url", "timeToFirstByte", "resourceLoadDelay", "resourceLoadDuration", "elementRenderDelay"},
	inp:  {"interactionTarget", "interactionType", "inputDelay", "processingDuration", "presentationDelay", "totalScriptDuration", "loadState"},
	cls:  {"largestShiftTarget", "largestShiftValue", "largestShiftTime", "loadState"},
	fcp:  {"timeToFirstByte", "firstByteToFCP", "loadState"},
	ttfb: {"waitingDuration", "cacheDuration", "dnsDuration", "connectionDuration", "requestDuration"},
}

// sentryAttribution is where Sentry's SDKs say the same, by the vital and our
// name for it.
var sentryAttribution = [webVitals]map[string]string{
	lcp: {"target": "lcp.element", "url": "lcp.url"},
	inp: {"interactionTarget": "inp.target", "interactionType": "inp.interaction_type"},
	cls: {"largestShiftTarget": "cls.source.1"},
}

// attributionOf is the attribution of a vital from Sentry traffic, as the
// web-vitals library would write it; nil when nothing is known.
func attributionOf(k vital, why func(string) string) string {
	fields := map[string]string{}
	for ours, theirs := range sentryAttribution[k] {
		if text := why(theirs); text != "" {
			fields[ours] = text
		}
	}
	if len(fields) == 0 {
		return ""
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return "" // of strings it never is
	}
	return string(raw)
}

const maxAttribution = 256

// quoted is the value of an attribute in a selector: it may be anything.
var quoted = regexp.MustCompile(`=("[^"]*"|'[^']*')`)

// logPoor writes one line about a poor value: why it was poor, for the people
// who search logs. At most a few a second; never a label.
func (p *project) logPoor(v *Vitals, r *report, e *schemas.Vital) {
	if r.vital >= webVitals || specs[r.vital].rate(r.value) != poor || v.cfg.LogPerSecond < 0 || !v.logs.AllowN(v.cfg.Now(), 1) {
		return
	}
	line := v.cfg.Log.Info().Str("project", p.name).Str("vital", specs[r.vital].name).Float64("value", r.value).
		Str("environment", r.env).Str("release", r.release).Str("route", r.route).Str("device", r.device).
		Str("navigation_type", navTypes[r.nav])
	if id := r.trace.String(); id != "" {
		line = line.Str("trace_id", id)
	}
	var fields map[string]json.RawMessage
	if e.Attribution != "" && json.Unmarshal([]byte(e.Attribution), &fields) == nil {
		for _, name := range attributionFields[r.vital] {
			var number float64
			var text string
			switch raw := fields[name]; {
			case raw == nil:
			case json.Unmarshal(raw, &number) == nil:
				line = line.Float64(name, number)
			case json.Unmarshal(raw, &text) == nil && text != "":
				if text = plainText(text); v.cfg.Scrub != nil {
					text = v.cfg.Scrub(p.name, text)
				}
				line = line.Str(name, text)
			}
		}
	}
	line.Msg("poor web vital")
}

// plainText takes queries off URLs and values off selectors.
func plainText(s string) string {
	if strings.HasPrefix(s, "data:") {
		return "data:" // the picture itself
	}
	if strings.Contains(s, "://") || strings.HasPrefix(s, "/") {
		if i := strings.IndexAny(s, "?#"); i >= 0 {
			s = s[:i]
		}
		if scheme, rest, ok := strings.Cut(s, "://"); ok {
			host, path, _ := strings.Cut(rest, "/")
			if i := strings.LastIndexByte(host, '@'); i >= 0 {
				host = host[i+1:]
			}
			s = scheme + "://" + host + "/" + path
		}
	}
	s = quoted.ReplaceAllString(s, `="…"`)
	if len(s) > maxAttribution {
		s = strings.ToValidUTF8(s[:maxAttribution], "") + "…"
	}
	return s
}
