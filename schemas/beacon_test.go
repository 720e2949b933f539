package schemas

import (
	"net/url"
	"testing"
)

func TestDecodeBeaconFixtures(t *testing.T) {
	n := 0
	for _, f := range fixtures(t) {
		if f.Kind != "web-vitals" || f.Method != "POST" {
			continue
		}
		t.Run(f.ID, func(t *testing.T) {
			b, rejected, err := DecodeBeacon(f.body(t), f.ContentType, url.Values{"release": {"shop@1.2.3"}, "mode": {"x"}})
			if err != nil || len(rejected) > 0 {
				t.Fatalf("error %v, rejected %v", err, rejected)
			}
			if len(b.Vitals) == 0 || len(f.Vitals) > 0 && len(b.Vitals) != len(f.Vitals) {
				t.Fatalf("%d vitals, index has %d", len(b.Vitals), len(f.Vitals))
			}
			for i, want := range f.Vitals {
				got := b.Vitals[i]
				if got.Name != want.Name || got.Value != want.Value || got.Delta != want.Delta || got.Rating != want.Rating || got.NavigationType != want.NavigationType {
					t.Errorf("vital %d: got %+v, want %+v", i, got, want)
				}
			}
			for _, v := range b.Vitals {
				if !KnownVital(v.Name) || !v.HasValue || v.ID == "" {
					t.Errorf("incomplete vital %+v", v)
				}
			}
			if b.Release != "shop@1.2.3" || len(b.Ignored) > 0 {
				t.Errorf("release %q, ignored %v", b.Release, b.Ignored)
			}
			n += len(b.Vitals)
		})
	}
	if n < 50 {
		t.Errorf("only %d vitals in the fixtures", n)
	}
}

func BenchmarkDecodeBeacon(b *testing.B) {
	body := []byte(`{"route":"/product/:id","url":"https://shop.example/product/42","release":"shop@1.4.2","environment":"production","device":"mobile","sample_rate":1,` +
		`"vitals":[{"name":"LCP","value":1834.2,"id":"v5-1795470350758-2951193131796","delta":1834.2,"rating":"good","navigationType":"navigate","entries":[{"name":"x","startTime":12.5}],"attribution":{"target":"#root"}}]}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := DecodeBeacon(body, "text/plain", nil); err != nil {
			b.Fatal(err)
		}
	}
}
