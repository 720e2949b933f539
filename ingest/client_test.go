package ingest_test

import (
	"net/http"
	"net/netip"
	"testing"

	"breakwater/ingest"
)

func TestClientAddress(t *testing.T) {
	proxies := []string{"10.0.0.0/8", "fd00::/8", "192.0.2.7/32"}
	for _, c := range []struct {
		name, peer string
		xff        []string
		trusted    []string
		want       string
	}{
		{"peer", "203.0.113.9:1", nil, nil, "203.0.113.9"},
		{"forged without proxies", "203.0.113.9:1", []string{"1.1.1.1"}, nil, "203.0.113.9"},
		{"forged by a stranger", "203.0.113.9:1", []string{"1.1.1.1"}, proxies, "203.0.113.9"},
		{"by a proxy", "10.1.2.3:1", []string{"198.51.100.4"}, proxies, "198.51.100.4"},
		{"forged in front of a proxy", "10.1.2.3:1", []string{"1.1.1.1, 198.51.100.4"}, proxies, "198.51.100.4"},
		{"two proxies", "10.1.2.3:1", []string{"1.1.1.1, 198.51.100.4, 192.0.2.7"}, proxies, "198.51.100.4"},
		{"several lines", "10.1.2.3:1", []string{"1.1.1.1", "198.51.100.4", "192.0.2.7,10.9.9.9"}, proxies, "198.51.100.4"},
		{"proxies only", "10.1.2.3:1", []string{"10.0.0.1, 10.0.0.2"}, proxies, "10.0.0.1"},
		{"nothing from the proxy", "10.1.2.3:1", nil, proxies, "10.1.2.3"},
		{"a word stops the search", "10.1.2.3:1", []string{"198.51.100.4, unknown, 10.0.0.2"}, proxies, "10.0.0.2"},
		{"empty entries", "10.1.2.3:1", []string{",,"}, proxies, "10.1.2.3"},
		{"with ports", "10.1.2.3:1", []string{"198.51.100.4:5555"}, proxies, "198.51.100.4"},
		{"IPv6 in brackets", "[fd00::1]:1", []string{"[2001:db8::5]:443"}, proxies, "2001:db8::5"},
		{"IPv6 zone", "[fd00::1%eth0]:1", []string{"2001:db8::5"}, proxies, "2001:db8::5"},
		{"mapped peer", "[::ffff:10.1.2.3]:1", []string{"::ffff:198.51.100.4"}, proxies, "198.51.100.4"},
		{"unix socket", "@", []string{"1.1.1.1"}, proxies, "invalid IP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got netip.Addr
			e := newEdge(t, func(o *ingest.Options) {
				for _, p := range c.trusted {
					o.Config.TrustedProxies = append(o.Config.TrustedProxies, netip.MustParsePrefix(p))
				}
				o.Gate = gate(func(r *ingest.Request) *ingest.Rejection { got = r.ClientIP; return nil })
			})
			r := post(envelopePath, env(goodEvent))
			r.RemoteAddr = c.peer
			if c.xff != nil {
				r.Header["X-Forwarded-For"] = c.xff
			}
			if w := e.do(r); w.Code != http.StatusOK {
				t.Fatal(w.Code, w.Body)
			}
			if got.String() != c.want {
				t.Errorf("client %s, want %s", got, c.want)
			}
		})
	}
}
