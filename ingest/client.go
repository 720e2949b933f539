package ingest

import (
	"net/http"
	"net/netip"
	"strings"
)

// clientAddr is who sent the request, which came by the connection c or by that of
// another server: the peer, unless the peer is a trusted
// proxy; then the nearest entry of X-Forwarded-For, from the right, that is
// not one. What stands further left is the client's own word and ignored. An
// entry that is no address ends the search at the last one that was.
func clientAddr(c *sender, r *http.Request, trusted []netip.Prefix) netip.Addr {
	var peer netip.Addr
	if c != nil {
		peer = c.peer
	} else {
		peer = peerAddr(r.RemoteAddr)
	}
	if len(trusted) == 0 || !contains(trusted, peer) {
		return peer
	}
	client := peer
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest := lines[i]; rest != ""; {
			entry := rest
			if cut := strings.LastIndexByte(rest, ','); cut >= 0 {
				rest, entry = rest[:cut], rest[cut+1:]
			} else {
				rest = ""
			}
			addr, ok := forwardedAddr(strings.TrimSpace(entry))
			if !ok {
				return client
			}
			client = addr
			if !contains(trusted, addr) {
				return client
			}
		}
	}
	return client
}

// forwardedAddr reads one entry: an address, with or without port or brackets.
func forwardedAddr(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

// peerAddr is the connection's other end; invalid for a unix socket.
func peerAddr(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// originOf is the page a request comes from: the Origin header, else the
// origin of Referer. Only http and https pages count; "null" and the schemes
// of app shells (capacitor://, file://) are as good as none.
func originOf(h http.Header) string {
	if o := httpOrigin(headerOf(h, "Origin")); o != "" {
		return o
	}
	return httpOrigin(headerOf(h, "Referer"))
}

// headerOf is Header.Get for a name in the form that net/http keeps it in.
func headerOf(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func httpOrigin(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return ""
	}
	for i := 0; i < len(rest); i++ {
		if c := rest[i]; c == '/' || c == '?' || c == '#' || c == '\\' {
			rest = rest[:i]
		}
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		rest = rest[at+1:]
	}
	if rest == "" {
		return ""
	}
	if len(scheme)+3+len(rest) == len(s) {
		return s
	}
	return scheme + "://" + rest
}
