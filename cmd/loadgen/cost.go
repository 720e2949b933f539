package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

type costCmd struct {
	Gateway  string        `help:"Gateway binary." default:"bin/breakwater" type:"existingfile"`
	Nginx    string        `help:"The balancer's configuration, of which addresses and paths are replaced." default:"webdemo/stack/cluster/nginx.conf" type:"existingfile"`
	Kind     string        `help:"What to send: ${kinds}." default:"envelope"`
	Size     string        `help:"Bytes of an envelope." default:"4096"`
	Time     time.Duration `help:"How long to send." default:"10s"`
	Conns    int           `help:"Connections." default:"128"`
	Rate     float64       `help:"Open loop: requests per second over all connections. 0: closed loop, as fast as it goes." default:"0"`
	Gateways int           `help:"Gateways." default:"3"`
	NATS     int           `name:"nats" help:"NATS servers; 0: each gateway keeps its own spool on disk." default:"3"`
	Redis    bool          `help:"Share limits by Redis." default:"true" negatable:""`
	Loopback bool          `help:"Use addresses on loopback instead of network namespaces; bytes on the network are not counted then."`
	Hold     bool          `help:"The upstream is away while requests are sent: also tell what a request that waits takes on the disk of each server that keeps it."`
	Fsyncs   bool          `help:"Also count the fsyncs of the NATS servers, by strace, which makes everything slower."`
	Dir      string        `help:"Working directory; a temporary one when empty." default:""`
	JSON     bool          `help:"Print the report as JSON."`
}

// Help says what the columns are.
func (c *costCmd) Help() string {
	return `Builds gateways, NATS servers (R3, sync always), Redis, a balancer and an upstream, each in a
network namespace of its own, sends requests through the balancer, waits until all of it is
delivered, and says what one accepted request cost each part of it:

  cpu-s/1m    CPU seconds for a million, of all its processes together
  disk        bytes that went to the disk (the kernel's write_bytes, whole pages), of all its processes
  received    bytes that came over the network, with TCP's and IP's own
  sent        bytes that left
  max rss     memory of the largest of its processes, in MiB

Redis' commands are counted by itself.`
}

// partCost is what one part spent for one accepted request.
type partCost struct {
	Part      string  `json:"part"`
	Processes int     `json:"processes"`
	CPUPerM   float64 `json:"cpu_seconds_per_million"`
	Disk      float64 `json:"disk_bytes"`
	Received  float64 `json:"received_bytes"`
	Sent      float64 `json:"sent_bytes"`
	RSS       float64 `json:"max_rss_mib"`
}

type costReport struct {
	Kind      string     `json:"kind"`
	Requests  int64      `json:"accepted_requests"`
	Bytes     int        `json:"request_bytes"`
	PerSecond float64    `json:"accepted_per_second"`
	NotOK     int64      `json:"not_2xx"`
	Parts     []partCost `json:"parts"`
	Redis     float64    `json:"redis_commands_per_request"`
	Fsyncs    float64    `json:"gateway_fsyncs_per_request"`
	Held      float64    `json:"stored_bytes_per_request,omitempty"` // on each disk that keeps it
	NATSSyncs float64    `json:"nats_fsyncs_per_request,omitempty"`  // of all servers together
}

// Run builds, sends, drains and counts.
func (c *costCmd) Run() error {
	o := rigOptions{binary: c.Gateway, nginx: c.Nginx, gateways: c.Gateways, nats: c.NATS, redis: c.Redis, loopback: c.Loopback, dir: c.Dir, limit: 1000, window: time.Minute}
	if err := o.needs(); err != nil {
		return err
	}
	ctx := context.Background()
	r, err := openRig(ctx, o)
	if errors.Is(err, errNoNetwork) && !o.loopback {
		fmt.Fprintf(os.Stderr, "loadgen: %v: addresses on loopback instead; bytes on the network are not counted\n", err)
		o.loopback = true
		r, err = openRig(ctx, o)
	}
	if err != nil {
		return err
	}
	defer func() {
		r.close()
		if c.Dir == "" {
			_ = os.RemoveAll(r.dir)
		}
	}()
	rep, err := c.measure(ctx, r)
	progressEnd()
	if err != nil {
		return err
	}
	if c.JSON || !terminal() {
		return print(true, rep)
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"", "processes", "cpu-s/1m", "disk", "received", "sent", "max rss"})
	for _, p := range rep.Parts {
		t.AppendRow(table.Row{p.Part, p.Processes, fmt.Sprintf("%.1f", p.CPUPerM), fmt.Sprintf("%.0f", p.Disk), fmt.Sprintf("%.0f", p.Received), fmt.Sprintf("%.0f", p.Sent), fmt.Sprintf("%.0f", p.RSS)})
	}
	if c.Hold {
		fmt.Printf("%.0f bytes on the disk of each server for a request that waits\n", rep.Held)
	}
	if c.Fsyncs {
		fmt.Printf("%.3f fsyncs of the NATS servers a request\n", rep.NATSSyncs)
	}
	_, err = fmt.Printf("%s\n%d requests of %d bytes, %.0f a second, %d not accepted; %.2f commands of Redis and %.3f fsyncs of the gateways a request\n",
		t.Render(), rep.Requests, rep.Bytes, rep.PerSecond, rep.NotOK, rep.Redis, rep.Fsyncs)
	return err
}

// parts are the rig's processes, by what they are.
func (r *rig) parts() (names []string, pids map[string][]int) {
	pids = map[string][]int{}
	for _, g := range r.gateways {
		pids["gateways"] = append(pids["gateways"], g.proc.pid())
	}
	names = append(names, "gateways")
	if r.nats != nil {
		for i := range r.nats.Nodes() {
			pids["nats"] = append(pids["nats"], r.nats.PID(i))
		}
		names = append(names, "nats")
	}
	if r.redis != nil {
		names, pids["redis"] = append(names, "redis"), []int{r.redis.proc.pid()}
	}
	pids["balancer"] = []int{r.balancer.proc.pid()}
	return append(names, "balancer"), pids
}

func (c *costCmd) measure(ctx context.Context, r *rig) (rep costReport, err error) {
	req, err := requestOf(c.Kind, "1", loadKey, c.Size, 300)
	if err != nil {
		return rep, err
	}
	send := func(d time.Duration) tally {
		ctx, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		return load{addr: r.front, conns: c.Conns, tmpl: req.template(r.front), pace: c.Rate}.run(ctx)
	}
	const patience = 5 * time.Minute
	progress("warming up")
	send(2 * time.Second)
	if err := r.drain(ctx, patience, func() bool { return false }); err != nil {
		return rep, err
	}
	names, pids := r.parts()
	before, err := r.spent(pids)
	if err != nil {
		return rep, err
	}
	syncs := func() (float64, error) { return 0, nil }
	if c.Fsyncs {
		if syncs, err = countSyncs(r.dir, pids["nats"]); err != nil {
			return rep, err
		}
	}
	empty := r.stored()
	if c.Hold {
		r.sink.refuse()
	}
	progress("sending for %s", c.Time)
	got := send(c.Time)
	full := r.stored()
	if c.Hold {
		if err := r.sink.accept(); err != nil {
			return rep, err
		}
	}
	if err := r.drain(ctx, patience, func() bool { return false }); err != nil {
		return rep, err
	}
	synced, err := syncs()
	if err != nil {
		return rep, err
	}
	after, err := r.spent(pids)
	if err != nil {
		return rep, err
	}
	if got.OK == 0 {
		return rep, errors.New("nothing was accepted")
	}
	n := float64(got.OK)
	rep = costReport{
		Kind: c.Kind, Requests: got.OK, Bytes: len(req.body), PerSecond: got.Rate, NotOK: got.NoAnswer,
		Redis: (after.commands - before.commands) / n, Fsyncs: (after.fsyncs - before.fsyncs) / n, NATSSyncs: synced / n,
	}
	if c.Hold {
		rep.Held = (full - empty) / n
	}
	for _, refused := range got.Refused {
		rep.NotOK += int64(refused)
	}
	for _, name := range names {
		b, a := before.parts[name], after.parts[name]
		p := partCost{Part: name, Processes: len(pids[name]), CPUPerM: (a.cpu - b.cpu) / n * 1e6, Disk: (a.disk - b.disk) / n, RSS: a.rss}
		if r.net.canCut() { // each in a namespace, which counts
			p.Received, p.Sent = (a.received-b.received)/n, (a.sent-b.sent)/n
		}
		rep.Parts = append(rep.Parts, p)
	}
	return rep, nil
}

// stored is what lies on disk for each copy of a record: on the average of the
// NATS servers, or on all gateways together, which share the records.
func (r *rig) stored() (n float64) {
	if r.nats == nil {
		for i := range r.gateways {
			n += float64(diskUse(filepath.Join(r.dir, fmt.Sprintf("gw%d", i+1), "spool")))
		}
		return n
	}
	for i := range r.nats.Nodes() {
		n += float64(diskUse(r.nats.Dir(i)))
	}
	return n / float64(r.nats.Nodes())
}

// spending is what the kernel, Redis and the gateways say at one moment.
type spending struct {
	parts            map[string]struct{ cpu, disk, received, sent, rss float64 }
	commands, fsyncs float64
}

func (r *rig) spent(pids map[string][]int) (s spending, err error) {
	s.parts = map[string]struct{ cpu, disk, received, sent, rss float64 }{}
	for name, list := range pids {
		sum := s.parts[name]
		for _, pid := range list {
			u, err := usageOf(pid)
			if err != nil {
				return s, err
			}
			disk, err := writtenBy(pid)
			if err != nil {
				return s, err
			}
			received, sent, err := networkOf(pid)
			if err != nil {
				return s, err
			}
			sum.cpu, sum.disk, sum.rss = sum.cpu+u.CPU, sum.disk+disk, max(sum.rss, mib(u.MaxRSS))
			sum.received, sum.sent = sum.received+received, sum.sent+sent
		}
		s.parts[name] = sum
	}
	for _, addr := range r.private {
		m, err := scrape(quick, addr)
		if err != nil {
			return s, err
		}
		s.fsyncs += m.count("breakwater_spool_fsync_duration_seconds")
	}
	if r.redis != nil {
		s.commands, err = redisCommands(r.redisAt)
	}
	return s, err
}
