package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

type tortureCmd struct {
	Gateway string        `help:"Gateway binary to kill." default:"bin/breakwater" type:"existingfile"`
	Kills   int           `help:"How often to kill -9 it." default:"1000"`
	Conns   int           `help:"Connections that load it." default:"16"`
	Size    string        `help:"Bytes of one envelope." default:"4096"`
	Uptime  time.Duration `help:"Longest time between start and kill; each is random up to it." default:"400ms"`
	Outage  float64       `help:"Share of the lives during which the upstream answers 503." default:"0.3"`
	Seed    uint64        `help:"Seed of the random times; 0 for one from the clock." default:"0"`
	Dir     string        `help:"Working directory; a temporary one when empty." default:""`
	JSON    bool          `help:"Print the report as JSON."`
}

// tortureReport is what a run proves. Lost must be 0.
type tortureReport struct {
	Kills      int     `json:"kills"`
	Acked      int     `json:"acknowledged"`
	Delivered  int     `json:"delivered"`
	Lost       int     `json:"acknowledged_but_lost"`
	Unacked    int     `json:"delivered_without_acknowledgement"`
	Duplicates int     `json:"delivered_more_than_once"`
	Damaged    float64 `json:"damaged_records"`
	Ledger     float64 `json:"ledger_difference"`
	Seconds    float64 `json:"seconds"`
	Seed       uint64  `json:"seed"`
}

// Run kills the gateway under load and proves that nothing acknowledged is
// lost. Duplicates are not faults: a kill between an upstream's answer and the
// acknowledgement's fsync sends that record again, and an SDK that saw no
// answer may have been heard all the same.
func (t *tortureCmd) Run() error {
	if t.Seed == 0 {
		t.Seed = uint64(time.Now().UnixNano())
	}
	rnd := rand.New(rand.NewPCG(t.Seed, 1))
	gw, err := newGateway(t.Gateway, t.Dir)
	if err != nil {
		return err
	}
	defer gw.cleanup()
	up := newSink(true)
	l, err := up.serve(gw.upstream)
	if err != nil {
		return err
	}
	defer l.Close()
	body, err := envelope(gw.key, t.Size)
	if err != nil {
		return err
	}

	var mu sync.Mutex
	acked := map[id]struct{}{}
	begin := time.Now()
	for n := range t.Kills {
		up.fault.Store(0)
		if rnd.Float64() < t.Outage {
			up.fault.Store(503)
		}
		if err := gw.start(); err != nil {
			return fmt.Errorf("start %d of %d: %w", n+1, t.Kills, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			load{addr: gw.public, conns: t.Conns, tmpl: newTemplate("POST", gw.envelopePath(), gw.public, "text/plain;charset=UTF-8", body),
				acked: func(v id) { mu.Lock(); acked[v] = struct{}{}; mu.Unlock() }}.run(ctx)
		}()
		time.Sleep(time.Duration(rnd.Int64N(int64(t.Uptime))))
		gw.proc.kill()
		cancel()
		<-done
		progress("kill %d/%d  acknowledged %d  delivered %d", n+1, t.Kills, len(acked), up.unique())
	}
	up.fault.Store(0)
	if err := gw.start(); err != nil {
		return fmt.Errorf("last start: %w", err)
	}
	if err := gw.drain(10 * time.Minute); err != nil {
		return err
	}
	m, err := gw.metrics()
	if err != nil {
		return err
	}
	if err := gw.proc.stop(); err != nil {
		return fmt.Errorf("the gateway's exit after SIGTERM: %w", err)
	}
	missing, repeated := up.check(acked)
	r := tortureReport{
		Kills: t.Kills, Acked: len(acked), Delivered: up.unique(), Lost: len(missing), Duplicates: repeated,
		Unacked: up.unique() - (len(acked) - len(missing)), Damaged: m.sum("breakwater_spool_damaged_records_total"),
		Ledger: m.ledger(), Seconds: time.Since(begin).Seconds(), Seed: t.Seed,
	}
	progressEnd()
	if err := print(t.JSON, r); err != nil {
		return err
	}
	switch {
	case r.Acked == 0:
		return errors.New("nothing was acknowledged: the run proved nothing")
	case r.Lost > 0:
		return fmt.Errorf("%d acknowledged events were lost; first: %s", r.Lost, missing[0])
	case r.Ledger != 0:
		return fmt.Errorf("the ledger is off by %v", r.Ledger)
	}
	return nil
}

// scratch is where a run keeps the gateway's data and log.
func scratch(dir string) (string, error) {
	if dir != "" {
		return filepath.Abs(dir)
	}
	return os.MkdirTemp("", "loadgen-")
}
