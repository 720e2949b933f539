package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

type benchCmd struct {
	Gateway string        `help:"Gateway binary." default:"bin/breakwater" type:"existingfile"`
	Rounds  int           `help:"Interleaved rounds; the medians are reported." default:"5"`
	Time    time.Duration `help:"Length of one cell." default:"3s"`
	Conns   int           `help:"Connections." default:"128"`
	Size    string        `help:"Bytes of an envelope." default:"4096"`
	JSON    bool          `help:"Print the report as JSON."`
}

// cell is one measured combination, medians over the rounds.
type cell struct {
	Name       string  `json:"name"`
	PerSecond  float64 `json:"per_second"`
	OfRef      float64 `json:"of_reference"` // ratio of the medians
	CPUPerM    float64 `json:"cpu_seconds_per_million"`
	CPUOfRef   float64 `json:"cpu_of_reference"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	RSS        float64 `json:"max_rss_mib"`
	NotOK      int64   `json:"not_ok"`
	rates, cpu []float64
	p50s, p99s []float64
}

type benchReport struct {
	Cells    []*cell `json:"cells"`
	Bare     float64 `json:"bare_group_commit_per_second"`
	OfFloor  float64 `json:"envelope_of_smaller_floor"` // of the smaller of reference and bare file
	Fsyncs   float64 `json:"fsyncs_per_envelope"`
	IdleRSS  float64 `json:"idle_rss_mib"`
	StartMS  float64 `json:"start_ms"`
	BinaryMB float64 `json:"binary_mib"`
}

// Run measures: reference and gateway take turns within each round, so that
// what disturbs the machine disturbs both.
func (b *benchCmd) Run() error {
	gw, err := newGateway(b.Gateway, "", 1)
	if err != nil {
		return err
	}
	defer gw.cleanup()
	up := newSink(false)
	l, err := up.serve(gw.upstreams[0])
	if err != nil {
		return err
	}
	defer l.Close()

	self, err := os.Executable()
	if err != nil {
		return err
	}
	refAddr, err := freeAddr()
	if err != nil {
		return err
	}
	ref, err := start(nil, gw.log, self, "ref", "--listen", refAddr)
	if err != nil {
		return err
	}
	defer ref.kill()

	began := time.Now()
	if err := gw.start(); err != nil {
		return err
	}
	report := benchReport{StartMS: time.Since(began).Seconds() * 1e3}
	if fi, err := os.Stat(b.Gateway); err == nil {
		report.BinaryMB = mib(fi.Size())
	}
	time.Sleep(time.Second)
	if u, err := usageOf(gw.proc.pid()); err == nil {
		report.IdleRSS = mib(u.RSS)
	}

	env, err := envelope(gw.key, b.Size)
	if err != nil {
		return err
	}
	vitals := "/api/1/vitals/?key=" + gw.key
	type target struct {
		*cell
		addr string
		pid  int
		tmpl *template
		ref  *cell
	}
	refBeacon, refEnvelope := &cell{Name: "reference, beacon"}, &cell{Name: "reference, envelope"}
	targets := []target{
		{refBeacon, refAddr, ref.pid(), newTemplate("POST", "/", refAddr, "text/plain", beacon()), refBeacon},
		{&cell{Name: "gateway, beacon"}, gw.public, gw.proc.pid(), newTemplate("POST", vitals, gw.public, "text/plain", beacon()), refBeacon},
		{refEnvelope, refAddr, ref.pid(), newTemplate("POST", "/", refAddr, "text/plain", env), refEnvelope},
		{&cell{Name: "gateway, envelope accepted and delivered"}, gw.public, gw.proc.pid(), newTemplate("POST", gw.envelopePath(), gw.public, "text/plain;charset=UTF-8", env), refEnvelope},
	}
	var bare []float64
	for round := range b.Rounds {
		progress("round %d/%d  bare group-commit file", round+1, b.Rounds)
		rate, err := bareRate(gw.dir, b.Conns, len(env), b.Time)
		if err != nil {
			return err
		}
		bare = append(bare, rate)
		for _, t := range targets {
			progress("round %d/%d  %s", round+1, b.Rounds, t.Name)
			before, err := usageOf(t.pid)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.Background(), b.Time)
			got := load{addr: t.addr, conns: b.Conns, tmpl: t.tmpl}.run(ctx)
			cancel()
			if t.pid == gw.proc.pid() { // what was accepted must also be delivered, and that is work
				if err := gw.drain(5 * time.Minute); err != nil {
					return err
				}
			}
			after, err := usageOf(t.pid)
			if err != nil {
				return err
			}
			t.rates = append(t.rates, got.Rate())
			t.cpu = append(t.cpu, (after.CPU-before.CPU)/float64(max(got.OK, 1))*1e6)
			t.p50s, t.p99s = append(t.p50s, got.P50), append(t.p99s, got.P99)
			t.RSS = max(t.RSS, mib(after.MaxRSS))
			t.NotOK += got.NoAnswer
			for _, n := range got.Refused {
				t.NotOK += int64(n)
			}
		}
	}
	for _, t := range targets {
		t.PerSecond, t.CPUPerM, t.P50, t.P99 = median(t.rates), median(t.cpu), median(t.p50s), median(t.p99s)
	}
	for _, t := range targets {
		t.OfRef, t.CPUOfRef = t.PerSecond/t.ref.PerSecond, t.CPUPerM/t.ref.CPUPerM
		report.Cells = append(report.Cells, t.cell)
	}
	report.Bare = median(bare)
	report.OfFloor = report.Cells[3].PerSecond / min(report.Bare, refEnvelope.PerSecond)
	if m, err := gw.metrics(); err == nil {
		report.Fsyncs = m.count("breakwater_spool_fsync_duration_seconds") / max(m.sum("breakwater_items_outcome_total", "outcome=accepted"), 1)
	}
	progressEnd()
	if b.JSON {
		return print(true, report)
	}
	tw := table.NewWriter()
	tw.SetStyle(table.StyleLight)
	tw.AppendHeader(table.Row{"", "per s", "of ref", "CPU-s/1M", "x ref", "p50 ms", "p99 ms", "max RSS MiB", "not 2xx"})
	for _, c := range report.Cells {
		tw.AppendRow(table.Row{
			c.Name, fmt.Sprintf("%.0f", c.PerSecond), fmt.Sprintf("%.2f", c.OfRef), fmt.Sprintf("%.1f", c.CPUPerM),
			fmt.Sprintf("%.2f", c.CPUOfRef), fmt.Sprintf("%.2f", c.P50), fmt.Sprintf("%.2f", c.P99), fmt.Sprintf("%.0f", c.RSS), c.NotOK,
		})
	}
	fmt.Println(tw.Render())
	fmt.Printf("bare group-commit file %.0f/s; envelope answered after fsync: %.2f of the smaller of it and the reference; %.4f fsyncs per envelope\n",
		report.Bare, report.OfFloor, report.Fsyncs)
	fmt.Printf("medians of %d rounds of %v, %d connections; start %.0f ms, idle RSS %.1f MiB, binary %.1f MiB\n",
		b.Rounds, b.Time, b.Conns, report.StartMS, report.IdleRSS, report.BinaryMB)
	return nil
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func median(v []float64) float64 {
	s := slices.Clone(v)
	slices.Sort(s)
	return s[len(s)/2]
}
