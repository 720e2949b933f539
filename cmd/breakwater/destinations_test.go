package main

import (
	"strings"
	"testing"

	"breakwater/cmd/breakwater/config"
)

func TestAutoEncoding(t *testing.T) {
	const key = "0123456789abcdef0123456789abcdef"
	for address, want := range map[string]string{
		"https://sentry.example/1":   "gzip",
		"http://10.0.0.7:9000/1":     "gzip",
		"http://localhost.example/1": "gzip",
		"http://127.0.0.1:9000/1":    "none",
		"http://127.1.2.3/1":         "none",
		"http://[::1]:9000/1":        "none",
		"http://localhost:8000/p/1":  "none",
	} {
		scheme, rest, _ := strings.Cut(address, "://")
		for _, u := range []config.Upstream{
			{Type: "sentry", DSN: config.Secret(scheme + "://" + key + "@" + rest), Encoding: "auto"},
			{Type: "loki", URL: address, DSN: "http://k@127.0.0.1/1", Encoding: "auto"},
		} {
			if got := encodingOf(u); got != want {
				t.Errorf("%s at %s: %s, want %s", u.Type, address, got, want)
			}
			for _, said := range []string{"gzip", "zstd", "none"} {
				if u.Encoding = said; encodingOf(u) != said {
					t.Errorf("%s at %s: %s was not kept", u.Type, address, said)
				}
			}
		}
	}
}
