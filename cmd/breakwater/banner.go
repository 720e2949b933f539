package main

import (
	"fmt"
	"io"
	"net"
	"strings"

	"breakwater/cmd/breakwater/config"
)

// banner tells a person what to paste where. It goes to standard error, so
// that standard output stays JSON when it is piped.
func banner(w io.Writer, cfg *config.Config, public, private net.Addr) {
	base := "http"
	if cfg.Server.TLS.Enabled() {
		base = "https"
	}
	host := dialable(public)
	p := cfg.Projects[0]
	key := "<key>"
	if len(p.Keys) > 0 {
		key = p.Keys[0].Public
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nBreakwater %s is listening on %s\n\n", versionText(), public)
	fmt.Fprintf(&b, "  DSN for your SDK (project %q):\n    %s://%s@%s/%d\n\n", p.Name, base, key, host, p.ID)
	fmt.Fprintf(&b, "  Web Vitals, with the web-vitals library:\n")
	fmt.Fprintf(&b, "    import { onCLS, onFCP, onINP, onLCP, onTTFB } from 'web-vitals';\n")
	fmt.Fprintf(&b, "    const report = (m) => navigator.sendBeacon('%s://%s/api/%d/vitals/?key=%s', JSON.stringify(m));\n", base, host, p.ID, key)
	fmt.Fprintf(&b, "    [onCLS, onFCP, onINP, onLCP, onTTFB].forEach((on) => on(report));\n\n")
	fmt.Fprintf(&b, "  Private address: http://%s  (metrics at /metrics)\n", dialable(private))
	held := 0
	for _, p := range cfg.Projects {
		for _, u := range p.Upstreams {
			if u.Held() {
				held++
			}
		}
	}
	if held > 0 {
		fmt.Fprintf(&b, "\n  No upstream yet: reports are held on disk, and leave as soon as SENTRY_DSN (or upstreams[].dsn) is set.\n")
	}
	b.WriteByte('\n')
	_, _ = io.WriteString(w, b.String())
}

// dialable is an address a person can paste: a listener on all interfaces is
// reached as localhost.
func dialable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
