package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

type benchCmd struct {
	Gateway    string        `help:"Gateway binary." default:"bin/breakwater" type:"existingfile"`
	Kinds      []string      `help:"What to send: ${kinds}." default:"${kinds}"`
	Rounds     int           `help:"Interleaved rounds; the medians are reported." default:"5"`
	Time       time.Duration `help:"Length of one cell." default:"3s"`
	Conns      int           `help:"Connections." default:"128"`
	Rate       float64       `help:"Open loop: requests per second over all connections. 0: closed loop, as fast as it goes." default:"0"`
	Size       string        `help:"Bytes of an envelope." default:"4096"`
	Attachment int           `help:"KiB of an attachment." default:"300"`
	FewHeaders bool          `help:"Send the four headers that a request needs instead of the sixteen of a browser."`
	Encoding   string        `help:"Compression on the way to the upstream: auto (none, for it is on this machine), gzip, zstd, none." enum:"auto,gzip,zstd,none" default:"auto"`
	Histogram  bool          `help:"Also draw the histogram of each cell's latency."`
	JSON       bool          `help:"Print the report as JSON."`
}

// Help says how to read it.
func (b *benchCmd) Help() string {
	return `Each round loads an empty net/http handler and a gateway in turn with the same requests,
so that what disturbs the machine disturbs both; believe the ratios, not the rates.

` + kindsHelp + `

  of ref    requests per second, as a part of the empty handler's in the same round
  of floor  as a part of the smaller of that and a bare file that 128 producers append
            to with one fsync per group: what an answer after fsync can reach at best
  CPU-s/1M  CPU of that server's process alone for a million requests; for envelopes until the
            last is delivered, so it is what accepting and delivering cost together
  unsent    of an open loop: requests that were due while no connection was free

The row "handler that only answers" is the empty handler with the gateway's answer to a
beacon, 204 and its headers: it knows no key, reads no JSON and counts nothing.

Generator, server and recording upstream are three processes on the same cores: the second table
says who had them during a load. In the rows "delivery held back" the upstream is paused while
requests come, and all is delivered afterwards: "of floor" there is what answers after fsync reach
without the work of deliveries in the same moments; CPU-s/1M is of both, as everywhere.`
}

type benchReport struct {
	Cells    []*cell            `json:"cells"`
	Bare     map[string]float64 `json:"bare_group_commit_per_second"` // by kind
	Fsyncs   float64            `json:"fsyncs_per_envelope"`          // of kind envelope
	IdleRSS  float64            `json:"idle_rss_mib"`
	StartMS  float64            `json:"start_ms"`
	BinaryMB float64            `json:"binary_mib"`
	// Ledger is what the gateway's ledger is off by at the end: 0.
	Ledger float64 `json:"ledger"`
}

// Run measures and prints.
func (b *benchCmd) Run() error {
	r, err := b.run()
	if err != nil {
		return err
	}
	progressEnd()
	return b.print(r)
}

// run measures: reference and gateway take turns within each round.
func (b *benchCmd) run() (*benchReport, error) {
	gw, err := newGateway(b.Gateway, "", 1)
	if err != nil {
		return nil, err
	}
	defer gw.cleanup()
	gw.encoding = b.Encoding
	if err := gw.writeConfig(); err != nil {
		return nil, err
	}
	up, err := startSink(gw.log, gw.upstreams[0])
	if err != nil {
		return nil, err
	}
	defer up.kill()
	ref, refAddr, err := startReference(gw.log)
	if err != nil {
		return nil, err
	}
	defer ref.kill()

	began := time.Now()
	if err := gw.start(); err != nil {
		return nil, err
	}
	defer gw.proc.kill()
	report := &benchReport{StartMS: time.Since(began).Seconds() * 1e3, Bare: map[string]float64{}}
	if fi, err := os.Stat(b.Gateway); err == nil {
		report.BinaryMB = mib(fi.Size())
	}
	time.Sleep(time.Second)
	if u, err := usageOf(gw.proc.pid()); err == nil {
		report.IdleRSS = mib(u.RSS)
	}

	var fsyncs []float64
	bare := map[string]*[]float64{}
	sizes := map[string]int{}
	for _, kind := range b.Kinds {
		r, err := ourRequest(kind, b.Size, b.Attachment)
		if err != nil {
			return nil, err
		}
		r.few = b.FewHeaders
		theirs := r
		theirs.path = "/"
		refCell := &cell{Name: "empty handler, " + kind, addr: refAddr, pid: ref.pid(), tmpl: theirs.template(refAddr)}
		ours := &cell{Name: "gateway, " + kind, addr: gw.public, pid: gw.proc.pid(), up: up.pid(), tmpl: r.template(gw.public), ref: refCell}
		if kind != "beacon" {
			ours.settle = func() error { return gw.drain(5 * time.Minute) }
		}
		if strings.HasPrefix(kind, "envelope") { // all of what is sent rests on disk
			bare[kind], sizes[kind] = new([]float64), len(r.body)
			ours.floor = bare[kind]
		}
		report.Cells = append(report.Cells, refCell, ours)
		if kind == "beacon" {
			theirs.path = answerPath
			report.Cells = append(report.Cells, &cell{Name: "handler that only answers, beacon", addr: refAddr, pid: ref.pid(), tmpl: theirs.template(refAddr), ref: refCell})
		}
		if ours.floor != nil {
			held := &cell{Name: ours.Name + ", delivery held back", addr: ours.addr, pid: ours.pid, up: ours.up, tmpl: ours.tmpl, ref: refCell, floor: ours.floor}
			held.before = func() error { return gw.hold(0, true) }
			held.settle = func() error { return errors.Join(gw.hold(0, false), ours.settle()) }
			report.Cells = append(report.Cells, held)
		}
	}
	for n := range b.Rounds {
		for kind, rates := range bare {
			progress("round %d/%d  bare group-commit file, %s", n+1, b.Rounds, kind)
			rate, err := bareRate(gw.dir, b.Conns, sizes[kind], b.Time)
			if err != nil {
				return nil, err
			}
			*rates = append(*rates, rate)
		}
		for _, c := range report.Cells {
			progress("round %d/%d  %s", n+1, b.Rounds, c.Name)
			before, err := gw.fsyncs()
			if err != nil {
				return nil, err
			}
			if err := c.measure(b.Time, b.Conns, b.Rate); err != nil {
				return nil, err
			}
			if after, err := gw.fsyncs(); err == nil && c.Name == "gateway, envelope" {
				fsyncs = append(fsyncs, (after.syncs-before.syncs)/max(after.items-before.items, 1))
			}
		}
	}
	for _, c := range report.Cells {
		c.finish()
	}
	for kind, rates := range bare {
		report.Bare[kind] = median(*rates)
	}
	if len(fsyncs) > 0 {
		report.Fsyncs = median(fsyncs)
	}
	if report.Ledger, err = gw.balance(); err != nil {
		return nil, err
	}
	return report, nil
}

// print shows it.
func (b *benchCmd) print(report *benchReport) error {
	if b.JSON {
		return print(true, report)
	}
	fmt.Println(cellTable(report.Cells))
	fmt.Println(coresTable(report.Cells))
	for _, c := range report.Cells {
		if c.before != nil {
			fmt.Printf("%s: of %.1f CPU-s/1M, accepting took %.1f and delivering %.1f\n", c.Name, c.CPUPerM, c.CPUAccept, c.CPUPerM-c.CPUAccept)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(report.Bare)) {
		fmt.Printf("bare group-commit file, %s: %.0f/s\n", kind, report.Bare[kind])
	}
	fmt.Printf("%.4f fsyncs per envelope; start %.0f ms, idle RSS %.1f MiB, binary %.1f MiB; ledger off by %.0f\n",
		report.Fsyncs, report.StartMS, report.IdleRSS, report.BinaryMB, report.Ledger)
	headers := "a browser's headers"
	if b.FewHeaders {
		headers = "few headers"
	}
	fmt.Printf("medians of %d rounds of %v, %d connections, %s, %s\n", b.Rounds, b.Time, b.Conns, loopName(b.Rate), headers)
	if b.Histogram {
		drawCells(report.Cells)
	}
	return nil
}

func loopName(rate float64) string {
	if rate > 0 {
		return fmt.Sprintf("open loop at %g/s, latency from when a request was due", rate)
	}
	return "closed loop"
}

func drawCells(cells []*cell) {
	for _, c := range cells {
		fmt.Printf("\n%s, latency of 2xx\n", c.Name)
		c.total.draw(os.Stdout)
	}
}

// startReference runs the empty handler in a process of its own.
func startReference(logTo *os.File) (*process, string, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, "", err
	}
	p, err := startSelf(logTo, addr, "ref", "--listen", addr)
	return p, addr, err
}

// startSink runs a recording upstream that only counts in a process of its own.
func startSink(logTo *os.File, addr string) (*process, error) {
	return startSelf(logTo, addr, "sink", "--no-keep", "--listen", addr)
}

// startSelf runs this program once more, and returns when it listens on addr.
func startSelf(logTo *os.File, addr string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := start(nil, logTo, append([]string{self}, args...)...)
	if err != nil {
		return nil, err
	}
	if err := untilListening(addr); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}
