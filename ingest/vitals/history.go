package vitals

import (
	"sort"
	"strings"
	"time"

	"breakwater/ingest"
)

// The last day is kept in slices of a quarter of an hour: 11 KB for each vital
// and class of device of a project that is measured, at most 220 KB a project.
const (
	sliceLength = 15 * time.Minute
	daySlices   = 96
	maxBuckets  = 20
)

// deviceClasses are the devices that have a history of their own.
var deviceClasses = [...]string{deviceMobile, deviceTablet, deviceDesktop, deviceOther}

// history is the last day of one vital.
type history [daySlices]slice

type slice struct {
	no      uint32 // of the quarter of an hour since 1970
	ratings [3]uint32
	buckets [maxBuckets + 1]uint32 // the classic ones, not cumulative; the last is +Inf
}

// remember counts a page load into its slice of the day. The caller holds mu.
func (p *project) remember(o *observation, r rating, now time.Time) {
	place := &p.history[o.vital][deviceClass(o.device)]
	if *place == nil {
		*place = &history{}
	}
	h := *place
	no := uint32(now.Unix() / int64(sliceLength/time.Second))
	s := &h[no%daySlices]
	if s.no != no {
		*s = slice{no: no}
	}
	s.ratings[r]++
	bounds := specs[o.vital].buckets
	i := sort.SearchFloat64s(bounds, o.value)
	if i == len(bounds) {
		i = maxBuckets
	}
	s.buckets[i]++
}

// deviceClass is the index of a device in deviceClasses, of which the last is for all others.
func deviceClass(d string) int {
	for i, class := range deviceClasses {
		if d == class {
			return i
		}
	}
	return len(deviceClasses) - 1
}

// Tile is one web vital of a project's last day, for people to see.
type Tile struct {
	Project string `json:"project"`
	// Vital is LCP, INP, CLS, FCP or TTFB; Device one of mobile, tablet,
	// desktop, other.
	Vital  string `json:"vital"`
	Device string `json:"device"`
	// GoodUpTo and PoorOver are the published thresholds, in seconds; CLS has
	// no unit.
	GoodUpTo float64 `json:"good_up_to"`
	PoorOver float64 `json:"poor_over"`
	Point
	// Points are the slices of the day, oldest first, empty ones included.
	Points []Point `json:"points"`
}

// Point is what was measured in one stretch of time.
type Point struct {
	At      time.Time `json:"at"` // its begin
	Samples uint64    `json:"samples"`
	Good    uint64    `json:"good"`
	Poor    uint64    `json:"poor"`
	// P75 is the 75th percentile, interpolated within a bucket; 0 without
	// samples. Verdicts come from Good: they are exact.
	P75 float64 `json:"p75"`
}

// Tiles are the web vitals of the last 24 hours, by project, vital and device,
// as they settled. What it knows begins with the process.
func (v *Vitals) Tiles() []Tile {
	now := v.cfg.Now()
	tiles := []Tile{}
	for _, p := range *v.projects.Load() {
		if p.name == ingest.UnknownProject {
			continue
		}
		p.mu.Lock()
		for k, devices := range p.history {
			for d, h := range devices {
				if h != nil {
					tiles = append(tiles, h.tile(p.name, vital(k), deviceClasses[d], now))
				}
			}
		}
		p.mu.Unlock()
	}
	sort.Slice(tiles, func(i, j int) bool {
		a, b := &tiles[i], &tiles[j]
		if a.Project != b.Project {
			return a.Project < b.Project
		}
		if a.Vital != b.Vital {
			return byName[a.Vital] < byName[b.Vital]
		}
		return strings.Compare(a.Device, b.Device) < 0
	})
	return tiles
}

func (h *history) tile(project string, k vital, device string, now time.Time) Tile {
	spec := &specs[k]
	t := Tile{Project: project, Vital: spec.name, Device: device, GoodUpTo: spec.good, PoorOver: spec.poor, Points: make([]Point, 0, daySlices)}
	last := uint32(now.Unix() / int64(sliceLength/time.Second))
	var all slice
	for no := last - daySlices + 1; no <= last; no++ {
		s := &h[no%daySlices]
		if s.no != no {
			s = &slice{no: no}
		}
		t.Points = append(t.Points, s.point(spec))
		for i, n := range s.ratings {
			all.ratings[i] += n
		}
		for i, n := range s.buckets {
			all.buckets[i] += n
		}
	}
	t.Point = all.point(spec)
	t.At = t.Points[0].At
	return t
}

func (s *slice) point(spec *spec) Point {
	return Point{
		At:      time.Unix(int64(s.no)*int64(sliceLength/time.Second), 0).UTC(),
		Samples: uint64(s.ratings[good]) + uint64(s.ratings[needsImprovement]) + uint64(s.ratings[poor]),
		Good:    uint64(s.ratings[good]), Poor: uint64(s.ratings[poor]), P75: s.quantile(0.75, spec.buckets),
	}
}

// quantile interpolates within its bucket, as Prometheus does; beyond the last
// bound it is the last bound.
func (s *slice) quantile(q float64, bounds []float64) float64 {
	total := 0.0
	for _, n := range s.buckets {
		total += float64(n)
	}
	if total == 0 {
		return 0
	}
	rank, below := q*total, 0.0
	for i, bound := range bounds {
		n := float64(s.buckets[i])
		if n > 0 && below+n >= rank {
			low := 0.0
			if i > 0 {
				low = bounds[i-1]
			}
			return low + (bound-low)*(rank-below)/n
		}
		below += n
	}
	return bounds[len(bounds)-1]
}
