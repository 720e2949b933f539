package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"breakwater/relay/relaytest"
)

type chaosCmd struct {
	Gateway  string        `help:"Gateway binary." default:"bin/breakwater" type:"existingfile"`
	Nginx    string        `help:"The balancer's configuration, of which addresses and paths are replaced." default:"webdemo/stack/cluster/nginx.conf" type:"existingfile"`
	Duration time.Duration `help:"How long to break things." default:"10m"`
	Cycles   int           `help:"End after each kind of fault happened that often; 0: only by the time." default:"0"`
	Calm     time.Duration `help:"How long to leave everything alone before and after." default:"15s"`
	Pace     float64       `help:"How long faults and pauses last: 1 is up to 15 s and 4 s." default:"1"`
	Seed     uint64        `help:"Seed of the order of faults; 0 for one from the clock." default:"0"`
	Gateways int           `help:"Gateways." default:"3"`
	NATS     int           `name:"nats" help:"NATS servers; 0: each gateway keeps its own spool on disk." default:"3"`
	Redis    bool          `help:"Share limits by Redis." default:"true" negatable:""`
	Loopback bool          `help:"Use addresses on loopback instead of network namespaces; links are not cut then."`
	Rate     float64       `help:"Reports per second." default:"120"`
	Conns    int           `help:"Clients that send them." default:"48"`
	Limit    int           `help:"Requests per second that a second project may send; it sends two and a half times that." default:"40"`
	Dir      string        `help:"Working directory; a temporary one when empty, which is kept when the run fails." default:""`
	Verbose  bool          `short:"v" help:"Print each fault when it is mended."`
	JSON     bool          `help:"Print the report as JSON."`
}

// Help says what is broken and what is counted.
func (c *chaosCmd) Help() string {
	return `Builds three gateways, three NATS servers with JetStream (sync always), Redis, nginx as
the balancer and a recording upstream, each on an address of its own: network namespaces
behind a bridge, which needs root, else addresses on loopback. Clients send reports with
known ids through the balancer, wait as 429 and 503 ask, and half of them send what was not
answered again. Meanwhile, in an order the seed decides:

  kill -9, freeze (SIGSTOP) and stop in order (SIGTERM) a gateway
  kill -9 and freeze a NATS server; kill two, kill all (nothing can be stored then: 503)
  kill -9 Redis
  unplug a gateway, a NATS server, Redis from the network
  cut one link, in both directions or in one: balancer-gateway, gateway-NATS,
  gateway-Redis, gateway-upstream, NATS-NATS
  the upstream answers 503

Then everything is mended and drained, and counted. These must be 0:
acknowledged_but_lost, dead_letters, duplicates unexplained. Of the duplicates, those that
neither client nor balancer sent twice may be at most what was in flight at the faults.
A second project sends far beyond its limit: while Redis is there it must get its limit,
not more than a tenth above, and not a tenth less while nothing is broken.

kill -9 ends a process, not a machine: what the kernel had not written yet is written. What
a power cut loses of files is shown for the disk spool by its own tests (see relay/spool/disk);
for NATS it rests on sync_interval: always, which the gateway checks at its start.`
}

// inFlight is how many records a gateway may have delivered and not yet
// confirmed when a fault hits it: the deliveries under way to each of two
// upstreams (upstreams[].concurrency is 8), and as many again whose confirmation
// was on its way.
const inFlight = 2 * 2 * 8

// chaosReport is what a run proves.
type chaosReport struct {
	Engine   string         `json:"engine"`
	Gateways int            `json:"gateways"`
	NATS     int            `json:"nats_servers"`
	Network  string         `json:"network"`
	Seconds  float64        `json:"seconds"`
	Seed     uint64         `json:"seed"`
	Faults   int            `json:"faults"`
	Kinds    map[string]int `json:"faults_by_kind"`
	Sent     int            `json:"reports"`
	Answers  map[int]int    `json:"answers"` // 0: none
	Acked    int            `json:"acknowledged"`
	Lost     int            `json:"acknowledged_but_lost"`
	Unacked  int            `json:"delivered_without_acknowledgement"`
	Twice    duplicates     `json:"delivered_more_than_once"`
	Dead     float64        `json:"dead_letters"`
	Exits    int64          `json:"gateways_that_ended_by_themselves"`
	Drain    float64        `json:"seconds_to_drain"`
	Limit    *limitCheck    `json:"limit,omitempty"`
}

// Run breaks things until the time is over or somebody interrupts it, and counts.
func (c *chaosCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rep, err := c.run(ctx)
	progressEnd()
	if rep != nil {
		if err := print(c.JSON, *rep); err != nil {
			return err
		}
	}
	return err
}

// run is Run without the printing. The report is nil when there is nothing to report.
func (c *chaosCmd) run(ctx context.Context) (*chaosReport, error) {
	if c.Seed == 0 {
		c.Seed = uint64(time.Now().UnixNano())
	}
	o := rigOptions{binary: c.Gateway, nginx: c.Nginx, gateways: c.Gateways, nats: c.NATS, redis: c.Redis, loopback: c.Loopback, dir: c.Dir, limit: c.Limit, window: 10 * time.Second}
	if err := o.needs(); err != nil {
		return nil, err
	}
	r, err := openRig(ctx, o)
	if errors.Is(err, errNoNetwork) && !o.loopback {
		fmt.Fprintf(os.Stderr, "loadgen: %v: addresses on loopback instead; links are not cut\n", err)
		o.loopback = true
		r, err = openRig(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	rep, err := c.chaos(ctx, r)
	r.close()
	switch {
	case c.Dir != "":
	case err != nil && ctx.Err() == nil:
		err = fmt.Errorf("%w; logs and data are in %s", err, r.dir)
	default:
		_ = os.RemoveAll(r.dir)
	}
	return rep, err
}

// chaos loads the rig and breaks it.
func (c *chaosCmd) chaos(ctx context.Context, r *rig) (*chaosReport, error) {
	came := &arrivals{all: map[relaytest.ID][]delivery{}}
	r.sink.took = func(v relaytest.ID, req *http.Request) { came.add(v, delivererOf(req.Header.Get("X-Sentry-Auth"))) }
	flows, err := c.flows(r)
	if err != nil {
		return nil, err
	}
	main, limited := flows[0], flows[1]
	sending, enough := context.WithCancel(ctx)
	defer enough()
	var wg sync.WaitGroup
	begin := time.Now()
	for _, f := range flows {
		wg.Go(func() { f.run(sending) })
	}
	h := &havoc{rig: r, rnd: rand.New(rand.NewPCG(c.Seed, 1)), pace: c.Pace, pairs: true, said: func(in incident) {
		if c.Verbose {
			fmt.Fprintf(os.Stderr, "%6.1fs  %-22s %-16s %4.1fs   acknowledged %d, delivered %d\n", in.Begin.Sub(begin).Seconds(), in.Kind, in.What, in.End.Sub(in.Begin).Seconds(), main.acked()+limited.acked(), came.len())
		}
	}}
	go c.watch(sending, begin, main, came)

	waitUntil(ctx, time.Now().Add(c.Calm))
	havocCtx, over := context.WithTimeout(ctx, c.Duration)
	err = h.run(havocCtx, c.Cycles)
	over()
	if err == nil {
		waitUntil(ctx, time.Now().Add(c.Calm))
	}
	end := time.Now()
	for _, f := range flows {
		f.stop.Store(true)
	}
	enough()
	wg.Wait()
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("interrupted: %w", ctx.Err())
	}
	return c.count(ctx, r, h, flows, came, stretch{begin, end})
}

// flows are the clients: those whose reports must arrive, and those of the
// limited project, which care for no answer.
func (c *chaosCmd) flows(r *rig) ([]*flow, error) {
	plain, err := requestOf("envelope", "1", loadKey, "4096", 0)
	if err != nil {
		return nil, err
	}
	limited, err := requestOf("envelope", limitedProject, limitedKey, "1024", 0)
	if err != nil {
		return nil, err
	}
	return []*flow{
		{addr: r.front, req: plain, conns: c.Conns, pace: c.Rate, polite: true, patience: 5 * time.Second, keepers: 0.5},
		{addr: r.front, req: limited, conns: c.Limit, pace: float64(c.Limit) * 2.5},
	}, nil
}

// watch shows how far it is.
func (c *chaosCmd) watch(ctx context.Context, begin time.Time, main *flow, came *arrivals) {
	for ctx.Err() == nil {
		progress("%s of %s  acknowledged %d  delivered %d", time.Since(begin).Round(time.Second), c.Duration+2*c.Calm, main.acked(), came.len())
		waitUntil(ctx, time.Now().Add(time.Second))
	}
}

// count drains what is left and compares.
func (c *chaosCmd) count(ctx context.Context, r *rig, h *havoc, flows []*flow, came *arrivals, whole stretch) (*chaosReport, error) {
	rep := &chaosReport{
		Engine: "disk", Gateways: c.Gateways, NATS: c.NATS, Network: "namespaces", Seed: c.Seed, Seconds: whole.seconds(),
		Faults: len(h.past), Kinds: map[string]int{}, Answers: map[int]int{},
	}
	if c.NATS > 0 {
		rep.Engine = "jetstream"
	}
	if !r.net.canCut() {
		rep.Network = "loopback"
	}
	for _, in := range h.past {
		rep.Kinds[in.Kind]++
	}
	for _, m := range r.gateways {
		rep.Exits += m.ended.Load()
	}
	begin := time.Now()
	if err := r.ready(ctx, 2*time.Minute); err != nil {
		return rep, err
	}
	drained := r.drain(ctx, 5*time.Minute)
	rep.Drain = time.Since(begin).Seconds()
	for _, addr := range r.private {
		m, err := scrape(quick, addr)
		if err != nil {
			return rep, err
		}
		rep.Dead = max(rep.Dead, m.sum("breakwater_relay_dead_letters"))
	}
	crossed, err := readCrossed(filepath.Join(r.dir, crossed))
	if err != nil {
		return rep, err
	}
	fates := map[relaytest.ID]*fate{}
	for _, f := range flows {
		for v, x := range f.fates {
			fates[v] = x
		}
		for status, n := range f.tally {
			rep.Answers[status] += n
		}
	}
	rep.Sent = len(fates)
	var first string
	for v, x := range fates {
		switch arrived := len(came.all[v]) > 0; {
		case x.acked.IsZero() && arrived:
			rep.Unacked++
		case x.acked.IsZero():
		default:
			rep.Acked++
			if !arrived {
				rep.Lost++
				first = fmt.Sprintf("%s, acknowledged at %.1f s", v, x.acked.Sub(whole.from).Seconds())
			}
		}
	}
	var odd []relaytest.ID
	rep.Twice, odd = explain(fates, came.all, crossed, h.past, c.Gateways, inFlight)
	if len(odd) > 0 {
		first += fmt.Sprintf(" %s came at", odd[0])
		for _, d := range came.all[odd[0]] {
			first += fmt.Sprintf(" %.1f s by gateway %d", d.at.Sub(whole.from).Seconds(), d.by+1)
		}
	}
	if c.Redis {
		l := checkLimit(flows[1].taken, c.Limit, max(c.Limit/2, 30), whole, h.past)
		rep.Limit = &l
	}
	if drained != nil {
		return rep, drained
	}
	return rep, rep.verdict(first)
}

func (r *chaosReport) verdict(first string) error {
	switch {
	case r.Acked == 0 || r.Faults == 0:
		return errors.New("nothing was acknowledged or nothing broken: the run proved nothing")
	case r.Lost > 0:
		return fmt.Errorf("%d acknowledged reports were lost; one of them: %s", r.Lost, first)
	case r.Dead > 0:
		return fmt.Errorf("%.0f reports became dead letters", r.Dead)
	case r.Twice.Unexplained > 0:
		return fmt.Errorf("%d duplicates have no explanation; one of them: %s", r.Twice.Unexplained, first)
	case r.Twice.Confirmation > r.Twice.Bound:
		return fmt.Errorf("%d lost confirmations are more than was in flight, %d", r.Twice.Confirmation, r.Twice.Bound)
	}
	if l := r.Limit; l != nil {
		switch {
		case l.OfLimit > 1.1 || l.Worst > 1.1:
			return fmt.Errorf("the limited project got %.2f of its limit while Redis was there, %.2f in the worst stretch", l.OfLimit, l.Worst)
		case l.CalmSeconds > 0 && l.OfCalm < 0.9:
			return fmt.Errorf("the limited project got %.2f of its limit while nothing was broken", l.OfCalm)
		}
	}
	return nil
}
