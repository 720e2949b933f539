package simulate

import (
	"fmt"
	"math"
	"strconv"

	"breakwater/schemas"
)

// pageView queues the beacons of one page view as the web-vitals library makes
// them: what the load measured at once, the rest when the page is hidden. slow
// multiplies the paint times.
func (g *generator) pageView(p person, slow float64) {
	device := 1.0
	if p.browser.device == "mobile" {
		device = 1.5
	}
	ttfb := g.lognormal(260*device, 0.5)
	fcp := ttfb + g.lognormal(420*device*slow, 0.45)
	lcp := fcp + g.lognormal(600*device*slow, 0.6)
	cls := 0.0
	if g.chance(0.4) {
		cls = g.lognormal(0.05, 0.9)
	}
	inp := 8 * math.Ceil(g.lognormal(90*device, 0.6)/8)
	g.push(g.beacon(p, metric{"TTFB", ttfb}, metric{"FCP", fcp}))
	late := []metric{{"LCP", lcp}, {"CLS", cls}}
	if g.chance(0.7) { // people who did something
		late = append(late, metric{"INP", inp})
	}
	g.push(g.beacon(p, late...))
}

type metric struct {
	name  string
	value float64
}

// beacon is one POST of some metrics.
func (g *generator) beacon(p person, metrics ...metric) request {
	body := fmt.Appendf(nil, `{"route":%q,"url":"https://shop.example%s","release":%q,"environment":"production","device":%q,"trace_id":%q,"vitals":[`, p.route, p.path, p.release, p.browser.device, p.trace)
	for i, m := range metrics {
		if i > 0 {
			body = append(body, ',')
		}
		v := strconv.FormatFloat(m.value, 'f', 1, 64)
		if m.name == "CLS" {
			v = strconv.FormatFloat(m.value, 'f', 4, 64)
		}
		body = fmt.Appendf(body, `{"name":%q,"value":%s,"rating":"good","delta":%s,"id":"v6-%d-%d","navigationType":"navigate","navigationURL":"https://shop.example%s"}`,
			m.name, v, v, g.now().UnixMilli(), 1e12+g.rnd.Int64N(9e12), p.path)
	}
	body = append(body, "]}"...)
	return request{
		path: "vitals/?key=" + g.key, contentType: textPlain, userAgent: p.browser.userAgent, address: p.address,
		body: body, items: tally{schemas.CategoryVital: len(metrics)},
	}
}
