package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"breakwater/relay/relaytest"
)

type tortureCmd struct {
	Gateway      string        `help:"Gateway binary to kill." default:"bin/breakwater" type:"existingfile"`
	Kills        int           `help:"How often to kill -9 it." default:"1000"`
	Conns        int           `help:"Connections that load it." default:"16"`
	Size         string        `help:"Bytes of one envelope." default:"4096"`
	Uptime       time.Duration `help:"Longest time between start and kill; each is random up to it." default:"400ms"`
	Outage       float64       `help:"Share of the lives during which the upstream answers 503." default:"0.3"`
	Attachments  bool          `help:"A quarter of the connections send attachments of 300 KiB, which lie in files of their own; each must arrive whole."`
	Destinations int           `help:"Upstreams that each envelope goes to. All but the first change between good answers, 503, 429, silence, lost answers and a closed port, also during a life." default:"1"`
	Engine       string        `help:"Spool: disk or jetstream." enum:"disk,jetstream" default:"disk"`
	NATS         int           `name:"nats" help:"With jetstream: servers, and copies of each record." default:"3"`
	Servers      float64       `help:"With jetstream: share of the lives in which servers are killed as well, one or all." default:"0.3"`
	Disk         int           `help:"Keep the data on a tmpfs of that many MiB, which runs full while the upstream is down; mounting it needs root. 0: in the working directory." default:"0"`
	Seed         uint64        `help:"Seed of the random times; 0 for one from the clock." default:"0"`
	Dir          string        `help:"Working directory; a temporary one when empty." default:""`
	JSON         bool          `help:"Print the report as JSON."`

	full   atomic.Int64
	stream *tortureStream
}

// judge counts refusals, and does not hammer a full disk.
func (t *tortureCmd) judge(a answer) {
	if a.status == 503 {
		t.full.Add(1)
		time.Sleep(2 * time.Millisecond)
	}
}

// Help explains the report: what is a fault and what is not.
func (t *tortureCmd) Help() string {
	return `Kills the gateway under load, again and again, and then counts: every event that
was answered 2xx must arrive, at every upstream.

acknowledged_but_lost must be 0, ledger_difference must be 0 (it is also checked
after every start, before load comes), damaged_records must be 0.

delivered_more_than_once is not a fault. The gateway promises at least once: that
an upstream has answered is written down within 50 ms (and made durable within a
second, which matters for a power cut only), so a kill in between sends again what
was under way and what was answered in that time. An upstream knows a repeat by its
event id. Expect up to the deliveries of 50 ms for each kill (100 ms with --engine
jetstream); with --destinations above 1 also one for each answer that was lost.

delivered_without_acknowledgement is not a fault either: the kill came after the
event was on disk and before its client had the answer.

With --engine jetstream the NATS servers are killed, too: one at a time, or all at once,
while the gateway lives. What it was leased it delivers meanwhile, and cannot have confirmed:
a kill then sends that again, up to some thousand reports. kill -9 ends a process, not a machine: what the kernel had not yet
written is written. That a power cut loses nothing either rests on the servers' fsync before
each confirmation (sync_interval: always), which the gateway checks at its start.`
}

// tortureReport is what a run proves. Lost, Torn, LedgerFaults and Ledger must be 0.
type tortureReport struct {
	Kills        int     `json:"kills"`
	ServerKills  int     `json:"kills_of_nats_servers"`
	Upstreams    int     `json:"upstreams"`
	Acked        int     `json:"acknowledged"`
	Refused      int64   `json:"answered_503"` // the disk was full, or the stream could take nothing
	Files        int     `json:"acknowledged_with_attachment"`
	Delivered    int     `json:"delivered"` // to the first upstream, each once
	Lost         int     `json:"acknowledged_but_lost"`
	Torn         int64   `json:"attachments_torn_or_missing"`
	Unacked      int     `json:"delivered_without_acknowledgement"`
	Duplicates   int     `json:"delivered_more_than_once"` // at all upstreams
	PerKill      float64 `json:"delivered_more_than_once_per_kill"`
	Damaged      float64 `json:"damaged_records"`
	LedgerFaults int     `json:"starts_with_a_ledger_difference"`
	Ledger       float64 `json:"ledger_difference"`
	Seconds      float64 `json:"seconds"`
	Seed         uint64  `json:"seed"`
}

// Run kills the gateway under load and proves that nothing acknowledged is
// lost.
func (t *tortureCmd) Run() error {
	if t.Seed == 0 {
		t.Seed = uint64(time.Now().UnixNano())
	}
	rnd := rand.New(rand.NewPCG(t.Seed, 1))
	gw, err := newGateway(t.Gateway, t.Dir, max(t.Destinations, 1))
	if err != nil {
		return err
	}
	defer gw.cleanup()
	if t.Engine == "jetstream" {
		if t.stream, err = t.openStream(gw); err != nil {
			return err
		}
		defer t.stream.close()
	}
	if t.Disk > 0 {
		gw.spool = "max_size: 64GiB, min_free: 0B, project_share: 1"
		unmount, err := gw.onSmallDisk(t.Disk)
		if err != nil {
			return err
		}
		defer unmount()
		if err := gw.writeConfig(); err != nil {
			return err
		}
	}
	sinks, stop, err := openSinks(gw, t.Attachments)
	if err != nil {
		return err
	}
	defer stop()
	begin := time.Now()
	sent := newAcks()
	r := tortureReport{Kills: t.Kills, Upstreams: len(sinks), Seed: t.Seed}
	for n := 0; n < t.Kills || sent.len() == 0 && n < 20*t.Kills; n++ { // short lives on a busy machine may take nothing
		if err := t.stream.mend(); err != nil {
			return err
		}
		sinks[0].Relent()
		if rnd.Float64() < t.Outage {
			sinks[0].Always(relaytest.Status(503))
		}
		if err := gw.start(); err != nil {
			return fmt.Errorf("start %d of %d: %w", n+1, t.Kills, err)
		}
		off, err := gw.balance()
		if err != nil {
			return err
		}
		if off != 0 {
			r.LedgerFaults++
		}
		m, err := gw.metrics()
		if err != nil {
			return err
		}
		r.Damaged = max(r.Damaged, m.sum("breakwater_spool_damaged_records_total"))
		if err := t.live(gw, sinks, sent, rnd); err != nil {
			return err
		}
		r.Kills = n + 1
		progress("kill %d/%d  acknowledged %d  delivered %d", n+1, t.Kills, sent.len(), sinks[0].unique())
	}
	for _, s := range sinks {
		s.Relent()
		if err := s.accept(); err != nil {
			return err
		}
	}
	if err := t.stream.mend(); err != nil {
		return err
	}
	if err := gw.start(); err != nil {
		return fmt.Errorf("last start: %w", err)
	}
	if err := gw.drain(10 * time.Minute); err != nil {
		return err
	}
	if t.stream != nil { // of which the gateway may have told what it saw before
		_ = until(believed, "what is missing", func() bool { // count says what is
			time.Sleep(50 * time.Millisecond)
			return !slices.ContainsFunc(sinks, func(s *sink) bool { missing, _ := s.check(sent.all); return len(missing) > 0 })
		})
	}
	if r.Ledger, err = gw.balance(); err != nil {
		return err
	}
	if err := gw.proc.stop(); err != nil {
		return fmt.Errorf("the gateway's exit after SIGTERM: %w", err)
	}
	r.Seconds = time.Since(begin).Seconds()
	r.Refused = t.full.Load()
	r.ServerKills = t.stream.killed()
	first := r.count(sinks, sent)
	progressEnd()
	if err := print(t.JSON, r); err != nil {
		return err
	}
	return r.verdict(first)
}

// live is one life under load, ended by a kill.
func (t *tortureCmd) live(gw *gateway, sinks []*sink, sent *acks, rnd *rand.Rand) error {
	body, err := envelope(gw.key, t.Size)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	run := func(conns int, body string, file bool) {
		tmpl := newTemplate("POST", gw.envelopePath(), gw.public, "text/plain;charset=UTF-8", body)
		wg.Go(func() {
			load{addr: gw.public, conns: conns, tmpl: tmpl, acked: func(v relaytest.ID) { sent.add(v, file) }, answered: t.judge}.run(ctx)
		})
	}
	files := 0
	if t.Attachments {
		files = max(t.Conns/4, 1)
		run(files, withAttachment(body, 300), true)
	}
	run(max(t.Conns-files, 1), body, false)
	t.stream.harm(rnd, t.Servers)
	for left := time.Duration(rnd.Int64N(int64(t.Uptime))); left > 0; {
		d := min(left, 50*time.Millisecond)
		for _, s := range sinks[1:] {
			if err := s.misbehave(rnd); err != nil {
				return err
			}
		}
		time.Sleep(d)
		left -= d
	}
	gw.proc.kill()
	cancel()
	wg.Wait()
	return nil
}

// count compares what was acknowledged with what came, and returns an event
// that was lost.
func (r *tortureReport) count(sinks []*sink, sent *acks) (first string) {
	r.Acked, r.Files, r.Delivered = len(sent.all), len(sent.files), sinks[0].unique()
	for i, s := range sinks {
		missing, repeated := s.check(sent.all)
		if len(missing) > 0 {
			first = fmt.Sprintf("%s at upstream %d", missing[0], i)
		}
		r.Lost += len(missing)
		r.Duplicates += repeated
		r.Torn += s.torn.Load()
		for v := range sent.files {
			if s.files.Count(v) == 0 {
				r.Torn++
			}
		}
		if i == 0 {
			r.Unacked = s.unique() - (len(sent.all) - len(missing))
		}
	}
	r.PerKill = float64(r.Duplicates) / float64(max(r.Kills, 1))
	return first
}

func (r *tortureReport) verdict(first string) error {
	switch {
	case r.Acked == 0:
		return errors.New("nothing was acknowledged: the run proved nothing")
	case r.Lost > 0:
		return fmt.Errorf("%d acknowledged events were lost; one of them: %s", r.Lost, first)
	case r.Torn > 0:
		return fmt.Errorf("%d attachments were torn or missing", r.Torn)
	case r.Damaged > 0:
		return fmt.Errorf("%v records were damaged", r.Damaged)
	case r.Ledger != 0 || r.LedgerFaults > 0:
		return fmt.Errorf("the ledger is off by %v at the end, and was off after %d starts", r.Ledger, r.LedgerFaults)
	}
	return nil
}
