package sentry_test

import (
	"strings"
	"testing"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/relay/sentry"
)

// secretDSN is an upstream's DSN with a secret in it.
func secretDSN(up *relaytest.Upstream) string {
	return strings.Replace(up.DSN("42"), "@", ":hushhush@", 1)
}

func TestContract(t *testing.T) {
	for _, encoding := range []string{"gzip", "identity", "zstd", "br", "deflate"} {
		t.Run(encoding, func(t *testing.T) {
			relaytest.Contract(t, relaytest.Suite{
				New: func(t *testing.T, up *relaytest.Upstream) relay.Destination {
					d, err := sentry.New(sentry.Config{DSN: secretDSN(up), Encoding: encoding})
					if err != nil {
						t.Fatal(err)
					}
					return d
				},
				Secrets: []string{"hushhush", relaytest.TestKey},
			})
		})
	}
}
