package vitals

import (
	"net/http"
	"strings"

	"github.com/mileusna/useragent"
)

// Devices, a closed list.
const (
	deviceMobile  = "mobile"
	deviceTablet  = "tablet"
	deviceDesktop = "desktop"
	deviceOther   = "other"
)

// traffic is the index of a word in trafficNames.
type traffic uint8

const (
	human traffic = iota
	bot
	suspect
)

var trafficNames = [...]string{"human", "bot", "suspect"}

// client is what a User-Agent tells.
type client struct {
	device  string
	os      string
	traffic traffic
}

// maxUserAgent bounds what of a User-Agent is read, in bytes.
const maxUserAgent = 512

// crawlers are the names Sentry's web-crawler filter knows, and what automated
// browsers call themselves, in lower case.
var crawlers = []string{
	"mediapartners-google", "adsbot-google", "feedfetcher-google", "googleother", "google-inspectiontool", "bingpreview",
	"yahoo! slurp", "sogou", "facebookexternalhit", "facebookcatalog", "meta-externalagent", "ia_archiver", "calypso appcrawler", "pingdom",
	"aws security scanner", "hubspot crawler", "better uptime", "statuscake", "datadogsynthetics", "gtmetrix", "ptst/",
	"headlesschrome", "headless chrome", "phantomjs", "puppeteer", "playwright", "lighthouse",
}

// isCrawler knows crawlers by name, and by a product name that ends in bot,
// bots or spider; words like "robotics" do not, nor do phones of the make Cubot.
func isCrawler(ua string) bool {
	ua = strings.ToLower(ua)
	for _, name := range crawlers {
		if strings.Contains(ua, name) {
			return true
		}
	}
	for _, suffix := range [...]string{"bot", "bots", "spider"} {
		for rest := ua; ; {
			i := strings.Index(rest, suffix)
			if i < 0 {
				break
			}
			phone := strings.HasSuffix(rest[:i], "cu")
			if rest = rest[i+len(suffix):]; phone {
				continue
			}
			if rest == "" || strings.IndexByte("/ ;)+,-", rest[0]) >= 0 {
				return true
			}
		}
	}
	return false
}

// isBrowser knows what real browsers and web views begin with.
func isBrowser(ua string) bool {
	return strings.HasPrefix(ua, "Mozilla/") || strings.HasPrefix(ua, "Opera/")
}

// clients reads User-Agents and remembers a few thousand: parsing one costs some
// microseconds, and real traffic repeats them.
type clients struct{ known *memo[client] }

func newClients() *clients { return &clients{newMemo[client](4096)} }

// read classifies a User-Agent and, when h is not nil, the client hints sent
// beside it, which are more precise where a browser sends them.
func (c *clients) read(ua string, h http.Header) client {
	if len(ua) > maxUserAgent {
		ua = ua[:maxUserAgent]
	}
	got := c.known.of(ua, parseClient)
	if h != nil {
		got.hint(h)
	}
	return got
}

func parseClient(ua string) client {
	p := useragent.Parse(ua)
	c := client{device: deviceOther, os: osName(p.OS)}
	switch {
	case p.Tablet || strings.Contains(ua, "Android") && !strings.Contains(ua, "Mobile"):
		c.device = deviceTablet // Android leaves out "Mobile" on tablets
	case p.Mobile:
		c.device = deviceMobile
	case p.Desktop:
		c.device = deviceDesktop
	}
	switch {
	case isCrawler(ua):
		c.traffic = bot
	case !isBrowser(ua):
		c.device, c.traffic = deviceOther, suspect
	}
	return c
}

// hint corrects what the User-Agent said by the client hints: Chromium freezes
// the User-Agent but sends these on every request.
func (c *client) hint(h http.Header) {
	switch headerValue(h["Sec-Ch-Ua-Form-Factors"]) {
	case `"Tablet"`:
		c.device = deviceTablet
	case `"Mobile"`:
		c.device = deviceMobile
	case `"Desktop"`:
		c.device = deviceDesktop
	default:
		if mobile := headerValue(h["Sec-Ch-Ua-Mobile"]); mobile == "?1" {
			c.device = deviceMobile
		} else if c.device == deviceOther && mobile == "?0" {
			c.device = deviceDesktop
		}
	}
	if p := strings.Trim(headerValue(h["Sec-Ch-Ua-Platform"]), `"`); p != "" {
		c.os = osName(p)
	}
	if strings.Contains(headerValue(h["Sec-Ch-Ua"]), "HeadlessChrome") {
		c.traffic = bot
	}
}

// headerValue is what http.Header.Get answers for a name in its canonical form.
func headerValue(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// osName maps the many spellings to a closed list: android, ios, other.
func osName(s string) string {
	const android = "android"
	if len(s) > 32 {
		return "other"
	}
	if len(s) >= len(android) && strings.EqualFold(s[:len(android)], android) {
		return android
	}
	for _, apple := range [...]string{"ios", "ipados", "iphone os", "iphone", "ipad"} {
		if len(s) == len(apple) && strings.EqualFold(s, apple) {
			return "ios"
		}
	}
	return "other"
}

// deviceOf is the device label: the client's own word when it is one of ours.
func deviceOf(word string, c client) string {
	for _, d := range [...]string{deviceMobile, deviceTablet, deviceDesktop, deviceOther} {
		if word == d {
			return d // not word: it may be a piece of a large body
		}
	}
	return c.device
}
