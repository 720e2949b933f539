package console

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"breakwater/schemas"
)

// The pictures are drawn here and not in a browser: they need no script, and
// say the same to everybody. Colours are classes of the style sheet.

// chart draws the p75 of a day as a line, with the threshold of good. Only
// numbers go into it, so it cannot carry anything hostile.
func chart(v Vital) template.HTML {
	const w, h = 192.0, 48.0
	top := v.GoodUpTo * 1.6
	for _, p := range v.Points {
		top = max(top, p.P75*1.1)
	}
	y := func(value float64) float64 { return h - 2 - value/top*(h-4) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="chart" viewBox="0 0 %g %g" preserveAspectRatio="none" aria-hidden="true" focusable="false">`, w, h)
	fmt.Fprintf(&b, `<rect class="good-zone" x="0" y="%.1f" width="%g" height="%.1f"/>`, y(v.GoodUpTo), w, h-y(v.GoodUpTo))
	fmt.Fprintf(&b, `<line class="threshold" x1="0" x2="%g" y1="%.1f" y2="%.1f"/>`, w, y(v.GoodUpTo), y(v.GoodUpTo))
	points := begun(v.Points)
	step, drawing := w/float64(max(len(points), 1)), false
	var line strings.Builder
	for i, p := range points {
		if p.Samples == 0 {
			drawing = false
			continue
		}
		x := (float64(i) + 0.5) * step
		if !drawing {
			fmt.Fprintf(&line, "M%.1f %.1f", x-step*0.4, y(p.P75)) // a point alone is a short line
			drawing = true
		}
		fmt.Fprintf(&line, "L%.1f %.1f", x+step*0.4, y(p.P75))
	}
	fmt.Fprintf(&b, `<path class="line" d="%s"/></svg>`, line.String())
	return template.HTML(b.String()) //nolint:gosec // numbers only
}

// begun leaves out the time before the first measurement, but shows four hours
// at least.
func begun(points []VitalPoint) []VitalPoint {
	const least = 16
	for len(points) > least && points[0].Samples == 0 {
		points = points[1:]
	}
	return points
}

// band is one stream of the flow picture.
type band struct {
	label, class string
	items        float64
}

// flow draws the ledger: what came in on the left, what became of it at the
// door in the middle, where the accepted items are on the right.
func flow(b Books) template.HTML {
	in := b.Received + b.Recovered + b.Requeued
	accepted := b.Sum(schemas.Accepted, "") + b.Recovered + b.Requeued
	door := []band{
		{"accepted", "ok", accepted},
		{"filtered", "dim", b.Sum(schemas.Filtered, "") - b.NoDocument()},
		{"suppressed", "dim", b.Sum(schemas.Suppressed, "")},
		{"rate limited", "warn", b.Sum(schemas.RateLimited, "") - b.Limited()},
		{"invalid", "warn", b.Sum(schemas.Invalid, "")},
		{"unauthorized", "warn", b.Sum(schemas.Unauthorized, "")},
	}
	ends := []band{
		{"delivered", "ok", b.Sum(schemas.Delivered, "")},
		{b.Rest(), "wait", b.InSpool},
		{"no document", "dim", b.NoDocument()},
		{"limited upstream", "warn", b.Limited()},
		{"expired", "bad", b.Sum(schemas.Expired, "")},
		{"dead letter", "bad", b.Sum(schemas.DeadLetter, "")},
	}
	const width, top, tall, gap, bar = 760.0, 28.0, 250.0, 14.0, 14.0
	scale := func(bands []band) float64 { return (tall - gap*float64(len(bands)-1)) / max(in, 1) }
	k := min(scale(door), scale(ends))
	thick := func(items float64) float64 {
		if items <= 0 {
			return 1
		}
		return max(items*k, 2)
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg class="flow" viewBox="0 0 %g 300" role="img" aria-labelledby="flow-title flow-desc"><title id="flow-title">The ledger as a flow</title><desc id="flow-desc">%s</desc>`,
		width, template.HTMLEscapeString(flowText(in, door, ends)))
	const x0, x1, x2 = 0.0, 300.0, 560.0
	column := func(x float64, head string) { fmt.Fprintf(&out, `<text class="head" x="%g" y="14">%s</text>`, x, head) }
	column(x0, "came in")
	column(x1, "at the door")
	column(x2, "where accepted items are")
	fmt.Fprintf(&out, `<rect class="node" x="%g" y="%g" width="%g" height="%.1f"/>`, x0, top, bar, thick(in))
	fmt.Fprintf(&out, `<text x="%g" y="%g">%s</text>`, x0+bar+6, top+14, number(in)+" items")
	draw := func(from, to float64, bands []band) {
		y, fromY := top, top
		for _, s := range bands {
			t := thick(s.items)
			if s.items > 0 {
				mid := (from + to) / 2
				f := max(s.items*k, 0.5)
				fmt.Fprintf(&out, `<path class="band %s" d="M%g %.1fC%g %.1f %g %.1f %g %.1fV%.1fC%g %.1f %g %.1f %g %.1fZ"/>`,
					s.class, from, fromY, mid, fromY, mid, y, to, y, y+t, mid, y+t, mid, fromY+f, from, fromY+f)
				fromY += f
			}
			fmt.Fprintf(&out, `<rect class="node %s" x="%g" y="%.1f" width="%g" height="%.1f"/>`, s.class, to, y, bar, t)
			fmt.Fprintf(&out, `<text class="%s" x="%g" y="%.1f">%s %s</text>`, empty(s.items), to+bar+6, y+min(t/2, 12)+5, s.label, number(math.Round(s.items)))
			y += t + gap
		}
	}
	draw(x0+bar, x1, door)
	draw(x1+bar, x2, ends) // accepted is the topmost at the door
	out.WriteString(`</svg>`)
	return template.HTML(out.String()) //nolint:gosec // numbers and words of ours
}

func empty(items float64) string {
	if items == 0 {
		return "none"
	}
	return "some"
}

func flowText(in float64, door, ends []band) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s items came in. At the door: ", number(in))
	list := func(bands []band) {
		for i, s := range bands {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(s.label + " " + number(s.items))
		}
		b.WriteString(". ")
	}
	list(door)
	b.WriteString("Of the accepted: ")
	list(ends)
	return strings.TrimSpace(b.String())
}
