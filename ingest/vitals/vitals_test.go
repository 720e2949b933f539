package vitals

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"breakwater/schemas"
)

// thresholds as Google publishes them, in the unit of the wire.
var thresholds = map[string][2]float64{"LCP": {2500, 4000}, "INP": {200, 500}, "CLS": {0.1, 0.25}, "FCP": {1800, 3000}, "TTFB": {800, 1800}}

func TestValuesAtABoundHaveTheBetterRating(t *testing.T) {
	for name, th := range thresholds {
		v, _ := lookup(name)
		for i, better := range []string{"good", "needs-improvement"} {
			worse := ratings[i+1]
			for _, c := range []struct {
				value  float64
				rating string
				within bool
			}{{th[i], better, true}, {th[i] * 1.0001, worse, false}, {th[i] * 0.9999, better, true}} {
				h := newHarness(t, Config{})
				h.beacon("/", one(name, c.value, ""))
				if n := h.sum("web_vitals_ratings_total", "vital", name, "rating", c.rating); n != 1 {
					t.Errorf("%s %v is not rated %s", name, c.value, c.rating)
				}
				m := h.series(families[v])[0].Histogram
				bound := th[i] / specs[v].div
				found := false
				for _, b := range m.Bucket {
					if b.GetUpperBound() == bound {
						found = true
						if (b.GetCumulativeCount() == 1) != c.within {
							t.Errorf("%s %v: bucket le=%v holds %d", name, c.value, bound, b.GetCumulativeCount())
						}
					}
				}
				if !found {
					t.Errorf("%s: the threshold %v is no bucket bound", name, bound)
				}
			}
		}
	}
}

// TestEveryBoundHoldsItsOwnValue sends each bucket bound in milliseconds; with
// a multiplication by 0.001 some, 700 ms among them, fall out of their bucket.
func TestEveryBoundHoldsItsOwnValue(t *testing.T) {
	for v := range vitalCount {
		for _, bound := range specs[v].buckets {
			wire := math.Round(bound*specs[v].div*1e6) / 1e6
			if got := wire / specs[v].div; got > bound {
				t.Errorf("%s: %v lands above its bound %v (%v)", specs[v].name, wire, bound, got)
			}
		}
	}
	h := newHarness(t, Config{})
	h.beacon("/", one("TTFB", 700, ""))
	if got := h.buckets("web_vitals_ttfb_seconds"); got != "0.7:1 " {
		t.Errorf("700 ms is in %q", got)
	}
}

func TestBucketsAreTheStudied(t *testing.T) {
	for name, want := range map[string]string{
		"LCP":            "0.5 0.8 1 1.25 1.5 1.75 2 2.25 2.5 2.75 3 3.5 4 5 6 8 10 15 30 60",
		"FCP":            "0.2 0.4 0.6 0.8 1 1.2 1.4 1.6 1.8 2 2.25 2.5 3 3.5 4 5 8 15 30 60",
		"TTFB":           "0.05 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1 1.2 1.5 1.8 2.5 4 8 15 30 60",
		"INP":            "0.016 0.024 0.04 0.056 0.08 0.104 0.128 0.152 0.176 0.2 0.224 0.256 0.3 0.4 0.5 0.75 1 2 5 60",
		"CLS":            "0 0.001 0.005 0.01 0.025 0.05 0.075 0.1 0.125 0.15 0.2 0.25 0.3 0.4 0.5 0.75 1 2",
		"app_start_cold": "0.4 0.8 1.2 1.6 2 2.5 3 4 5 7 10 20 60",
		"app_start_warm": "0.1 0.2 0.4 0.7 1 1.5 2 3 5 10 60",
		"ttid":           "0.5 0.8 1 1.25 1.5 1.75 2 2.25 2.5 2.75 3 3.5 4 5 6 8 10 15 30 60",
	} {
		v, _ := lookup(name)
		if got := strings.Trim(fmt.Sprint(specs[v].buckets), "[]"); got != want {
			t.Errorf("%s: buckets %s, want %s", name, got, want)
		}
	}
}

// TestVerdictFromBucketsIsExact: "p75 at most T" is the same as "at least 75 %
// are at most T", so with T a bucket bound the verdict needs no estimate.
func TestVerdictFromBucketsIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := vital(rapid.IntRange(0, int(webVitals)-1).Draw(t, "vital"))
		s := &specs[v]
		near := rapid.Float64Range(0.5, 1.5)
		values := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float64 {
			x := s.good * s.div * near.Draw(t, "x")
			if rapid.IntRange(0, 4).Draw(t, "at the bound") == 0 {
				x = s.good * s.div
			}
			return x
		}), 1, 60).Draw(t, "values")
		h := &harness{}
		*h = *newHarness(fuzzTB{}, Config{})
		for _, x := range values {
			h.beacon("/", one(s.name, x, ""))
		}
		slices.Sort(values)
		p75 := values[(3*len(values)+3)/4-1] // nearest rank
		exact := p75/s.div <= s.good
		within, total := 0.0, 0.0
		for _, m := range h.series(families[v]) {
			total += float64(m.Histogram.GetSampleCount())
			for _, b := range m.Histogram.Bucket {
				if b.GetUpperBound() == s.good {
					within += float64(b.GetCumulativeCount())
				}
			}
		}
		if got := within/total >= 0.75; got != exact {
			t.Fatalf("verdict from buckets %t (%v of %v), exact %t (p75 %v)", got, within, total, exact, p75)
		}
		if g := h.sum("web_vitals_ratings_total", "rating", "good"); g != within {
			t.Fatalf("rating counter says %v good, the bucket %v", g, within)
		}
	})
}

type fuzzTB struct{ testing.TB }

func (fuzzTB) Helper() {}

func TestWhatCannotBeTrueIsRejectedByReason(t *testing.T) {
	none := one("LCP", 0, "")
	none.HasValue = false
	softTTFB := one("TTFB", 0, "")
	softTTFB.NavigationType = "soft-navigation"
	for _, c := range []struct {
		name   string
		vitals []schemas.Vital
		used   int
		reason map[string]float64 // "vital/reason"
	}{
		{
			"not a number",
			[]schemas.Vital{one("LCP", math.NaN(), ""), one("CLS", math.Inf(1), ""), none},
			0,
			map[string]float64{"LCP/not_a_number": 2, "CLS/not_a_number": 1},
		},
		{"negative", []schemas.Vital{one("TTFB", -3, "")}, 0, map[string]float64{"TTFB/negative": 1}},
		{"zero LCP", []schemas.Vital{one("LCP", 0, "")}, 0, map[string]float64{"LCP/zero": 1}},
		{"zero CLS, INP, TTFB are fine", []schemas.Vital{one("CLS", 0, ""), one("INP", 0, ""), one("TTFB", 0, "")}, 3, nil},
		{"a minute is fine, more is not", []schemas.Vital{one("FCP", 60000, ""), one("INP", 60001, "")}, 1, map[string]float64{"INP/too_large": 1}},
		{"CLS to 10", []schemas.Vital{one("CLS", 10, ""), one("CLS", 10.01, "")}, 1, map[string]float64{"CLS/too_large": 1}},
		{"FID is retired", []schemas.Vital{one("FID", 10, "")}, 0, map[string]float64{"FID/unsupported": 1}},
		{"unknown", []schemas.Vital{one("XYZ", 10, ""), one("<script>", 1, "")}, 0, map[string]float64{"other/unknown_vital": 2}},
		{
			"first paint after the largest",
			[]schemas.Vital{one("FCP", 900, ""), one("LCP", 800, ""), one("INP", 8, "")},
			1,
			map[string]float64{"FCP/inconsistent": 1, "LCP/inconsistent": 1},
		},
		{
			"first byte after the first paint",
			[]schemas.Vital{one("TTFB", 900, ""), one("FCP", 800, ""), one("LCP", 900, "")},
			1,
			map[string]float64{"TTFB/inconsistent": 1, "FCP/inconsistent": 1},
		},
		{"LCP grows within a batch", []schemas.Vital{one("LCP", 196, "a"), one("FCP", 196, "b"), one("LCP", 468, "a")}, 3, nil},
		{"TTFB of a soft navigation is discarded", []schemas.Vital{softTTFB}, 1, map[string]float64{"TTFB/soft_navigation": 1}},
		{"a bad entry does not cost its neighbour", []schemas.Vital{one("LCP", -1, ""), one("CLS", 0.1, "")}, 1, map[string]float64{"LCP/negative": 1}},
		{"names in any case", []schemas.Vital{one("lcp", 100, ""), one("App_Start_Cold", 100, "")}, 2, nil},
		{"an app start of an hour", []schemas.Vital{one("app_start_cold", 3_600_000, "")}, 0, map[string]float64{"app_start_cold/too_large": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t, Config{})
			if used := h.beacon("/", c.vitals...); used != c.used {
				t.Errorf("%d usable, want %d", used, c.used)
			}
			for key, want := range c.reason {
				vital, reason, _ := strings.Cut(key, "/")
				if n := h.sum("web_vitals_rejected_total", "vital", vital, "reason", reason); n != want {
					t.Errorf("%s: %v rejected, want %v", key, n, want)
				}
			}
			if total := h.sum("web_vitals_rejected_total"); len(c.reason) == 0 && total != 0 {
				t.Errorf("%v rejected, want none", total)
			}
		})
	}
}

func TestNavigationTypes(t *testing.T) {
	h := newHarness(t, Config{})
	for _, nav := range []string{"navigate", "reload", "back_forward", "back-forward-cache", "prerender", "restore", "soft-navigation", "", "evil\x00"} {
		e := one("LCP", 100, "")
		e.NavigationType = nav
		h.beacon("/", e)
	}
	for nav, want := range map[string]float64{"navigate": 1, "reload": 1, "back-forward": 1, "back-forward-cache": 1, "prerender": 1, "restore": 1, "soft-navigation": 1, "other": 2} {
		if n := h.sum("web_vitals_navigations_total", "vital", "LCP", "navigation_type", nav, "rating", "good"); n != want {
			t.Errorf("%s: %v, want %v", nav, n, want)
		}
	}
	if n := h.sum("web_vitals_lcp_seconds"); n != 8 {
		t.Errorf("%v in the histogram, want all but the soft navigation", n)
	}
}

func TestRouteOfTheMeasuredPage(t *testing.T) {
	nav := func(typ, url string) schemas.Vital {
		e := one("LCP", 100, "")
		e.NavigationType, e.NavigationURL = typ, url
		return e
	}
	const at = "https://shop.example"
	for _, c := range []struct {
		name    string
		b       schemas.Beacon
		referer string
		e       schemas.Vital
		want    string
	}{
		{"the client's route", schemas.Beacon{Route: "/p/:slug", URL: at + "/p/red"}, "", nav("navigate", at+"/p/red"), "/p/:slug"},
		{"the route without a URL, page load", schemas.Beacon{Route: "/p/:slug"}, "", nav("navigate", at+"/p/red"), "/p/:slug"},
		{"a soft navigation elsewhere", schemas.Beacon{Route: "/cart"}, "", nav("soft-navigation", at+"/p/42"), "soft"},
		{"measured before a route change", schemas.Beacon{Route: "/cart", URL: at + "/cart"}, "", nav("navigate", at+"/p/42"), "/p/:id"},
		{"the library's object alone", schemas.Beacon{}, "", nav("navigate", at+"/p/42?x"), "/p/:id"},
		{"URL only", schemas.Beacon{URL: at + "/p/42?x"}, "", nav("navigate", ""), "/p/:id"},
		{"Referer of the same site", schemas.Beacon{}, at + "/p/42", nav("navigate", ""), "/p/:id"},
		{"Referer names no page", schemas.Beacon{}, at + "/", nav("navigate", ""), UnknownRoute},
		{"nothing known", schemas.Beacon{}, "", nav("navigate", ""), UnknownRoute},
		{"a template for the navigation's URL", schemas.Beacon{}, "", nav("navigate", at+"/product/red"), "/product/:id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t, Config{}, "/product/:id")
			if c.referer != "" {
				h.req.Header.Set("Referer", c.referer)
			}
			c.b.Vitals = []schemas.Vital{c.e}
			h.Record(h.req, &c.b)
			if c.want == "soft" {
				if n := h.sum("web_vitals_navigations_total", "navigation_type", "soft-navigation"); n != 1 {
					t.Errorf("soft navigation counted %v times", n)
				}
				return
			}
			if got := h.Route("shop", &c.b, &c.e); c.referer == "" && got != strings.TrimPrefix(c.want, UnknownRoute) {
				t.Errorf("Sentry is told %q", got)
			}
			if n := h.sum("web_vitals_lcp_seconds", "route", c.want); n != 1 {
				t.Errorf("not under %q but %q", c.want, label(h.series("web_vitals_lcp_seconds")[0], "route"))
			}
		})
	}
}

func TestDevicesAndTraffic(t *testing.T) {
	for _, c := range []struct {
		name, ua string
		hints    map[string]string
		device   string
		traffic  string
	}{
		{"desktop", chrome, nil, "desktop", "human"},
		{"iPhone", "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1", nil, "mobile", "human"},
		{"iPad", "Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1 Mobile/15E148 Safari/604.1", nil, "tablet", "human"},
		{"Android phone", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36", nil, "mobile", "human"},
		{"Android tablet", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36", nil, "tablet", "human"},
		{"hints win", chrome, map[string]string{"Sec-CH-UA-Mobile": "?1"}, "mobile", "human"},
		{"form factor", chrome, map[string]string{"Sec-CH-UA-Form-Factors": `"Tablet"`}, "tablet", "human"},
		{"Googlebot", "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/156.0.0.0 Safari/537.36", nil, "desktop", "bot"},
		{"headless", strings.Replace(chrome, "Chrome/", "HeadlessChrome/", 1), nil, "desktop", "bot"},
		{"headless by hint", chrome, map[string]string{"Sec-CH-UA": `"HeadlessChrome";v="156"`}, "desktop", "bot"},
		{"Lighthouse", chrome + " Chrome-Lighthouse", nil, "desktop", "bot"},
		{"some spider", "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)", nil, "", "bot"},
		{"a crawler with a hyphen", "Mozilla/5.0 (X11; Linux x86_64; Storebot-Google/1.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36", nil, "desktop", "bot"},
		{"robotics company", "Mozilla/5.0 (X11; Linux x86_64) RoboticsBrowser/1.0 Safari/537.36", nil, "desktop", "human"},
		{"a phone named Cubot", "Mozilla/5.0 (Linux; Android 8.1.0; CUBOT X18 Plus) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/100.0 Mobile Safari/537.36", nil, "mobile", "human"},
		{"curl", "curl/8.5.0", nil, "other", "suspect"},
		{"Go", "Go-http-client/1.1", nil, "other", "suspect"},
		{"none", "", nil, "other", "suspect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t, Config{})
			h.req.UserAgent = c.ua
			for k, v := range c.hints {
				h.req.Header.Set(k, v)
			}
			if h.beacon("/", one("LCP", 100, "")) != 1 {
				t.Error("not usable")
			}
			if n := h.sum("web_vitals_traffic_total", "traffic", c.traffic); n != 1 {
				t.Errorf("not counted as %s", c.traffic)
			}
			want := 1.0
			if c.traffic == "bot" {
				want = 0
			}
			if n := h.sum("web_vitals_lcp_seconds"); n != want {
				t.Errorf("%v in the histogram, want %v", n, want)
			}
			if want == 1 && h.sum("web_vitals_lcp_seconds", "device", c.device) != 1 {
				t.Errorf("device is %q, want %q", label(h.series("web_vitals_lcp_seconds")[0], "device"), c.device)
			}
		})
	}
	t.Run("the client's own word", func(t *testing.T) {
		h := newHarness(t, Config{})
		h.Record(h.req, &schemas.Beacon{Device: "tablet", Vitals: []schemas.Vital{one("LCP", 100, "")}})
		h.Record(h.req, &schemas.Beacon{Device: "toaster", Vitals: []schemas.Vital{one("LCP", 100, "")}})
		if h.sum("web_vitals_lcp_seconds", "device", "tablet") != 1 || h.sum("web_vitals_lcp_seconds", "device", "desktop") != 1 {
			t.Error("a device of the closed list is believed, any other word is not")
		}
	})
	t.Run("bots when asked for", func(t *testing.T) {
		h := newHarness(t, Config{CountBots: true})
		h.req.UserAgent = "HeadlessChrome"
		h.beacon("/", one("LCP", 100, ""))
		if h.sum("web_vitals_lcp_seconds") != 1 || h.sum("web_vitals_traffic_total", "traffic", "bot") != 1 {
			t.Error("CountBots does not let bots in")
		}
	})
}

func TestOnlyPoorIsBias(t *testing.T) {
	h := newHarness(t, Config{})
	poorOnes := func(n int) {
		for range n {
			h.beacon("/", one("LCP", 9000, ""))
		}
	}
	poorOnes(199)
	if h.sum("web_vitals_biased") != 0 {
		t.Error("flagged before 200 samples")
	}
	poorOnes(1)
	if h.sum("web_vitals_biased") != 1 {
		t.Error("200 poor samples and none good: not flagged")
	}
	h.beacon("/", one("LCP", 900, ""))
	if h.sum("web_vitals_biased") != 0 {
		t.Error("still flagged with a good sample")
	}
}
