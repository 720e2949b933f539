package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"breakwater/relay/relaytest"
)

// fault is one way to break a rig, and to mend it again.
type fault struct {
	kind string
	// long is the longest time it lasts; each time is random, a fifth of it at least.
	long time.Duration
	// begin breaks something of r that rnd picks, and says what and how to mend it.
	begin func(r *rig, rnd *rand.Rand) (what string, hits hits, mend func() error, err error)
}

// hits says what a fault touches.
type hits struct {
	gateways []int
	stream   bool // the stream may be without a leader, or answers may be lost
	redis    bool
	quorum   bool // the stream cannot take anything
}

// incident is a fault that happened.
type incident struct {
	Kind  string
	What  string
	Begin time.Time
	End   time.Time // mended
	hits
}

// faultsOf are the faults that a rig can suffer.
func (r *rig) faultsOf() []fault {
	list := []fault{killGateway, freezeGateway, rollGateway, failUpstream}
	if r.redis != nil {
		list = append(list, killRedis)
	}
	if r.nats != nil {
		list = append(list, killNode, freezeNode)
		if r.opts.nats > 2 {
			list = append(list, killQuorum, killAllNodes)
		}
	}
	if !r.net.canCut() {
		return list
	}
	list = append(list, isolateGateway, cutBalancer, cutUpstream)
	if r.redis != nil {
		list = append(list, isolateRedis, cutRedis)
	}
	if r.nats != nil {
		list = append(list, isolateNode, cutNode)
		if r.opts.nats > 1 {
			list = append(list, cutNodes)
		}
	}
	return list
}

const shortest = 5 // a fault lasts between a fifth of its time and all of it

var killGateway = fault{"kill gateway", 8 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	i := rnd.IntN(len(r.gateways))
	r.gateways[i].down()
	return r.gateways[i].name, hits{gateways: []int{i}}, r.gateways[i].up, nil
}}

var freezeGateway = fault{"freeze gateway", 15 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	i := rnd.IntN(len(r.gateways))
	m := r.gateways[i]
	m.freeze(true)
	return m.name, hits{gateways: []int{i}}, func() error { m.freeze(false); return nil }, nil
}}

var rollGateway = fault{"stop gateway in order", 5 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	i := rnd.IntN(len(r.gateways))
	m := r.gateways[i]
	if err := m.stop(); err != nil {
		return m.name, hits{}, nil, fmt.Errorf("the exit of %s after SIGTERM: %w\n%s", m.name, err, tail(m.log.Name()))
	}
	return m.name, hits{gateways: []int{i}}, m.up, nil
}}

var failUpstream = fault{"upstream answers 503", 8 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	r.sink.Always(relaytest.Status(503))
	return "upstream", hits{}, func() error { r.sink.Relent(); return nil }, nil
}}

var killRedis = fault{"kill redis", 10 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	r.redis.down()
	return "redis", hits{redis: true}, r.redis.up, nil
}}

var killNode = fault{"kill NATS server", 10 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	i := rnd.IntN(r.nats.Nodes())
	r.nats.Kill(i)
	return r.natsAt[i].name, hits{stream: true}, func() error { return r.nats.Restart(i) }, nil
}}

var freezeNode = fault{"freeze NATS server", 15 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	i := rnd.IntN(r.nats.Nodes())
	r.nats.Pause(i)
	return r.natsAt[i].name, hits{stream: true}, func() error { r.nats.Resume(i); return nil }, nil
}}

var killQuorum = fault{"kill two NATS servers", 8 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	n := r.nats.Nodes()
	i := rnd.IntN(n)
	j := (i + 1 + rnd.IntN(n-1)) % n
	r.nats.Kill(i)
	r.nats.Kill(j)
	return r.natsAt[i].name + " " + r.natsAt[j].name, hits{stream: true, quorum: true}, r.nodesUp(i, j), nil
}}

var killAllNodes = fault{"kill all NATS servers", 5 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	all := rnd.Perm(r.nats.Nodes())
	var wg sync.WaitGroup
	for _, i := range all {
		wg.Go(func() { r.nats.Kill(i) })
	}
	wg.Wait()
	return "all", hits{stream: true, quorum: true}, r.nodesUp(all...), nil
}}

func (r *rig) nodesUp(nodes ...int) func() error {
	return func() error {
		for _, i := range nodes {
			if err := r.nats.Restart(i); err != nil {
				return err
			}
		}
		return nil
	}
}

var isolateGateway = fault{"unplug gateway", 15 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	i := rnd.IntN(len(r.gateways))
	return r.unplug(r.gateways[i].node, hits{gateways: []int{i}, redis: true})
}}

var isolateNode = fault{"unplug NATS server", 15 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	return r.unplug(r.natsAt[rnd.IntN(len(r.natsAt))], hits{stream: true})
}}

var isolateRedis = fault{"unplug redis", 10 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	return r.unplug(r.redis.node, hits{redis: true})
}}

var cutBalancer = fault{"cut balancer-gateway", 10 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	i := rnd.IntN(len(r.gateways))
	return r.cut(rnd, r.balancer.node, r.gateways[i].node, hits{gateways: []int{i}})
}}

var cutUpstream = fault{"cut gateway-upstream", 10 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	i := rnd.IntN(len(r.gateways))
	return r.cut(rnd, r.gateways[i].node, nil, hits{gateways: []int{i}})
}}

var cutRedis = fault{"cut gateway-redis", 10 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	i := rnd.IntN(len(r.gateways))
	return r.cut(rnd, r.gateways[i].node, r.redis.node, hits{redis: true})
}}

var cutNode = fault{"cut gateway-NATS", 15 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	i := rnd.IntN(len(r.gateways))
	return r.cut(rnd, r.gateways[i].node, r.natsAt[rnd.IntN(len(r.natsAt))], hits{gateways: []int{i}, stream: true})
}}

var cutNodes = fault{"cut NATS-NATS", 15 * time.Second, func(r *rig, rnd *rand.Rand) (string, hits, func() error, error) {
	i := rnd.IntN(len(r.natsAt))
	j := (i + 1 + rnd.IntN(len(r.natsAt)-1)) % len(r.natsAt)
	return r.cut(rnd, r.natsAt[i], r.natsAt[j], hits{stream: true})
}}

func (r *rig) unplug(n *netNode, h hits) (string, hits, func() error, error) {
	return n.name, h, func() error { return r.net.isolate(n, false) }, r.net.isolate(n, true)
}

// cut breaks a link, a third of the time in one direction only.
func (r *rig) cut(rnd *rand.Rand, a, b *netNode, h hits) (string, hits, func() error, error) {
	oneWay, arrow := rnd.IntN(3) == 0, " - "
	if oneWay {
		arrow = " -> "
		if rnd.IntN(2) == 0 {
			a, b = b, a
		}
	}
	name := func(n *netNode) string {
		if n == nil {
			return "upstream"
		}
		return n.name
	}
	return name(a) + arrow + name(b), h, func() error { r.net.mend(a, b); return nil }, r.net.cut(a, b, oneWay)
}

// havoc breaks and mends in an order that a seed decides.
type havoc struct {
	rig  *rig
	rnd  *rand.Rand
	pace float64 // 1: the times above; less: shorter
	said func(incident)
	// pairs lets a second fault begin while the first lasts, now and then.
	pairs bool

	mu   sync.Mutex
	past []incident
}

// once suffers one fault from its beginning to its end.
func (h *havoc) once(ctx context.Context, f fault, rnd *rand.Rand) error {
	lasts := time.Duration(h.pace * float64(f.long) * (1 + rnd.Float64()*(shortest-1)) / shortest)
	begin := time.Now()
	what, touched, mend, err := f.begin(h.rig, rnd)
	if mend != nil {
		if err == nil {
			waitUntil(ctx, begin.Add(lasts))
		}
		if again := mend(); err == nil {
			err = again
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", f.kind, what, err)
	}
	in := incident{f.kind, what, begin, time.Now(), touched}
	h.mu.Lock()
	h.past = append(h.past, in)
	h.mu.Unlock()
	if h.said != nil {
		h.said(in)
	}
	return nil
}

// run shuffles the faults, suffers each once, and begins again, until ctx
// ends; cycles above 0 is how often at most.
func (h *havoc) run(ctx context.Context, cycles int) error {
	faults := h.rig.faultsOf()
	for n := 0; ctx.Err() == nil && (cycles == 0 || n < cycles); n++ {
		order := h.rnd.Perm(len(faults))
		for at := 0; at < len(order) && ctx.Err() == nil; {
			group := order[at : at+1]
			if h.pairs && at+1 < len(order) && h.rnd.IntN(4) == 0 {
				group = order[at : at+2]
			}
			at += len(group)
			if err := h.together(ctx, faults, group); err != nil {
				return err
			}
			waitUntil(ctx, time.Now().Add(time.Duration(h.pace*(1+3*h.rnd.Float64())*float64(time.Second))))
		}
	}
	return nil
}

// together suffers faults at the same time.
func (h *havoc) together(ctx context.Context, faults []fault, group []int) error {
	errs := make([]error, len(group))
	var wg sync.WaitGroup
	for i, g := range group {
		rnd := rand.New(rand.NewPCG(h.rnd.Uint64(), h.rnd.Uint64())) // one each: the order of events must not decide
		wg.Go(func() { errs[i] = h.once(ctx, faults[g], rnd) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
