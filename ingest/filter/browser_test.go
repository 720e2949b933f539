package filter

import (
	"slices"
	"testing"
)

// agents are real user agents and what they are.
var agents = []struct {
	agent string
	want  browser
}{
	{chrome, browser{"chrome", 130}},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.0.0 Safari/537.36", browser{"chrome", 110}},
	{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/111.0.0.0 Mobile Safari/537.36", browser{"chrome", 111}},
	{"Mozilla/5.0 (Linux; Android 4.0.4; Galaxy Nexus Build/IMM76B) AppleWebKit/535.19 (KHTML, like Gecko) Chrome/18.0.1025.133 Mobile Safari/535.19", browser{"chrome", 18}},
	{"Mozilla/5.0 (Linux; Android 9; Pixel 3 Build/PQ1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/109.0.0.0 Mobile Safari/537.36", browser{"chrome", 109}},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 16_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/110.0.5481.83 Mobile/15E148 Safari/604.1", browser{"chrome", 110}},
	{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/156.0.0.0 Safari/537.36", browser{"chrome", 156}},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.0.0 Safari/537.36 Edg/110.0.1587.41", browser{"edge", 110}},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/64.0.3282.140 Safari/537.36 Edge/17.17134", browser{"edge", 17}},
	{"Mozilla/5.0 (Linux; Android 10; HD1913) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.0.0 Mobile Safari/537.36 EdgA/110.0.1587.41", browser{"edge", 110}},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.6 Safari/605.1.15", browser{"safari", 15}},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1", browser{"safari", 17}},
	{"Mozilla/5.0 (iPad; CPU OS 5_1 like Mac OS X) AppleWebKit/534.46 (KHTML, like Gecko) Version/5.1 Mobile/9B176 Safari/7534.48.3", browser{"safari", 5}},
	{"Mozilla/5.0 (Windows; U; Windows NT 6.1; zh-HK) AppleWebKit/533.18.1 (KHTML, like Gecko) Version/5.0.2 Safari/533.18.5", browser{"safari", 5}},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_3) AppleWebKit/537.75.14 (KHTML, like Gecko) Version/7.0.3 Safari/7046A194A", browser{"safari", 7}},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:109.0) Gecko/20100101 Firefox/110.0", browser{"firefox", 110}},
	{"Mozilla/5.0 (Android 13; Mobile; rv:109.0) Gecko/110.0 Firefox/110.0", browser{"firefox", 110}},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 16_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/111.0 Mobile/15E148 Safari/605.1.15", browser{"firefox", 111}},
	{"Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.0; Trident/4.0)", browser{"ie", 8}},
	{"Mozilla/4.0 (compatible; MSIE 5.50; Windows NT; SiteKiosk 4.9; SiteCoach 1.0)", browser{"ie", 5}},
	{"Mozilla/5.0 (Windows; U; MSIE 9.0; WIndows NT 9.0; en-US))", browser{"ie", 9}},
	{"Mozilla/5.0 (compatible; MSIE 9.0; Windows Phone OS 7.5; Trident/5.0; IEMobile/9.0; NOKIA; Lumia 710)", browser{"ie", 9}},
	{"Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0)", browser{"ie", 10}},
	{"Mozilla/5.0 (Windows NT 6.3; Trident/7.0; rv:11.0) like Gecko", browser{"ie", 11}},
	{"Opera/9.80 (Windows NT 6.1; WOW64) Presto/2.12.388 Version/12.18", browser{"opera", 12}},
	{"Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; en) Opera 8.50", browser{"opera", 8}},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.0.0 Safari/537.36 OPR/96.0.0.0", browser{"opera", 96}},
	{"Opera/9.80 (J2ME/MIDP; Opera Mini/7.1.32052/29.3709; U; en) Presto/2.8.119 Version/11.10", browser{"opera_mini", 7}},
	{"Opera/9.80 (Android; Opera Mini/34.0.2254/170.57; U; en) Presto/2.12.423 Version/12.16", browser{"opera_mini", 34}},
	{"Mozilla/5.0 (Linux; U; Android 2.3.6; en-us; GT-S5570) AppleWebKit/533.1 (KHTML, like Gecko) Version/4.0 Mobile Safari/533.1", browser{"android", 2}},
	{"Mozilla/5.0 (Linux; U; Android 3.2; nl-nl; GT-P6800 Build/HTJ85B) AppleWebKit/534.13 (KHTML, like Gecko) Version/4.0 Safari/534.13", browser{"android", 3}},
	{"Mozilla/5.0 (Linux; U; Android 4.1.1; en-gb; Build/KLP) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Safari/534.30", browser{"android", 4}},
	{"Mozilla/5.0 (Linux; Android 11; SM-G960U) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/20.0 Chrome/106.0.5249.126 Mobile Safari/537.36", browser{}},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 14_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBDV/iPhone11,8]", browser{}},
	{"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", browser{}},
	{"okhttp/4.12.0", browser{}},
	{"sentry-cocoa/8.1", browser{}},
	{"Shop/12 CFNetwork/1410.0.3 Darwin/22.6.0", browser{}},
	{"curl/8.0", browser{}},
	{"", browser{}},
	{"Opera/", browser{}},
	{"MSIE ", browser{}},
	{"Mozilla/5.0", browser{}},
}

func TestParseBrowser(t *testing.T) {
	for _, tc := range agents {
		if got := parseBrowser(tc.agent); got != tc.want {
			t.Errorf("%s:\ngot %v, want %v", tc.agent, got, tc.want)
		}
	}
}

func TestLegacyBrowsers(t *testing.T) {
	for _, tc := range []struct {
		name    string
		old     []browser
		current []browser
	}{
		{"ie", []browser{{"ie", 6}, {"ie", 11}}, []browser{{"edge", 11}}},
		{"edge", []browser{{"edge", 110}}, []browser{{"edge", 111}, {"chrome", 80}}},
		{"safari", []browser{{"safari", 15}}, []browser{{"safari", 16}}},
		{"firefox", []browser{{"firefox", 110}}, []browser{{"firefox", 111}}},
		{"chrome", []browser{{"chrome", 110}}, []browser{{"chrome", 111}, {"edge", 80}}},
		{"opera", []browser{{"opera", 99}}, []browser{{"opera", 100}, {"opera_mini", 5}}},
		{"android", []browser{{"android", 3}}, []browser{{"android", 4}}},
		{"opera_mini", []browser{{"opera_mini", 34}}, []browser{{"opera_mini", 35}, {"opera", 12}}},
		{"ie_pre_9", []browser{{"ie", 8}}, []browser{{"ie", 9}}},
		{"ie9", []browser{{"ie", 9}}, []browser{{"ie", 8}, {"ie", 10}}},
		{"ie10", []browser{{"ie", 10}}, []browser{{"ie", 9}, {"ie", 11}}},
		{"ie11", []browser{{"ie", 11}}, []browser{{"ie", 10}}},
		{"opera_pre_15", []browser{{"opera", 14}}, []browser{{"opera", 15}}},
		{"opera_mini_pre_8", []browser{{"opera_mini", 7}}, []browser{{"opera_mini", 8}}},
		{"android_pre_4", []browser{{"android", 3}}, []browser{{"android", 4}}},
		{"safari_pre_6", []browser{{"safari", 5}}, []browser{{"safari", 6}}},
		{"edge_pre_79", []browser{{"edge", 18}, {"edge", 78}}, []browser{{"edge", 79}}},
		{
			"default",
			[]browser{{"ie", 9}, {"opera", 14}, {"opera_mini", 7}, {"android", 3}, {"safari", 5}},
			[]browser{{"ie", 10}, {"opera", 15}, {"opera_mini", 8}, {"android", 4}, {"safari", 6}, {"chrome", 1}, {"firefox", 1}, {"edge", 12}},
		},
	} {
		if !slices.Contains(LegacyBrowserNames, tc.name) {
			t.Errorf("%s is not a name", tc.name)
		}
		for _, b := range tc.old {
			if !isLegacy(map[string]bool{tc.name: true}, b) {
				t.Errorf("%s must match %v", tc.name, b)
			}
		}
		for _, b := range append(tc.current, browser{}) {
			if isLegacy(map[string]bool{tc.name: true}, b) {
				t.Errorf("%s must not match %v", tc.name, b)
			}
		}
	}
	if len(legacyVersions) != len(LegacyBrowserNames) {
		t.Error("names and versions differ")
	}
}

func TestWhichBrowserCounts(t *testing.T) {
	const old = "Mozilla/5.0 (Windows NT 6.3; Trident/7.0; rv:11.0) like Gecko"
	on := Config{LegacyBrowsers: []string{"ie", "chrome", "edge"}}
	says := func(header, value string) string { return `{"request":{"headers":{"` + header + `":"` + value + `"}}}` }
	req := request()
	req.UserAgent = old
	if got := run(t, on, req, "event", says("User-Agent", chrome)); got != "" {
		t.Errorf("the event's own browser counts first: %s", got)
	}
	if got := run(t, on, req, "event", `{}`); got != LegacyBrowsers {
		t.Errorf("then the one that sent it: %q", got)
	}
	if got := run(t, on, req, "session", `{"attrs":{"user_agent":"`+chrome+`"}}`); got != "" {
		t.Errorf("a session says its own: %s", got)
	}
	if got := run(t, on, req, "session", `{}`); got != LegacyBrowsers {
		t.Errorf("else the one that sent it: %q", got)
	}
	req = request()
	if got := run(t, on, req, "event", says("user-agent", old)); got != LegacyBrowsers {
		t.Errorf("a header's case does not matter: %q", got)
	}
	req.UserAgent = ""
	req.Header.Set("Sec-CH-UA", `"Not A(Brand";v="24", "Chromium";v="110", "Google Chrome";v="110"`)
	if got := run(t, on, req, "event", `{}`); got != LegacyBrowsers {
		t.Errorf("client hints count without a user agent: %q", got)
	}
	req.Header.Set("Sec-CH-UA", `"Chromium";v="110", "Microsoft Edge";v="111", "Not A(Brand";v="24"`)
	if got := run(t, on, req, "event", `{}`); got != "" {
		t.Errorf("Edge 111 is not Chrome 110: %s", got)
	}
	req.UserAgent = chrome
	req.Header.Set("Sec-CH-UA", `"Chromium";v="100"`)
	if got := run(t, on, req, "event", `{}`); got != "" {
		t.Errorf("client hints count only without a user agent: %s", got)
	}
}

func TestWebCrawlers(t *testing.T) {
	on := Config{WebCrawlers: true}
	for _, agent := range []string{
		"Mediapartners-Google", "AdsBot-Google (+http://www.google.com/adsbot.html)", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		"FeedFetcher-Google; (+http://www.google.com/feedfetcher.html)", "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "BingPreview/1.0b",
		"Mozilla/5.0 (compatible; Baiduspider/2.0)", "Mozilla/5.0 (compatible; Yahoo! Slurp)", "Sogou web spider/4.0", "facebookexternalhit/1.1", "ia_archiver",
		"Twitterbot/1.0", "my bots; x", "some spider)", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Slack-ImgProxy 0.19 (+https://api.slack.com/robots)",
		"Mozilla/5.0 (Linux; Android 6.0.1; Calypso AppCrawler Build/MMB30Y; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/53.0.2785.124 Mobile Safari/537.36",
		"Pingdom.com_bot_version_1.4", "lyticsbot", "AWS Security Scanner", "Mozilla/5.0 (compatible; HubSpot Crawler; web-crawlers@hubspot.com)",
		"Mozilla/5.0 (Linux; Android 5.0) AppleWebKit/537.36 (KHTML, like Gecko) Mobile Safari/537.36 (compatible; Bytespider; spider-feedback@bytedance.com)",
		"Better Uptime Bot Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/74.0.3729.169 Safari/537.36", "GPTBot",
	} {
		req := request()
		req.UserAgent = agent
		for _, typ := range []string{"event", "transaction", "session", "span", "feedback", "raw_security"} {
			if got := run(t, on, req, typ, `{}`); got != WebCrawlers {
				t.Errorf("%s from %q: %q", typ, agent, got)
			}
		}
	}
	for _, agent := range []string{
		"some user agent", "Slackbot 1.0(+https://api.slack.com/robots)", "APIs-Google (+https://developers.google.com/webmasters/APIs-Google.html)", chrome,
		"Mozilla/5.0 (Linux; Android 10; CUBOT X30) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36", "Spiderman/1", "robotics/2",
	} {
		req := request()
		req.UserAgent = agent
		if got := run(t, on, req, "event", `{}`); got != "" {
			t.Errorf("%q: %s", agent, got)
		}
	}
}
