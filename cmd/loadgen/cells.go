package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"breakwater/relay/relaytest"
)

// cell is one server under one sort of load: medians over the rounds, and the
// medians of the ratios that each round gave beside the reference of that round.
type cell struct {
	Name      string  `json:"name"`
	PerSecond float64 `json:"per_second"`
	OfRef     float64 `json:"of_reference"`
	OfFloor   float64 `json:"of_smaller_floor,omitempty"` // of the smaller of reference and bare file
	CPUPerM   float64 `json:"cpu_seconds_per_million"`    // 0: not known
	CPUOfRef  float64 `json:"cpu_of_reference"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	RSS       float64 `json:"max_rss_mib"`
	NotOK     int64   `json:"not_2xx"`
	Unsent    int64   `json:"due_but_never_sent"`
	// CPUAccept is the part of CPUPerM that was spent while it was loaded; the
	// rest came after it, with deliveries.
	CPUAccept float64    `json:"cpu_seconds_per_million_during_load"`
	Cores     coreShares `json:"percent_of_cores_during_load"`

	addr   string
	pid    int // 0: not ours to look at
	up     int // pid of the upstream, 0: none, or not known
	tmpl   *template
	ref    *cell              // nil: it is one
	floor  *[]float64         // rates of the bare file; nil: nothing rests on disk
	acked  func(relaytest.ID) // of load
	before func() error       // before each load
	settle func() error       // after each load: what was accepted must also be delivered, and that is work
	rounds []round
	total  latency
}

// round is what one round measured.
type round struct {
	rate, cpu, accept, p50, p99 float64
	cores                       coreShares
}

// measure loads the cell once.
func (c *cell) measure(d time.Duration, conns int, pace float64) error {
	if c.before != nil {
		if err := c.before(); err != nil {
			return err
		}
	}
	var after usage
	before, err := clockOf(c.pid, c.up)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	got := load{addr: c.addr, conns: conns, tmpl: c.tmpl, pace: pace, acked: c.acked}.run(ctx)
	cancel()
	loaded, err := clockOf(c.pid, c.up)
	if err != nil {
		return err
	}
	if c.settle != nil {
		if err := c.settle(); err != nil {
			return err
		}
	}
	if c.pid != 0 {
		if after, err = usageOf(c.pid); err != nil {
			return err
		}
	}
	r := round{rate: got.Rate, p50: got.P50, p99: got.P99, cores: loaded.since(before)}
	if c.pid != 0 {
		million := float64(max(got.OK, 1)) / 1e6
		r.cpu, r.accept = (after.CPU-before.server)/million, (loaded.server-before.server)/million
	}
	c.rounds = append(c.rounds, r)
	c.RSS = max(c.RSS, mib(after.MaxRSS))
	c.NotOK += got.NoAnswer
	c.Unsent += got.Unsent
	for _, n := range got.Refused {
		c.NotOK += int64(n)
	}
	if c.total.h == nil {
		c.total = newLatency()
	}
	c.total.h.Merge(got.latency.h)
	return nil
}

// finish makes the medians.
func (c *cell) finish() {
	pick := func(of func(i int) float64) float64 {
		v := make([]float64, len(c.rounds))
		for i := range v {
			v[i] = of(i)
		}
		return median(v)
	}
	ref := c
	if c.ref != nil {
		ref = c.ref
	}
	c.PerSecond = pick(func(i int) float64 { return c.rounds[i].rate })
	c.CPUPerM = pick(func(i int) float64 { return c.rounds[i].cpu })
	c.CPUAccept = pick(func(i int) float64 { return c.rounds[i].accept })
	c.Cores = coreShares{
		Server: pick(func(i int) float64 { return c.rounds[i].cores.Server }), Generator: pick(func(i int) float64 { return c.rounds[i].cores.Generator }),
		Upstream: pick(func(i int) float64 { return c.rounds[i].cores.Upstream }), Others: pick(func(i int) float64 { return c.rounds[i].cores.Others }),
		Idle: pick(func(i int) float64 { return c.rounds[i].cores.Idle }),
	}
	c.P50 = pick(func(i int) float64 { return c.rounds[i].p50 })
	c.P99 = pick(func(i int) float64 { return c.rounds[i].p99 })
	c.OfRef = pick(func(i int) float64 { return c.rounds[i].rate / max(ref.rounds[i].rate, 1e-9) })
	if ref.rounds[0].cpu > 0 {
		c.CPUOfRef = pick(func(i int) float64 { return c.rounds[i].cpu / max(ref.rounds[i].cpu, 1e-9) })
	}
	if c.floor != nil {
		c.OfFloor = pick(func(i int) float64 { return c.rounds[i].rate / max(min(ref.rounds[i].rate, (*c.floor)[i]), 1e-9) })
	}
}

// cellTable is for people.
func cellTable(cells []*cell) string {
	tw := table.NewWriter()
	tw.SetStyle(table.StyleLight)
	tw.AppendHeader(table.Row{"", "per s", "of ref", "of floor", "CPU-s/1M", "x ref", "p50 ms", "p99 ms", "max RSS MiB", "not 2xx", "unsent"})
	known := func(format string, v float64) string {
		if v == 0 {
			return "-"
		}
		return fmt.Sprintf(format, v)
	}
	for _, c := range cells {
		tw.AppendRow(table.Row{
			c.Name, fmt.Sprintf("%.0f", c.PerSecond), fmt.Sprintf("%.2f", c.OfRef), known("%.2f", c.OfFloor), known("%.1f", c.CPUPerM),
			known("%.2f", c.CPUOfRef), fmt.Sprintf("%.2f", c.P50), fmt.Sprintf("%.2f", c.P99), known("%.0f", c.RSS), c.NotOK, c.Unsent,
		})
	}
	return tw.Render()
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func median(v []float64) float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	return s[len(s)/2]
}
