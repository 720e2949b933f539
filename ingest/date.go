package ingest

import (
	"net/http"
	"sync/atomic"
	"time"
)

// dates is the Date of answers, written once a second: net/http would write it
// anew for each.
type dates struct{ now atomic.Pointer[date] }

// date is a second, and the value of a header; shared, never changed.
type date struct {
	second int64
	value  []string
}

// at is the header's value at a time (RFC 9110, 5.6.7).
func (d *dates) at(now time.Time) []string {
	known := d.now.Load()
	if known == nil || known.second != now.Unix() {
		known = &date{now.Unix(), []string{now.UTC().Format(http.TimeFormat)}}
		d.now.Store(known)
	}
	return known.value
}
