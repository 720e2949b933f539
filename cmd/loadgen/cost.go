package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
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
	send := func(d time.Duration) (tally, error) {
		ctx, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		got := load{addr: r.front, conns: c.Conns, tmpl: req.template(r.front), pace: c.Rate}.run(ctx)
		return got, r.drain(context.Background(), 5*time.Minute)
	}
	progress("warming up")
	if _, err := send(2 * time.Second); err != nil {
		return rep, err
	}
	names, pids := r.parts()
	before, err := r.spent(pids)
	if err != nil {
		return rep, err
	}
	progress("sending for %s", c.Time)
	got, err := send(c.Time)
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
	rep = costReport{Kind: c.Kind, Requests: got.OK, Bytes: len(req.body), PerSecond: got.Rate, NotOK: got.NoAnswer,
		Redis: (after.commands - before.commands) / n, Fsyncs: (after.fsyncs - before.fsyncs) / n}
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

// writtenBy is what a process caused to be written to disks, in bytes.
func writtenBy(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(raw, []byte("\nwrite_bytes: "))
	if !ok {
		return 0, fmt.Errorf("/proc/%d/io says nothing of write_bytes", pid)
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return strconv.ParseFloat(string(line), 64)
}

// networkOf is what came to and left the network namespace of a process, by
// any interface but loopback.
func networkOf(pid int) (received, sent float64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(raw)) {
		name, counts, ok := strings.Cut(line, ":")
		f := strings.Fields(counts)
		if !ok || strings.TrimSpace(name) == "lo" || len(f) < 9 {
			continue
		}
		in, err1 := strconv.ParseFloat(f[0], 64)
		out, err2 := strconv.ParseFloat(f[8], 64)
		if err := errors.Join(err1, err2); err != nil {
			return 0, 0, err
		}
		received, sent = received+in, sent+out
	}
	return received, sent, nil
}

// redisCommands is how many commands Redis has carried out, those inside
// scripts among them.
func redisCommands(addr string) (float64, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte("INFO stats\r\n")); err != nil {
		return 0, err
	}
	for s := bufio.NewScanner(conn); s.Scan(); {
		if n, ok := strings.CutPrefix(s.Text(), "total_commands_processed:"); ok {
			return strconv.ParseFloat(n, 64)
		}
	}
	return 0, errors.New("redis does not tell how many commands it processed")
}
