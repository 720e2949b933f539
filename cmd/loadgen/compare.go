package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"breakwater/relay/relaytest"
)

type compareCmd struct {
	URL        string        `required:"" help:"Where the other server takes the requests, on loopback: 'http://127.0.0.1:3000/api/1/envelope/?sentry_key=…'."`
	PID        int           `name:"pid" help:"Process of the other server, to see its CPU and memory. Its children are not counted." default:"0"`
	Gateway    string        `help:"Our gateway's binary; empty to leave it out." default:"bin/breakwater"`
	Kind       string        `help:"What to send: ${kinds}." enum:"${kinds}" default:"envelope"`
	Size       string        `help:"Bytes of an envelope." default:"4096"`
	Attachment int           `help:"KiB of an attachment." default:"300"`
	Body       string        `help:"Send this file to the other server instead, for one that speaks another protocol. Each run of 32 zeros in it becomes the request's event id." type:"existingfile"`
	Type       string        `help:"Content-Type for the other server." default:""`
	Header     []string      `help:"Further headers for the other server, as in 'X-Api-Key: secret'." sep:"none"`
	Upstream   string        `help:"Serve a recording upstream at this address, for the other server to deliver to; what it acknowledged and did not deliver is counted." default:""`
	Settle     time.Duration `help:"How long after the last request the other server may take to deliver." default:"10s"`
	Rounds     int           `help:"Interleaved rounds; the medians are reported." default:"5"`
	Time       time.Duration `help:"Length of one cell." default:"3s"`
	Conns      int           `help:"Connections." default:"128"`
	Rate       float64       `help:"Open loop: requests per second over all connections. 0: closed loop, as fast as it goes." default:"0"`
	Histogram  bool          `help:"Also draw the histogram of each server's latency."`
	JSON       bool          `help:"Print the report as JSON."`
}

// Help says what a fair comparison needs.
func (c *compareCmd) Help() string {
	return `Sends the same requests to an empty net/http handler, to our gateway and to the other
server, in turn within each round, and prints each as a part of the empty handler's rate.

` + kindsHelp + `

Start the other server yourself, on this machine, configured to do the same work: the same
number of upstreams, and no sampling. A server that answers before its disk has the report,
or before it has read it, is faster for that reason: say so beside the figure. With
--upstream its deliveries are counted too:

  loadgen compare --url 'http://127.0.0.1:3000/api/1/envelope/?sentry_key=0123456789abcdef0123456789abcdef' \
    --pid $(pidof relay) --upstream 127.0.0.1:9090`
}

type compareReport struct {
	Cells     []*cell `json:"cells"`
	OfOurs    float64 `json:"other_rate_of_ours,omitempty"`
	CPUOfOurs float64 `json:"other_cpu_of_ours,omitempty"`
	Acked     int     `json:"other_acknowledged"`
	Delivered int     `json:"other_delivered"` // with --upstream
	Missing   int     `json:"other_acknowledged_but_not_delivered"`
}

// Run compares and prints.
func (c *compareCmd) Run() error {
	r, err := c.run()
	if err != nil {
		return err
	}
	progressEnd()
	return c.print(r)
}

// run takes turns between the servers.
func (c *compareCmd) run() (report compareReport, err error) {
	other, err := c.other()
	if err != nil {
		return report, err
	}
	var up *sink
	if c.Upstream != "" {
		if err := loopback(c.Upstream); err != nil {
			return report, err
		}
		up = newSink(true)
		if err := up.serve(c.Upstream); err != nil {
			return report, err
		}
		defer up.close()
	}
	logTo := os.Stderr
	var gw *gateway
	if c.Gateway != "" {
		var stop func()
		if gw, stop, err = startOurs(c.Gateway); err != nil {
			return report, err
		}
		defer stop()
		logTo = gw.log
	}
	ref, refAddr, err := startReference(logTo)
	if err != nil {
		return report, err
	}
	defer ref.kill()

	r, err := ourRequest(c.Kind, c.Size, c.Attachment)
	if err != nil {
		return report, err
	}
	toRef := r
	toRef.path = "/"
	refCell := &cell{Name: "empty handler", addr: refAddr, pid: ref.pid(), tmpl: toRef.template(refAddr)}
	report.Cells = []*cell{refCell}
	var ours *cell
	if gw != nil {
		ours = &cell{Name: "gateway", addr: gw.public, pid: gw.proc.pid(), tmpl: r.template(gw.public), ref: refCell}
		if c.Kind != "beacon" {
			ours.settle = func() error { return gw.drain(5 * time.Minute) }
		}
		report.Cells = append(report.Cells, ours)
	}
	other.ref = refCell
	report.Cells = append(report.Cells, other)
	sent := newAcks()
	other.acked = func(v relaytest.ID) { sent.add(v, false) }
	for n := range c.Rounds {
		for _, cl := range report.Cells {
			progress("round %d/%d  %s", n+1, c.Rounds, cl.Name)
			if err := cl.measure(c.Time, c.Conns, c.Rate); err != nil {
				return report, err
			}
		}
	}
	for _, cl := range report.Cells {
		cl.finish()
	}
	if ours != nil {
		report.OfOurs = other.PerSecond / max(ours.PerSecond, 1e-9)
		if c.PID != 0 {
			report.CPUOfOurs = other.CPUPerM / max(ours.CPUPerM, 1e-9)
		}
	}
	report.Acked = sent.len()
	if up != nil {
		_ = until(c.Settle, "delivering", func() bool { return up.unique() >= sent.len() }) // what is missing is the result
		missing, _ := up.check(sent.all)
		report.Delivered, report.Missing = report.Acked-len(missing), len(missing)
	}
	return report, nil
}

func (c *compareCmd) print(r compareReport) error {
	if c.JSON {
		return print(true, r)
	}
	fmt.Println(cellTable(r.Cells))
	if r.OfOurs > 0 {
		fmt.Printf("the other server's rate is %.2f of ours", r.OfOurs)
		if r.CPUOfOurs > 0 {
			fmt.Printf(", its CPU per request %.2f of ours", r.CPUOfOurs)
		}
		fmt.Println()
	}
	if c.Upstream != "" {
		fmt.Printf("it acknowledged %d and delivered %d of them within %v: %d missing\n", r.Acked, r.Delivered, c.Settle, r.Missing)
	}
	fmt.Printf("medians of %d rounds of %v, %d connections, %s\n", c.Rounds, c.Time, c.Conns, loopName(c.Rate))
	if c.Histogram {
		drawCells(r.Cells)
	}
	return nil
}

// other is the server that is compared.
func (c *compareCmd) other() (*cell, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" || u.Hostname() == "" {
		return nil, fmt.Errorf("%s: want http://host:port/path", c.URL)
	}
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), "80")
	}
	if err := loopback(addr); err != nil {
		return nil, err
	}
	r, err := requestOf(c.Kind, "1", loadKey, c.Size, c.Attachment)
	if err != nil {
		return nil, err
	}
	if c.Body != "" {
		raw, err := os.ReadFile(c.Body)
		if err != nil {
			return nil, err
		}
		r.body = string(raw)
	}
	if c.Type != "" {
		r.contentType = c.Type
	}
	for _, h := range c.Header {
		if !strings.Contains(h, ":") || strings.ContainsAny(h, "\r\n") {
			return nil, fmt.Errorf("header %q: want 'Name: value'", h)
		}
		r.contentType += "\r\n" + h // the last header of the template
	}
	r.path = u.RequestURI()
	if key := u.Query().Get("sentry_key"); key != "" { // the envelope's trace header names the key as well
		r.body = strings.ReplaceAll(r.body, loadKey, key)
	}
	return &cell{Name: "other, " + u.Host, addr: addr, pid: c.PID, tmpl: r.template(addr)}, nil
}

// startOurs runs a gateway with a recording upstream behind it.
func startOurs(binary string) (gw *gateway, stop func(), err error) {
	if gw, err = newGateway(binary, "", 1); err != nil {
		return nil, nil, err
	}
	up := newSink(false)
	if err := up.serve(gw.upstreams[0]); err != nil {
		gw.cleanup()
		return nil, nil, err
	}
	if err := gw.start(); err != nil {
		up.close()
		gw.cleanup()
		return nil, nil, err
	}
	return gw, func() { gw.proc.kill(); up.close(); gw.cleanup() }, nil
}
