package vitals

import (
	"math"
	"testing"
	"time"
)

// The last day is counted by quarters of an hour and classes of device; what
// is older goes, and the share of good is exact.
func TestTiles(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 7, 0, 0, time.UTC)
	p := &project{name: "shop"}
	v := &Vitals{cfg: Config{Now: func() time.Time { return now }}}
	v.projects.Store(&map[string]*project{"shop": p})
	see := func(device string, values ...float64) {
		for _, x := range values {
			o := observation{vital: lcp, labels: labels{device: device}, value: x}
			p.remember(&o, specs[lcp].rate(x), now)
		}
	}
	see(deviceMobile, 1, 2, 2.5, 2.51)
	see("a forged device", 9)
	now = now.Add(time.Hour)
	see(deviceMobile, 61, 2.2)
	tiles := v.Tiles()
	if len(tiles) != 2 || tiles[0].Device != deviceMobile || tiles[1].Device != deviceOther || tiles[0].Vital != "LCP" {
		t.Fatalf("%+v", tiles)
	}
	m := tiles[0]
	if m.Samples != 6 || m.Good != 4 || m.Poor != 1 || len(m.Points) != daySlices || m.Points[daySlices-1].Samples != 2 || m.Points[daySlices-5].Samples != 4 {
		t.Errorf("%+v", m)
	}
	if want := 2.5 + 0.25*(4.5-4)/1; math.Abs(m.P75-want) > 1e-9 {
		t.Errorf("p75 %v, want %v", m.P75, want)
	}
	now = now.Add(23*time.Hour + 30*time.Minute)
	if m = v.Tiles()[0]; m.Samples != 2 {
		t.Errorf("a day later %d samples are left, want the 2 of the last hour", m.Samples)
	}
	now = now.Add(48 * time.Hour)
	if m = v.Tiles()[0]; m.Samples != 0 || m.P75 != 0 {
		t.Errorf("days later %+v", m.Point)
	}
}
