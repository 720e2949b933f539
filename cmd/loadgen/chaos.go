package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
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
not more than a tenth above, and not a tenth less while nothing is broken. Before and after
the faults one error comes in a storm over all gateways: what is forwarded must be the
project's budget to the item, and the summary must tell the exact number.

kill -9 ends a process, not a machine: what the kernel had not written yet is written. What
a power cut loses of files is shown for the disk spool by its own tests (see relay/spool/disk);
for NATS it rests on sync_interval: always, which the gateway checks at its start.`
}

// inFlight is how many records a gateway may have delivered and not yet
// confirmed when a fault hits it: the deliveries under way to each of two
// upstreams (upstreams[].concurrency is 8), and as many again whose confirmation
// was on its way.
const inFlight = 2 * 2 * 8

// Run breaks things until the time is over or somebody interrupts it, and counts.
func (c *chaosCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rep, err := c.run(ctx)
	if ctx.Err() != nil {
		rep, err = nil, errors.New("interrupted; everything is ended and removed")
	}
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
	o := rigOptions{binary: c.Gateway, nginx: c.Nginx, gateways: c.Gateways, nats: c.NATS, redis: c.Redis, loopback: c.Loopback, dir: c.Dir, limit: c.Limit, window: min(max(c.Calm, 3*time.Second), 10*time.Second)}
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
	alone := &loners{}
	if c.Redis {
		for i := range r.gateways {
			wg.Go(func() { alone.follow(sending, r, i) })
		}
	}

	var storms []stormCheck
	quiet := func() error { // before and after
		calm := time.Now().Add(c.Calm)
		if c.Redis {
			s, err := r.storm(ctx)
			if err != nil {
				return err
			}
			storms = append(storms, s)
		}
		waitUntil(ctx, calm)
		return nil
	}
	err = quiet()
	if err == nil {
		havocCtx, over := context.WithTimeout(ctx, c.Duration)
		err = h.run(havocCtx, c.Cycles)
		over()
	}
	if err == nil {
		err = r.ready(ctx, 5*time.Minute)
	}
	if err == nil {
		err = quiet()
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
		return nil, ctx.Err()
	}
	return c.count(ctx, r, h, flows, came, storms, stretch{begin, end}, alone.times)
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
