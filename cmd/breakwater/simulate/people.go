package simulate

import (
	"fmt"
	"math"
	"strconv"
)

// person is who uses the app, with what.
type person struct {
	id, address string
	browser     browser
	release     string
	route, path string // what the router says, and the page's path
	trace       string
}

type browser struct{ userAgent, device string }

// browsers are what people browse with, the common ones more than once.
var browsers = []browser{
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36", "desktop"},
	{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/155.0.0.0 Safari/537.36 Edg/155.0.0.0", "desktop"},
	{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15", "desktop"},
	{"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "desktop"},
	{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36", "mobile"},
	{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36", "mobile"},
	{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1", "mobile"},
	{"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36", "mobile"},
	{"Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1", "tablet"},
}

const phoneAgent = "okhttp/4.12.0"

// phone makes the person one who uses the mobile app.
func (p *person) phone() {
	p.browser = browser{phoneAgent, "mobile"}
	p.route, p.path = "Home", ""
}

// pages are the shop's routes, the busy ones first; %d is a number.
var pages = []struct{ route, path string }{
	{"/", "/"},
	{"/product/:id", "/product/%d"},
	{"/search", "/search"},
	{"/cart", "/cart"},
	{"/checkout", "/checkout"},
	{"/category/:slug", "/category/winches"},
	{"/account/orders/:id", "/account/orders/%d"},
	{"/help", "/help"},
}

func (g *generator) person() person {
	n := g.zipf(len(pages))
	path := pages[n].path
	if n == 1 || n == 6 {
		path = fmt.Sprintf(path, 1000+g.rnd.IntN(9000))
	}
	who := g.rnd.IntN(5000)
	release := g.releases[len(g.releases)-1]
	if g.chance(0.3) {
		release = g.releases[g.rnd.IntN(len(g.releases))]
	}
	return person{
		id: "u-" + strconv.Itoa(who), address: g.address(who), browser: browsers[g.rnd.IntN(len(browsers))],
		release: release, route: pages[n].route, path: path, trace: g.hex(16),
	}
}

// address is an invented client's, out of the networks kept for documentation
// (RFC 5737, RFC 3849); the gateway believes it only behind a trusted proxy.
func (g *generator) address(who int) string {
	if g.addresses <= 0 {
		return ""
	}
	who %= g.addresses
	if who < 254 {
		return fmt.Sprintf("203.0.113.%d", who+1)
	}
	return fmt.Sprintf("2001:db8:%x:%x::1", who>>16, who&0xffff)
}

// zipf picks one of n, the first ones most often.
func (g *generator) zipf(n int) int {
	for {
		if k := int(math.Floor(g.rnd.ExpFloat64() * float64(n) / 4)); k < n {
			return k
		}
	}
}

// hex is n random bytes in hexadecimal.
func (g *generator) hex(n int) string {
	const digits = "0123456789abcdef"
	b := make([]byte, 2*n)
	for i := range b {
		b[i] = digits[g.rnd.IntN(16)]
	}
	return string(b)
}

// lognormal has the median m and the given spread.
func (g *generator) lognormal(m, spread float64) float64 {
	return m * math.Exp(spread*g.rnd.NormFloat64())
}
