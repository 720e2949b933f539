package sentry_test

import (
	"bytes"
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
	relaytest.Contract(t, relaytest.Suite{
		New: func(t *testing.T, up *relaytest.Upstream) relay.Destination {
			return make1(t, sentry.Config{DSN: secretDSN(up)})
		},
		Secrets: []string{"hushhush", relaytest.TestKey},
	})
}

func TestEveryEncodingArrives(t *testing.T) {
	for name, header := range map[string]string{"": "gzip", "gzip": "gzip", "none": "", "identity": "", "zstd": "zstd", "br": "br", "deflate": "deflate"} {
		t.Run(name, func(t *testing.T) {
			up := start(t, relaytest.Options{})
			d := make1(t, sentry.Config{DSN: up.DSN("1"), Encoding: name})
			for range 3 { // the compressors are used again
				rec := relaytest.SampleRecord()
				if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
					t.Fatal(err)
				}
				got := up.Requests()[len(up.Requests())-1]
				if ce := got.Header.Get("Content-Encoding"); ce != header {
					t.Errorf("Content-Encoding %q, want %q", ce, header)
				}
				for i := range got.Items {
					if want, _ := rec.Envelope.Items[i].InMemory(); !bytes.Equal(got.Items[i].Payload, want) {
						t.Errorf("payload %d is %q", i, got.Items[i].Payload)
					}
				}
			}
			if p := up.Problems(); len(p) > 0 {
				t.Error(p)
			}
		})
	}
}
