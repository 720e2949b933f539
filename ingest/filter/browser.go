package filter

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/mileusna/useragent"
)

// LegacyBrowserNames are the names Config.LegacyBrowsers takes. The first are
// families, each with everything up to a floor: ie 11, edge 110, safari 15,
// firefox 110, chrome 110, opera 99, android 3, opera_mini 34. The others are
// Sentry's older names; default stands for ie below 10, opera_pre_15,
// opera_mini_pre_8, android_pre_4 and safari_pre_6.
var LegacyBrowserNames = []string{
	"ie", "edge", "safari", "firefox", "chrome", "opera", "android", "opera_mini",
	"ie_pre_9", "ie9", "ie10", "ie11", "opera_pre_15", "opera_mini_pre_8", "android_pre_4", "safari_pre_6", "edge_pre_79", "default",
}

// versions is a range of major versions of a family, both ends included.
type versions struct {
	family   string
	from, to int
}

var legacyVersions = map[string][]versions{
	"ie":               {{"ie", 0, 11}},
	"edge":             {{"edge", 0, 110}},
	"safari":           {{"safari", 0, 15}},
	"firefox":          {{"firefox", 0, 110}},
	"chrome":           {{"chrome", 0, 110}},
	"opera":            {{"opera", 0, 99}},
	"android":          {{"android", 0, 3}},
	"opera_mini":       {{"opera_mini", 0, 34}},
	"ie_pre_9":         {{"ie", 0, 8}},
	"ie9":              {{"ie", 9, 9}},
	"ie10":             {{"ie", 10, 10}},
	"ie11":             {{"ie", 11, 11}},
	"opera_pre_15":     {{"opera", 0, 14}},
	"opera_mini_pre_8": {{"opera_mini", 0, 7}},
	"android_pre_4":    {{"android", 0, 3}},
	"safari_pre_6":     {{"safari", 0, 5}},
	"edge_pre_79":      {{"edge", 0, 78}},
	"default": {
		{"ie", 0, 9}, {"opera", 0, 14}, {"opera_mini", 0, 7}, {"android", 0, 3}, {"safari", 0, 5},
	},
}

func isLegacy(names map[string]bool, b browser) bool {
	for name := range names {
		for _, v := range legacyVersions[name] {
			if v.family == b.family && v.from <= b.major && b.major <= v.to {
				return true
			}
		}
	}
	return false
}

// browser is a family of LegacyBrowserNames and its major version.
type browser struct {
	family string
	major  int
}

// maxAgent bounds a user agent that is looked at, in bytes.
const maxAgent = 1024

// parseBrowser reads a User-Agent header; the family is "" for what is not one
// of the families, and for anything whose version cannot be told.
func parseBrowser(agent string) browser {
	if len(agent) > maxAgent {
		agent = agent[:maxAgent]
	}
	if agent == "" || isNative(agent) {
		return browser{}
	}
	// The parser does not know what these hide behind another name.
	switch {
	case strings.Contains(agent, "Opera Mini/"):
		return versioned("opera_mini", after(agent, "Opera Mini/"))
	case strings.HasPrefix(agent, "Opera/") || strings.Contains(agent, " Opera "):
		if v := after(agent, "Version/"); v != "" {
			return versioned("opera", v)
		}
		if v := after(agent, "Opera/"); v != "" {
			return versioned("opera", v)
		}
		return versioned("opera", after(agent, " Opera "))
	case strings.Contains(agent, "MSIE "):
		return versioned("ie", after(agent, "MSIE "))
	case strings.Contains(agent, "Trident/"):
		return versioned("ie", after(agent, "rv:"))
	}
	ua := useragent.Parse(agent)
	switch ua.Name {
	case useragent.Chrome, useragent.HeadlessChrome:
		return numbered("chrome", ua.VersionNo.Major)
	case useragent.Edge:
		return numbered("edge", ua.VersionNo.Major)
	case useragent.Firefox:
		return numbered("firefox", ua.VersionNo.Major)
	case useragent.Opera:
		return numbered("opera", ua.VersionNo.Major)
	case useragent.Safari, useragent.MobileSafari:
		if strings.Contains(agent, "Android") { // the browser of Android before Chrome
			return versioned("android", after(agent, "Android "))
		}
		return numbered("safari", ua.VersionNo.Major)
	case "Android browser":
		return versioned("android", after(agent, "Android "))
	}
	return browser{}
}

// versioned reads the major version at the start of a text.
func versioned(family, v string) browser {
	end := 0
	for end < len(v) && v[end] >= '0' && v[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(v[:end])
	if err != nil {
		return browser{}
	}
	return browser{family, n}
}

func numbered(family string, major int) browser {
	if major <= 0 {
		return browser{}
	}
	return browser{family, major}
}

func after(s, mark string) string {
	_, rest, _ := strings.Cut(s, mark)
	return rest
}

// isNative recognises the user agents of SDKs and HTTP libraries in apps,
// which are no browsers, whatever else they are called.
func isNative(agent string) bool {
	return strings.HasPrefix(agent, "sentry") || strings.HasPrefix(agent, "Dalvik/") ||
		strings.Contains(agent, "okhttp/") || strings.Contains(agent, "CFNetwork/")
}

// hinted reads the brands of the client hints, for requests without a user
// agent: "Chromium";v="110", "Google Chrome";v="110".
func hinted(hints string) browser {
	if len(hints) > maxAgent {
		hints = hints[:maxAgent]
	}
	var best browser
	for _, part := range strings.Split(hints, ",") {
		brand, v, _ := strings.Cut(strings.TrimSpace(part), ";v=")
		b := versioned("", strings.Trim(v, `"`))
		switch strings.Trim(brand, `"`) {
		case "Microsoft Edge":
			return browser{"edge", b.major}
		case "Opera":
			return browser{"opera", b.major}
		case "Google Chrome", "Chromium", "HeadlessChrome":
			best = browser{"chrome", b.major}
		}
	}
	if best.major == 0 {
		return browser{}
	}
	return best
}

// crawlers are names that stand somewhere in the user agent of a crawler.
var crawlers = []string{
	"mediapartners-google", "adsbot-google", "googlebot", "feedfetcher-google", "bingbot", "bingpreview", "baiduspider",
	"slurp", "sogou", "facebook", "ia_archiver", "slack", "calypso appcrawler", "pingdom", "lyticsbot",
	"aws security scanner", "hubspot crawler", "bytespider", "better uptime",
}

// isCrawler recognises crawlers by name, and all that call themselves bot,
// bots or spider. Slackbot 1.x shows links that people share, and is let in;
// so are phones of the make Cubot.
func isCrawler(agent string) bool {
	if len(agent) > maxAgent {
		agent = agent[:maxAgent]
	}
	if agent == "" || isNative(agent) {
		return false
	}
	agent = strings.ToLower(agent)
	if !namedCrawler(agent) {
		return false
	}
	v := after(agent, "slackbot 1.")
	return v == "" || v[0] < '0' || v[0] > '9'
}

func namedCrawler(agent string) bool {
	for _, name := range crawlers {
		if strings.Contains(agent, name) {
			return true
		}
	}
	return endsWord(agent, "bot") || endsWord(agent, "bots") || endsWord(agent, "spider")
}

// endsWord tells whether a word in the text ends in suffix, before a '/', a
// space, a ';', a ')' or the end.
func endsWord(text, suffix string) bool {
	for {
		i := strings.Index(text, suffix)
		if i < 0 {
			return false
		}
		phone := strings.HasSuffix(text[:i], "cu")
		text = text[i+len(suffix):]
		if phone {
			continue
		}
		if text == "" || strings.IndexByte("/ \t;)", text[0]) >= 0 {
			return true
		}
	}
}

// hintHeader is the client hint that names the browser.
func hintHeader(h http.Header) string { return h.Get("Sec-Ch-Ua") }
