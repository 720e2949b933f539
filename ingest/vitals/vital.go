package vitals

import (
	"math"
	"strings"

	"breakwater/schemas"
)

// vital is an index into specs.
type vital uint8

const (
	lcp vital = iota
	inp
	cls
	fcp
	ttfb
	appStartCold
	appStartWarm
	appStartHot
	ttid
	ttfd
	framesSlow
	framesFrozen
	framesTotal
	stallCount
	stallLongest
	vitalCount

	webVitals = ttfb + 1 // the first five
)

// spec is what is known of one vital.
type spec struct {
	name string
	// div turns the wire's unit into the metric's: 1000 for milliseconds.
	div float64
	// max is the largest believable value, in the wire's unit.
	max float64
	// good and poor are the upper bounds of "good" and "needs improvement" in
	// the metric's unit, as the web-vitals library publishes them.
	good, poor float64
	// order tells which of several reports of one id counts.
	order order
	// buckets are the classic bucket bounds, in the metric's unit.
	buckets []float64
}

type order uint8

const (
	keepFirst order = iota
	keepMax
	keepLatest
)

const minute = 60_000 // ms

var startWarmBuckets = []float64{0.1, 0.2, 0.4, 0.7, 1, 1.5, 2, 3, 5, 10, 60}

var lcpBuckets = []float64{0.5, 0.8, 1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 3, 3.5, 4, 5, 6, 8, 10, 15, 30, 60}

// specs says everything that differs from vital to vital. Thresholds are
// bucket bounds, so that verdicts are exact; INP's bounds lie on the 8 ms grid
// of the browsers' event timing; CLS has a zero bucket because many pages
// never shift.
var specs = [vitalCount]spec{
	lcp: {webNames[lcp], 1000, minute, 2.5, 4, keepMax, lcpBuckets},
	inp: {
		webNames[inp], 1000, minute, 0.2, 0.5, keepLatest,
		[]float64{0.016, 0.024, 0.04, 0.056, 0.08, 0.104, 0.128, 0.152, 0.176, 0.2, 0.224, 0.256, 0.3, 0.4, 0.5, 0.75, 1, 2, 5, 60},
	},
	cls: {
		webNames[cls], 1, 10, 0.1, 0.25, keepMax,
		[]float64{0, 0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 2},
	},
	fcp: {
		webNames[fcp], 1000, minute, 1.8, 3, keepFirst,
		[]float64{0.2, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.6, 1.8, 2, 2.25, 2.5, 3, 3.5, 4, 5, 8, 15, 30, 60},
	},
	ttfb: {
		webNames[ttfb], 1000, minute, 0.8, 1.8, keepFirst,
		[]float64{0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 1.8, 2.5, 4, 8, 15, 30, 60},
	},

	appStartCold: {name: "app_start_cold", div: 1000, max: minute, buckets: []float64{0.4, 0.8, 1.2, 1.6, 2, 2.5, 3, 4, 5, 7, 10, 20, 60}},
	appStartWarm: {name: "app_start_warm", div: 1000, max: minute, buckets: startWarmBuckets},
	appStartHot:  {name: "app_start_hot", div: 1000, max: minute, buckets: startWarmBuckets},
	ttid:         {name: "ttid", div: 1000, max: minute, buckets: lcpBuckets},
	ttfd:         {name: "ttfd", div: 1000, max: minute, buckets: lcpBuckets},
	framesSlow:   {name: "frames_slow", div: 1, max: maxCount},
	framesFrozen: {name: "frames_frozen", div: 1, max: maxCount},
	framesTotal:  {name: "frames_total", div: 1, max: maxCount},
	stallCount:   {name: "stall_count", div: 1, max: maxCount},
	stallLongest: {name: "stall_longest", div: 1000, max: minute, buckets: []float64{0.1, 0.2, 0.4, 0.7, 1, 1.5, 2, 3, 5, 10, 30, 60}},
}

// maxCount is the most frames or stalls one report may claim: over two hours at
// 120 frames a second.
const maxCount = 1_000_000

// rating is the index of a word in ratings.
type rating uint8

const (
	good rating = iota
	needsImprovement
	poor
)

var ratings = [...]string{"good", "needs-improvement", "poor"}

// rate judges a web vital in the metric's unit; a value at a bound has the
// better rating.
func (s *spec) rate(v float64) rating {
	switch {
	case v <= s.good:
		return good
	case v <= s.poor:
		return needsImprovement
	}
	return poor
}

// Reasons for which an entry is rejected, a closed list: metrics are made for
// each of them.
const (
	reasonNotANumber   = "not_a_number"
	reasonNegative     = "negative"
	reasonZero         = "zero"
	reasonTooLarge     = "too_large"
	reasonInconsistent = "inconsistent"
	reasonUnsupported  = "unsupported"
	reasonUnknown      = "unknown_vital"
	reasonSoft         = "soft_navigation"
	reasonSuperseded   = "superseded"
)

// valueReasons can happen to any vital; webReasons to web vitals only.
var (
	valueReasons = []string{reasonNotANumber, reasonNegative, reasonTooLarge}
	webReasons   = []string{reasonInconsistent, reasonSuperseded}
	// decodeReasons are of entries nobody could read.
	decodeReasons = []string{schemas.RejectedNotObject, schemas.RejectedNoName, schemas.RejectedBadID, schemas.RejectedTooMany}
)

// check tells why a value in the wire's unit cannot be true, "" when it can.
func (v vital) check(value float64) (reason string) {
	switch {
	case math.IsNaN(value) || math.IsInf(value, 0):
		return reasonNotANumber
	case value < 0:
		return reasonNegative
	case value == 0 && v == lcp:
		return reasonZero
	case value > specs[v].max:
		return reasonTooLarge
	}
	return ""
}

var byName = func() map[string]vital {
	m := make(map[string]vital, vitalCount)
	for v := range vitalCount {
		m[specs[v].name] = v
	}
	return m
}()

// webNames are the names of the web vitals: most of what comes.
var webNames = [webVitals]string{lcp: "LCP", inp: "INP", cls: "CLS", fcp: "FCP", ttfb: "TTFB"}

// lookup finds a vital by its wire name, in any case.
func lookup(name string) (vital, bool) {
	for v := range webNames {
		if webNames[v] == name {
			return vital(v), true
		}
	}
	if v, ok := byName[name]; ok {
		return v, true
	}
	if len(name) > 16 {
		return 0, false
	}
	if v, ok := byName[strings.ToUpper(name)]; ok {
		return v, true
	}
	v, ok := byName[strings.ToLower(name)]
	return v, ok
}

// Navigation types, a closed list: those of the web-vitals library, and other.
const (
	navSoft  = "soft-navigation"
	navOther = "other"
)

var navTypes = [...]string{"navigate", "reload", "back-forward", "back-forward-cache", "prerender", "restore", navSoft, navOther}

// navType is the index in navTypes of the client's word; the browser's own API
// writes back_forward where the library writes back-forward.
func navType(word string) uint8 {
	for i, t := range navTypes {
		if t == word || len(t) == len(word) && t == strings.ReplaceAll(word, "_", "-") {
			return uint8(i)
		}
	}
	return uint8(len(navTypes) - 1)
}

var soft = navType(navSoft)
