package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"time"

	"breakwater/relay/relaytest"
)

type backlogCmd struct {
	Gateway string `help:"Gateway binary." default:"bin/breakwater" type:"existingfile"`
	Records int64  `help:"Envelopes to pile up while the upstream is down." default:"1000000"`
	Size    string `help:"Bytes of one envelope." default:"4096"`
	Conns   int    `help:"Connections." default:"128"`
	Dir     string `help:"Working directory; a temporary one when empty." default:""`
	JSON    bool   `help:"Print the report as JSON."`
}

type backlogReport struct {
	Records    int64   `json:"records"`
	DiskMiB    float64 `json:"disk_mib_full"`
	RSS        float64 `json:"rss_mib_with_backlog"`
	MaxRSS     float64 `json:"max_rss_mib_while_filling"`
	Reopen     float64 `json:"reopen_seconds_after_kill"`
	ReopenRSS  float64 `json:"rss_mib_after_reopen"`
	DrainSec   float64 `json:"drain_seconds"`
	DiskAfter  float64 `json:"disk_mib_after_drain"`
	DiskShare  float64 `json:"disk_share_after_drain"`
	Lost       int     `json:"acknowledged_but_lost"`
	Duplicates int     `json:"delivered_more_than_once"`
	Ledger     float64 `json:"ledger_difference"`
}

// Run piles a backlog up behind a dead upstream, kills the gateway, opens it
// again, and drains: memory, time to open, disk given back, nothing lost.
func (b *backlogCmd) Run() error {
	gw, err := newGateway(b.Gateway, b.Dir, 1)
	if err != nil {
		return err
	}
	defer gw.cleanup()
	up := newSink(true)
	up.Always(relaytest.Status(503))
	if err := up.serve(gw.upstreams[0]); err != nil {
		return err
	}
	defer up.close()
	if err := gw.start(); err != nil {
		return err
	}
	body, err := envelope(gw.key, b.Size)
	if err != nil {
		return err
	}
	acked := make(map[relaytest.ID]struct{}, b.Records)
	ids := make(chan relaytest.ID, 4096)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		for v := range ids {
			acked[v] = struct{}{}
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var n atomic.Int64
	load{
		addr: gw.public, conns: b.Conns, tmpl: newTemplate("POST", gw.envelopePath(), gw.public, "text/plain;charset=UTF-8", body),
		acked: func(v relaytest.ID) {
			ids <- v
			if got := n.Add(1); got == b.Records {
				cancel()
			} else if got%5000 == 0 {
				progress("filling: %d of %d", got, b.Records)
			}
		},
	}.run(ctx)
	close(ids)
	<-kept

	r := backlogReport{Records: int64(len(acked)), DiskMiB: mib(diskUse(gw.spoolDir()))}
	if u, err := usageOf(gw.proc.pid()); err == nil {
		r.RSS, r.MaxRSS = mib(u.RSS), mib(u.MaxRSS)
	}
	gw.proc.kill()
	began := time.Now()
	if err := gw.start(); err != nil {
		return err
	}
	r.Reopen = time.Since(began).Seconds()
	if u, err := usageOf(gw.proc.pid()); err == nil {
		r.ReopenRSS = mib(u.RSS)
	}
	began = time.Now()
	up.Relent()
	if err := gw.drain(30 * time.Minute); err != nil {
		return err
	}
	r.DrainSec = time.Since(began).Seconds()
	time.Sleep(2 * time.Second) // deletion follows the last acknowledgement's commit
	r.DiskAfter = mib(diskUse(gw.spoolDir()))
	r.DiskShare = r.DiskAfter / r.DiskMiB
	m, err := gw.metrics()
	if err != nil {
		return err
	}
	r.Ledger = m.ledger()
	if err := gw.proc.stop(); err != nil {
		return err
	}
	missing, repeated := up.check(acked)
	r.Lost, r.Duplicates = len(missing), repeated
	progressEnd()
	if err := print(b.JSON, r); err != nil {
		return err
	}
	if r.Lost > 0 || r.Ledger != 0 {
		return errors.New("something was lost or miscounted")
	}
	return nil
}

// diskUse adds up what a directory's files take.
func diskUse(dir string) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // a file that went meanwhile takes nothing
		}
		if fi, err := d.Info(); err == nil {
			total += fi.Size()
		}
		return nil
	})
	return total
}

type attachmentCmd struct {
	Gateway string `help:"Gateway binary." default:"bin/breakwater" type:"existingfile"`
	MiB     int    `help:"Size of the attachment." default:"100"`
	JSON    bool   `help:"Print the report as JSON."`
}

type attachmentReport struct {
	MiB       int     `json:"attachment_mib"`
	Before    float64 `json:"max_rss_mib_before"`
	After     float64 `json:"max_rss_mib_after"`
	Added     float64 `json:"added_mib"`
	Delivered bool    `json:"delivered"`
}

// Run sends one envelope with a large attachment and says what it cost in memory.
func (a *attachmentCmd) Run() error {
	gw, err := newGateway(a.Gateway, "", 1)
	if err != nil {
		return err
	}
	defer gw.cleanup()
	gw.limits = "request_size: 1GiB, decompressed_size: 1GiB, attachment_size: 1GiB, read_timeout: 120s"
	if err := gw.writeConfig(); err != nil {
		return err
	}
	up := newSink(true)
	if err := up.serve(gw.upstreams[0]); err != nil {
		return err
	}
	defer up.close()
	if err := gw.start(); err != nil {
		return err
	}
	small, err := envelope(gw.key, "4096")
	if err != nil {
		return err
	}
	warm, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	load{addr: gw.public, conns: 16, tmpl: newTemplate("POST", gw.envelopePath(), gw.public, "text/plain;charset=UTF-8", small)}.run(warm)
	cancel()
	if err := gw.drain(time.Minute); err != nil {
		return err
	}
	r := attachmentReport{MiB: a.MiB}
	if u, err := usageOf(gw.proc.pid()); err == nil {
		r.Before = mib(u.MaxRSS)
	}
	v := newID()
	status, err := postAttachment(gw, v, a.MiB)
	if err != nil {
		return err
	}
	if status != 200 {
		return fmt.Errorf("the attachment was answered %d", status)
	}
	if err := gw.drain(5 * time.Minute); err != nil {
		return err
	}
	if u, err := usageOf(gw.proc.pid()); err == nil {
		r.After = mib(u.MaxRSS)
	}
	r.Added = r.After - r.Before
	missing, _ := up.check(map[relaytest.ID]struct{}{v: {}})
	r.Delivered = len(missing) == 0
	if err := gw.proc.stop(); err != nil {
		return err
	}
	return print(a.JSON, r)
}
