package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latency is a histogram of times, exact to three digits from a microsecond to
// a minute and more. One per connection; merged at the end.
type latency struct{ h *hdrhistogram.Histogram }

const maxLatency = 2 * time.Minute

func newLatency() latency {
	return latency{hdrhistogram.New(1, maxLatency.Microseconds(), 3)}
}

func (l latency) add(d time.Duration) {
	_ = l.h.RecordValue(min(max(d, 0), maxLatency).Microseconds()) // in range: never fails
}

// ms is a percentile in milliseconds, 0 when nothing was measured.
func (l latency) ms(percentile float64) float64 {
	return float64(l.h.ValueAtPercentile(percentile)) / 1e3
}

// shape is what is printed of a histogram.
type shape struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p99.9_ms"`
	Max   float64 `json:"max_ms"`
	Mean  float64 `json:"mean_ms"`
}

func (l latency) shape() shape {
	return shape{
		Count: l.h.TotalCount(), P50: l.ms(50), P90: l.ms(90), P99: l.ms(99), P999: l.ms(99.9),
		Max: float64(l.h.Max()) / 1e3, Mean: l.h.Mean() / 1e3,
	}
}

// draw writes a line for each doubling of the time, with a bar as long as its share.
func (l latency) draw(w io.Writer) {
	type bin struct {
		upTo time.Duration
		n    int64
	}
	var bins []bin
	upTo := 50 * time.Microsecond
	for _, b := range l.h.Distribution() {
		for time.Duration(b.To)*time.Microsecond > upTo {
			upTo *= 2
		}
		if n := len(bins); b.Count == 0 {
			continue
		} else if n == 0 || bins[n-1].upTo != upTo {
			bins = append(bins, bin{upTo, 0})
		}
		bins[len(bins)-1].n += b.Count
	}
	total := float64(max(l.h.TotalCount(), 1))
	for _, b := range bins {
		share := float64(b.n) / total
		fmt.Fprintf(w, "  up to %10v  %9d  %6.2f %%  %s\n", b.upTo, b.n, share*100, strings.Repeat("#", int(share*60+0.5)))
	}
}

// save writes the percentile distribution in the text form that HdrHistogram's
// plotters read, in milliseconds.
func (l latency) save(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := l.h.PercentilesPrint(f, 5, 1000); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
