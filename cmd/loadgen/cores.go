package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
)

// coreShares says where the time of this machine's cores went during a load, in per
// cent of all of them: a server that shares them with its load is asked less
// than it could answer.
type coreShares struct {
	Server    float64 `json:"server"`
	Generator float64 `json:"generator"`
	Upstream  float64 `json:"upstream"`
	Others    float64 `json:"others"`
	Idle      float64 `json:"idle"`
}

// coreClock is what coreShares is a difference of, in seconds.
type coreClock struct{ server, generator, upstream, all, idle float64 }

// clockOf reads it. A pid of 0 is one that is not known: its part is among the
// others.
func clockOf(server, upstream int) (c coreClock, err error) {
	for pid, to := range map[int]*float64{server: &c.server, os.Getpid(): &c.generator, upstream: &c.upstream} {
		if pid == 0 {
			continue
		}
		u, err := usageOf(pid)
		if err != nil {
			return c, err
		}
		*to = u.CPU
	}
	c.all, c.idle, err = machineTime()
	return c, err
}

// machineTime is the time of all cores since the machine started, and the part
// of it that they had nothing to do, in seconds.
func machineTime() (all, idle float64, err error) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	for i, text := range strings.Fields(line) {
		if i == 0 || i > 8 { // the name; behind them guests, who are counted as user already
			continue
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("reading /proc/stat: %w", err)
		}
		all += v / clockTicks
		if i == 4 || i == 5 { // idle, and idle while a disk works
			idle += v / clockTicks
		}
	}
	return all, idle, nil
}

func (c coreClock) since(before coreClock) coreShares {
	all := max(c.all-before.all, 1e-9) / 100
	r := coreShares{
		Server: (c.server - before.server) / all, Generator: (c.generator - before.generator) / all,
		Upstream: (c.upstream - before.upstream) / all, Idle: (c.idle - before.idle) / all,
	}
	r.Others = max(100-r.Server-r.Generator-r.Upstream-r.Idle, 0)
	return r
}

// coresTable is for people.
func coresTable(cells []*cell) string {
	tw := table.NewWriter()
	tw.SetStyle(table.StyleLight)
	tw.AppendHeader(table.Row{"% of all cores during the load", "server", "generator", "upstream", "others", "idle"})
	for _, c := range cells {
		row := table.Row{c.Name}
		for _, v := range []float64{c.Cores.Server, c.Cores.Generator, c.Cores.Upstream, c.Cores.Others, c.Cores.Idle} {
			row = append(row, fmt.Sprintf("%.0f", v))
		}
		tw.AppendRow(row)
	}
	return tw.Render()
}
