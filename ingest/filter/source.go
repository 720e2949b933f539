package filter

import "strings"

// source is a place resources come from; an empty part is any.
type source struct{ scheme, host, port string }

// parseSource reads [scheme://]host[:port][/path]; the path is left out, "*"
// is an empty part.
func parseSource(s string) source {
	var src source
	s = strings.ToLower(strings.TrimSpace(s))
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		src.scheme, s = wild(scheme), rest
	}
	s, _, _ = strings.Cut(s, "/")
	if strings.HasPrefix(s, "[") { // an IPv6 address has colons of its own
		if i := strings.IndexByte(s, ']'); i > 0 {
			src.host, src.port = s[:i+1], wild(strings.TrimPrefix(s[i+1:], ":"))
			return src
		}
	}
	host, port, _ := strings.Cut(s, ":")
	src.host, src.port = wild(host), wild(port)
	return src
}

func wild(part string) string {
	if part == "*" {
		return ""
	}
	return part
}

// covers tells whether a pattern matches a source. A host that begins with
// "*." is any subdomain and the domain itself.
func (p source) covers(s source) bool {
	if p.scheme != "" && p.scheme != s.scheme || p.port != "" && p.port != s.port {
		return false
	}
	if p.host == "" || p.host == s.host {
		return true
	}
	domain, below := strings.CutPrefix(p.host, "*.")
	return below && (s.host == domain || strings.HasSuffix(s.host, "."+domain))
}

// disallowed tells whether one of the texts is a source on the list. A pattern
// of a scheme alone (chrome-extension://*) matches the bare word, too.
func disallowed(list []source, texts ...string) bool {
	for _, text := range texts {
		if text == "" {
			continue
		}
		s, bare := parseSource(text), bareScheme(text)
		for _, p := range list {
			if p.covers(s) || bare != "" && p.scheme == bare && p.host == "" {
				return true
			}
		}
	}
	return false
}
