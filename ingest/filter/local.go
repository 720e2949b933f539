package filter

import (
	"net/url"
	"strings"

	"breakwater/schemas"
)

// isLocalIP tells whether a client says its user's address is its own machine.
func isLocalIP(ip string) bool { return ip == "127.0.0.1" || ip == "::1" }

// isLocalHost tells whether a host is this machine or a subdomain of it.
func isLocalHost(host string) bool {
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") ||
		host == "127.0.0.1" || strings.HasSuffix(host, ".127.0.0.1") || host == "::1"
}

// isLocal tells whether an event comes from a developer's machine. The address
// the request came from does not count: behind a proxy on the same machine it
// is always 127.0.0.1.
func isLocal(ev *schemas.Event) bool {
	if isLocalIP(ev.UserIP()) {
		return true
	}
	raw := ev.RequestURL()
	var parsed *url.URL
	if raw != "" {
		if u, err := url.Parse(raw); err == nil && u.Scheme != "" {
			parsed = u
		}
	}
	if parsed != nil && (strings.EqualFold(parsed.Scheme, "file") || isLocalHost(parsed.Hostname())) {
		return true
	}
	if isLocalIP(ev.RequestHeader("X-Forwarded-For")) {
		return true
	}
	if parsed != nil {
		return false
	}
	for _, name := range []string{"Host", "X-Forwarded-Host"} {
		host, _, _ := strings.Cut(strings.ToLower(ev.RequestHeader(name)), ":")
		if host == "localhost" || host == "127.0.0.1" {
			return true
		}
	}
	return false
}
