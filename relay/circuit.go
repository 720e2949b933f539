package relay

import "time"

// State is what a destination is doing.
type State string

// The states, as metrics and the console show them.
const (
	Closed   State = "closed"    // delivering
	Open     State = "open"      // pausing: the upstream is away
	HalfOpen State = "half_open" // one record at a time finds out whether it is back
	NoTarget State = "held"      // no upstream is configured; records wait
)

// States is the closed list.
var States = []State{Closed, Open, HalfOpen, NoTarget}

// circuit decides whether a destination may be tried at all. It is pure: time
// and chance are passed in, and its queue's mutex guards it.
//
//	closed ──after failures in a row──▶ open ──next──▶ half_open
//	   ▲                                 ▲                 │
//	   └───────── any answer ────────────┴──── failure ────┘
type circuit struct {
	after      int
	base, cap  time.Duration
	rand       func() float64
	state      State
	failures   int       // in a row
	lastRecord string    // of the last failure
	since      time.Time // first failure of this row
	opened     int       // how often in a row it opened: the exponent of the pause
	next       time.Time // open: when to probe
	probing    bool      // half open: the one probe is out
}

// answered notes that the upstream is there. It returns how long it was away
// if that ends an outage.
func (c *circuit) answered(now time.Time) (outage time.Duration, recovered bool) {
	recovered = c.state != Closed
	if recovered {
		outage = now.Sub(c.since)
	}
	c.state, c.failures, c.opened, c.lastRecord = Closed, 0, 0, ""
	c.since, c.next = time.Time{}, time.Time{}
	return outage, recovered
}

// failed notes a failure and tells whether it was the one that opened the
// circuit. down says that the upstream was away; otherwise it failed at the
// record, and the same record failing again is no news about the upstream.
// notBefore is the upstream's own word on when to come back.
func (c *circuit) failed(now time.Time, record string, down, probe bool, notBefore time.Time) (opened bool) {
	if c.failures == 0 {
		c.since = now
	}
	if down || record != c.lastRecord {
		c.failures++
	}
	c.lastRecord = record
	switch {
	case c.state == Closed && c.failures >= c.after:
		opened = true
	case c.state == HalfOpen && probe:
	default:
		return false
	}
	c.opened++
	d := ceiling(c.opened, c.base, c.cap)
	c.next = now.Add(d/2 + time.Duration(c.rand()*float64(d/2)))
	if notBefore.After(c.next) {
		c.next = notBefore
	}
	c.state = Open
	return opened
}

// try tells whether a record may be claimed now. When it may not, until is
// when to ask again; zero: when something changed.
func (c *circuit) try(now time.Time) (until time.Time, ok bool) {
	if c.state == Open {
		if now.Before(c.next) {
			return c.next, false
		}
		c.state = HalfOpen
	}
	if c.state == HalfOpen && c.probing {
		return time.Time{}, false
	}
	return time.Time{}, true
}
