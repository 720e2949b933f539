package vitals

import (
	"net/http"
	"slices"
	"testing"
)

// Whatever a client calls itself, and whatever its hints say, what is kept of it
// comes from closed lists, and the same words say the same twice: the second
// time from memory.
func FuzzUserAgent(f *testing.F) {
	for _, ua := range []string{
		"", "Mozilla/5.0", "curl/8.5.0", "okhttp/4.12.0", "sentry-cocoa/9.1.0", "Opera/9.80 (J2ME/MIDP; Opera Mini/8.0) Presto/2.12",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Linux; Android 8.1.0; CUBOT X18 Plus) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/100.0 Mobile Safari/537.36",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Mozilla/5.0 (((;;;/ / Version/ Mobile/", "bot", "\xff(\x00;",
	} {
		f.Add(ua, "?1", `"Android"`, `"Mobile"`, `"Chromium";v="156", "HeadlessChrome";v="156"`)
		f.Add(ua, "", "", "", "")
	}
	c := newClients()
	devices, systems := []string{deviceMobile, deviceTablet, deviceDesktop, deviceOther}, []string{"android", "ios", "other"}
	f.Fuzz(func(t *testing.T, ua, mobile, platform, form, brands string) {
		h := http.Header{}
		for name, value := range map[string]string{"Sec-Ch-Ua-Mobile": mobile, "Sec-Ch-Ua-Platform": platform, "Sec-Ch-Ua-Form-Factors": form, "Sec-Ch-Ua": brands} {
			h.Set(name, value)
		}
		for _, hints := range []http.Header{nil, h} {
			got := c.read(ua, hints)
			if !slices.Contains(devices, got.device) || !slices.Contains(systems, got.os) || int(got.traffic) >= len(trafficNames) {
				t.Fatalf("%q with %v is %+v", ua, hints, got)
			}
			if again := c.read(ua, hints); again != got {
				t.Fatalf("%q with %v is %+v, and then %+v", ua, hints, got, again)
			}
		}
	})
}
