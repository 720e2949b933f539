package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"breakwater/relay/relaytest"
)

type loadCmd struct {
	Target     string        `help:"Address of a gateway on loopback." default:"127.0.0.1:8080"`
	Project    string        `help:"Project id." default:"1"`
	Key        string        `help:"Public key." default:"0123456789abcdef0123456789abcdef"`
	Kind       string        `help:"What to send: ${kinds}." enum:"${kinds}" default:"envelope"`
	Time       time.Duration `help:"How long." default:"10s"`
	Conns      int           `help:"Connections." default:"128"`
	Rate       float64       `help:"Open loop: requests per second over all connections. 0: closed loop, as fast as it goes." default:"0"`
	Size       string        `help:"Bytes of an envelope." default:"4096"`
	Attachment int           `help:"KiB of an attachment." default:"300"`
	FewHeaders bool          `help:"Send the four headers that a request needs instead of the sixteen of a browser."`
	IDs        string        `name:"ids" help:"Write the event ids that were answered 2xx to this file, one a line." type:"path"`
	HDR        string        `name:"hdr" help:"Write the latency's percentile distribution to this file, as HdrHistogram's plotters read it." type:"path"`
	JSON       bool          `help:"Print the tally as JSON."`
}

// Help explains the two loops.
func (l *loadCmd) Help() string {
	return kindsHelp + `

A closed loop (--rate 0) sends the next request of a connection when the last was
answered: it finds out how much a server can take, and flatters its latency, since a
stalled server is asked less. An open loop sends at a fixed rate whatever the server
does, and a request's time begins when it was due: that is the latency users have at
that rate. Take a rate that the closed loop reaches with ease. due_but_never_sent says
that the connections were too few or the server too slow.

With --ids, and a loadgen sink as the upstream, nothing acknowledged may be missing:
  comm -23 <(sort acknowledged) <(curl -s 127.0.0.1:9090/ids | cut -d' ' -f1 | sort)`
}

// Run loads one gateway and prints what it answered.
func (l *loadCmd) Run() error {
	if err := loopback(l.Target); err != nil {
		return err
	}
	r, err := requestOf(l.Kind, l.Project, l.Key, l.Size, l.Attachment)
	if err != nil {
		return err
	}
	r.few = l.FewHeaders
	run := load{addr: l.Target, conns: l.Conns, pace: l.Rate, tmpl: r.template(l.Target)}
	var sent *acks
	if l.IDs != "" {
		sent = newAcks()
		run.acked = func(v relaytest.ID) { sent.add(v, false) }
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.Time)
	defer cancel()
	t := run.run(ctx)
	if l.HDR != "" {
		if err := t.latency.save(l.HDR); err != nil {
			return err
		}
	}
	if sent != nil {
		if err := sent.save(l.IDs); err != nil {
			return err
		}
	}
	if err := print(l.JSON, t); err != nil {
		return err
	}
	if !l.JSON && terminal() {
		fmt.Fprintln(os.Stderr, "latency,", loopName(l.Rate))
		t.latency.draw(os.Stderr)
	}
	return nil
}
