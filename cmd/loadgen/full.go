package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"breakwater/relay/relaytest"
	"breakwater/relay/spool/disk"
)

type fullCmd struct {
	Gateway string        `help:"Gateway binary." default:"bin/breakwater" type:"existingfile"`
	Limit   string        `help:"What runs full: spool.max_size, or the disk itself (a small tmpfs; mounting one needs root)." enum:"max_size,disk" default:"max_size"`
	MiB     int           `help:"Size of the spool, or of the disk." default:"24"`
	Conns   int           `help:"Connections." default:"16"`
	Files   bool          `help:"Fill it with attachments of 300 KiB, which lie in files of their own."`
	Stay    time.Duration `help:"How long to go on knocking while it is full." default:"2s"`
	JSON    bool          `help:"Print the report as JSON."`
}

// fullReport is what a run proves. Wrong, Bare, Lost, Torn, Damaged and the ledgers
// must be 0.
type fullReport struct {
	Limit      string    `json:"limit"`
	Acked      int       `json:"acknowledged"`
	Refused    int64     `json:"answered_503"`
	Wrong      int64     `json:"answered_anything_else"`
	Bare       int64     `json:"answered_503_without_retry_after_or_cors"`
	Late       float64   `json:"seconds_from_upstream_back_to_200"`
	FullStart  float64   `json:"seconds_to_start_on_a_full_disk"`
	Delivered  int       `json:"delivered"`
	Lost       int       `json:"acknowledged_but_lost"`
	Duplicates int       `json:"delivered_more_than_once"`
	Torn       int64     `json:"attachments_torn"`
	Damaged    int       `json:"damaged_records"`
	Ledgers    []float64 `json:"ledger_differences"` // full, drained, and after a restart: drained
	DiskAfter  int64     `json:"bytes_on_disk_after"`
}

// errCannotMount says that this process may not mount a small disk.
var errCannotMount = errors.New("mounting a small tmpfs is not permitted here")

// onSmallDisk gives the gateway's data a tmpfs of its own.
func (g *gateway) onSmallDisk(mib int) (unmount func(), err error) {
	g.data = filepath.Join(g.dir, "small")
	if err := os.Mkdir(g.data, 0o700); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", g.data, "tmpfs", 0, fmt.Sprintf("size=%dm", mib)); err != nil {
		return nil, fmt.Errorf("%w: %w", errCannotMount, err)
	}
	return func() { _ = unix.Unmount(g.data, unix.MNT_DETACH) }, nil
}

// Run fills the spool behind a dead upstream, knocks on, lets the upstream
// come back, and does so again with a kill -9 while nothing fits: 503 and never
// a false 200 while full, 200 again without a restart, nothing lost.
func (f *fullCmd) Run() error {
	gw, err := newGateway(f.Gateway, "", 1)
	if err != nil {
		return err
	}
	defer gw.cleanup()
	gw.limits = "request_size: 1MiB"
	gw.spool = fmt.Sprintf("max_size: %dMiB, min_free: 0B, project_share: 1", f.MiB)
	if f.Limit == "disk" {
		gw.spool = "max_size: 64GiB, min_free: 0B, project_share: 1"
		unmount, err := gw.onSmallDisk(f.MiB)
		if err != nil {
			return err
		}
		defer unmount()
	}
	if err := gw.writeConfig(); err != nil {
		return err
	}
	sinks, stop, err := openSinks(gw, f.Files)
	if err != nil {
		return err
	}
	defer stop()
	if err := gw.start(); err != nil {
		return err
	}
	r, sent := fullReport{Limit: f.Limit}, newAcks()
	if err := errors.Join(f.fillAndDrain(gw, sinks[0], sent, &r), f.killWhileFull(gw, sinks[0], sent, &r)); err != nil {
		gw.proc.kill()
		return err
	}
	if err := gw.proc.stop(); err != nil {
		return err
	}
	missing, repeated := sinks[0].check(sent.all)
	r.Torn = sinks[0].torn.Load()
	r.Acked, r.Delivered, r.Lost, r.Duplicates = len(sent.all), sinks[0].unique(), len(missing), repeated
	rep, err := disk.Verify(gw.spoolDir())
	if err != nil {
		return err
	}
	r.Damaged += rep.Damaged
	r.DiskAfter = diskUse(gw.spoolDir())
	progressEnd()
	if err := print(f.JSON, r); err != nil {
		return err
	}
	return r.verdict()
}

// knocking is a load whose answers are judged.
type knocking struct {
	ok, refused, wrong, bare atomic.Int64
	stop                     func()
}

// knock loads until stop is called.
func (f *fullCmd) knock(gw *gateway, sent *acks, r *fullReport) (*knocking, error) {
	body, err := envelope(gw.key, "4096")
	if err != nil {
		return nil, err
	}
	if f.Files {
		body = withAttachment(body, 300)
	}
	tmpl := newTemplate("POST", gw.envelopePath(), gw.public, "text/plain;charset=UTF-8", body)
	ctx, cancel := context.WithCancel(context.Background())
	k := &knocking{}
	var wg sync.WaitGroup
	wg.Go(func() {
		load{addr: gw.public, conns: f.Conns, tmpl: tmpl, acked: func(v relaytest.ID) { sent.add(v, false); k.ok.Add(1) }, answered: k.judge}.run(ctx)
	})
	k.stop = func() {
		cancel()
		wg.Wait()
		r.Refused, r.Wrong, r.Bare = r.Refused+k.refused.Load(), r.Wrong+k.wrong.Load(), r.Bare+k.bare.Load()
	}
	return k, nil
}

// judge holds each answer to the rules.
func (k *knocking) judge(a answer) {
	switch {
	case a.status/100 == 2:
		return
	case a.status == 503:
		if k.refused.Add(1); a.retryAfter == "" || !a.cors {
			k.bare.Add(1)
		}
		time.Sleep(2 * time.Millisecond)
	default:
		k.wrong.Add(1)
	}
}

// until waits for a state of the load.
func until(limit time.Duration, what string, cond func() bool) error {
	for deadline := time.Now().Add(limit); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %v", what, limit)
		}
	}
	return nil
}

// fill knocks behind a dead upstream until the spool is full and has been for a while.
func (f *fullCmd) fill(gw *gateway, s *sink, sent *acks, r *fullReport) (*knocking, error) {
	s.Always(relaytest.Status(503))
	k, err := f.knock(gw, sent, r)
	if err != nil {
		return nil, err
	}
	progress("filling %d MiB", f.MiB)
	if err := until(2*time.Minute, "filling the spool", func() bool { return k.refused.Load() > 100 }); err != nil {
		k.stop()
		return nil, err
	}
	time.Sleep(f.Stay)
	return k, nil
}

func (f *fullCmd) fillAndDrain(gw *gateway, s *sink, sent *acks, r *fullReport) error {
	k, err := f.fill(gw, s, sent, r)
	if err != nil {
		return err
	}
	begin := time.Now()
	s.Relent()
	before := k.ok.Load()
	err = until(3*time.Minute, "taking requests again after the upstream came back", func() bool { return k.ok.Load() > before+50 })
	r.Late = time.Since(begin).Seconds()
	k.stop()
	if err != nil {
		return err
	}
	return f.drained(gw, r)
}

func (f *fullCmd) killWhileFull(gw *gateway, s *sink, sent *acks, r *fullReport) error {
	k, err := f.fill(gw, s, sent, r)
	if err != nil {
		return err
	}
	// Cut off while it is knocked at: what was sent last has no answer.
	gw.proc.kill()
	k.stop()
	begin := time.Now()
	if err := gw.start(); err != nil {
		return fmt.Errorf("starting with a full spool: %w", err)
	}
	r.FullStart = time.Since(begin).Seconds()
	off, err := gw.balance()
	if err != nil {
		return err
	}
	r.Ledgers = append(r.Ledgers, off)
	m, err := gw.metrics()
	if err != nil {
		return err
	}
	r.Damaged += int(m.sum("breakwater_spool_damaged_records_total"))
	s.Relent()
	return f.drained(gw, r)
}

func (f *fullCmd) drained(gw *gateway, r *fullReport) error {
	if err := gw.drain(3 * time.Minute); err != nil {
		return err
	}
	off, err := gw.balance()
	r.Ledgers = append(r.Ledgers, off)
	return err
}

func (r *fullReport) verdict() error {
	for _, off := range r.Ledgers {
		if off != 0 {
			return fmt.Errorf("the ledger was off: %v", r.Ledgers)
		}
	}
	switch {
	case r.Lost > 0:
		return fmt.Errorf("%d acknowledged events were lost", r.Lost)
	case r.Damaged > 0 || r.Torn > 0:
		return fmt.Errorf("%d records were damaged, %d attachments torn", r.Damaged, r.Torn)
	case r.Wrong > 0 || r.Bare > 0:
		return fmt.Errorf("%d answers were neither 2xx nor 503, %d lacked Retry-After or CORS", r.Wrong, r.Bare)
	case r.Refused == 0:
		return errors.New("it was never full: the run proved nothing")
	}
	return nil
}
