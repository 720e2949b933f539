package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"breakwater/relay/relaytest"
	"breakwater/relay/spool/jetstream/natstest"
)

// rig is several gateways behind a balancer with everything they share, each
// on an address of its own, and a recording upstream.
type rig struct {
	opts     rigOptions
	dir      string
	net      *network
	gateways []*member
	private  []string // their private addresses
	balancer *member
	front    string // the balancer's address
	redis    *member
	redisAt  string
	nats     *natstest.Cluster
	natsAt   []*netNode
	sink     *sink
	storms   *relaytest.Upstream // the storm project's
	// stormsSent counts them: each is an error of its own.
	stormsSent int
	closers    []func()
}

// rigOptions say what to build.
type rigOptions struct {
	binary   string
	nginx    string // the balancer's configuration file
	gateways int
	nats     int    // 0: each gateway keeps its own disk
	redis    bool   // limits are shared
	loopback bool   // no namespaces
	dir      string // where everything lies; a temporary folder when empty
	limit    int    // requests per second of the limited project
	window   time.Duration
}

const (
	limitedProject = "3"
	limitedKey     = "fedcba9876543210fedcba9876543210"
	stormFirst     = 50  // of a window, and
	stormThen      = 100 // one in that many
	adminToken     = "0123456789abcdef-chaos"
	// crossed is the access log's name of requests that more than one gateway was asked.
	crossed = "crossed.log"
)

// openRig builds and starts everything, and waits until each gateway is ready.
func openRig(ctx context.Context, o rigOptions) (r *rig, err error) {
	r = &rig{opts: o}
	defer func() {
		if err != nil {
			r.close()
			r = nil
		}
	}()
	if r.dir, err = scratch(o.dir); err != nil {
		return r, err
	}
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return r, err
	}
	if r.net, err = openNetwork(o.loopback); err != nil {
		return r, err
	}
	r.closers = append(r.closers, r.net.close)
	steps := []func() error{r.openUpstreams, r.openRedis, r.openNATS, r.openGateways, r.openBalancer}
	for _, step := range steps {
		if ctx.Err() != nil {
			return r, ctx.Err()
		}
		if err := step(); err != nil {
			return r, err
		}
	}
	return r, r.ready(ctx, 3*time.Minute)
}

// close ends what runs and removes the network; the folder stays.
func (r *rig) close() {
	for i := len(r.closers) - 1; i >= 0; i-- {
		r.closers[i]()
	}
	r.closers = nil
}

// member makes a program of a node, with a log of its own.
func (r *rig) member(name string, node *netNode, env []string, argv ...string) (*member, error) {
	log, err := os.Create(filepath.Join(r.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	m := &member{name: name, node: node, argv: argv, env: env, log: log}
	r.closers = append(r.closers, func() { m.down(); _ = log.Close() })
	return m, nil
}

func (r *rig) openUpstreams() error {
	r.sink = newSink(true)
	if err := r.sink.serve(net.JoinHostPort(r.net.host(), "0")); err != nil {
		return err
	}
	r.closers = append(r.closers, r.sink.close)
	r.storms = relaytest.NewUpstream(relaytest.Options{})
	if err := r.storms.Listen(net.JoinHostPort(r.net.host(), "0")); err != nil {
		return err
	}
	r.closers = append(r.closers, r.storms.Close)
	return nil
}

func (r *rig) openRedis() error {
	if !r.opts.redis {
		return nil
	}
	node, err := r.net.add("redis")
	if err != nil {
		return err
	}
	if r.redisAt, err = node.free(6379); err != nil {
		return err
	}
	host, port, _ := net.SplitHostPort(r.redisAt)
	r.redis, err = r.member("redis", node, nil, "redis-server", "--bind", host, "--port", port, "--protected-mode", "no",
		"--dir", r.dir, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec")
	if err != nil {
		return err
	}
	if err := r.redis.up(); err != nil {
		return err
	}
	return untilListening(r.redisAt)
}

func (r *rig) openNATS() error {
	if r.opts.nats == 0 {
		return nil
	}
	o := natstest.Options{Nodes: r.opts.nats, Root: filepath.Join(r.dir, "nats"), Extra: "ping_interval: 10s\nping_max: 2\nwrite_deadline: 5s\nmax_payload: 8MB\n"}
	if err := os.MkdirAll(o.Root, 0o755); err != nil {
		return err
	}
	for i := range o.Nodes {
		node, err := r.net.add(fmt.Sprintf("nats%d", i+1))
		if err != nil {
			return err
		}
		r.natsAt = append(r.natsAt, node)
		o.Hosts, o.Prefix = append(o.Hosts, node.ip), append(o.Prefix, node.command())
	}
	var err error
	if r.nats, err = natstest.Launch(o); err != nil {
		return err
	}
	r.closers = append(r.closers, r.nats.Close)
	return nil
}

func (r *rig) openGateways() error {
	lb, err := r.net.add("balancer")
	if err != nil {
		return err
	}
	if r.front, err = lb.free(80); err != nil {
		return err
	}
	var public []string
	for i := range r.opts.gateways {
		name := fmt.Sprintf("gw%d", i+1)
		node, err := r.net.add(name)
		if err != nil {
			return err
		}
		pub, err := node.free(8080)
		if err != nil {
			return err
		}
		priv, err := node.free(8081)
		if err != nil {
			return err
		}
		dir := filepath.Join(r.dir, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		config := filepath.Join(dir, "breakwater.yml")
		if err := os.WriteFile(config, []byte(r.gatewayConfig(i, pub, priv, dir)), 0o600); err != nil {
			return err
		}
		m, err := r.member(name, node, []string{"BREAKWATER_DATA_DIR=" + dir, "LOG_LEVEL=info"}, r.opts.binary, "--config", config)
		if err != nil {
			return err
		}
		if err := m.up(); err != nil {
			return err
		}
		r.gateways, r.private, public = append(r.gateways, m), append(r.private, priv), append(public, pub)
	}
	return r.writeBalancer(public)
}

// ready waits until every gateway says that it is.
func (r *rig) ready(ctx context.Context, limit time.Duration) error {
	for i, addr := range r.private {
		m, ended := r.gateways[i], r.gateways[i].ended.Load()
		ready := false
		err := until(limit, "waiting for "+m.name, func() bool {
			ready = isReady(addr)
			return ready || ctx.Err() != nil || m.ended.Load() > ended+20
		})
		if err == nil && !ready && ctx.Err() == nil {
			err = fmt.Errorf("%s ends as soon as it is started", m.name)
		}
		if err != nil {
			return fmt.Errorf("%w\n%s", err, tail(m.log.Name()))
		}
	}
	return ctx.Err()
}

// quick asks members that may be frozen or cut off.
var quick = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func isReady(addr string) bool {
	resp, err := quick.Get("http://" + addr + "/-/ready")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func tail(path string) string {
	b, _ := os.ReadFile(path) // it is only shown
	return string(b[max(0, len(b)-3000):])
}

// believed is how long a spool must be said to be empty while something is missing:
// of a stream whose servers do not answer, gateways tell what they saw last.
const believed = 90 * time.Second

// drain waits until no gateway holds anything, and nothing is missing any more or
// will come.
func (r *rig) drain(ctx context.Context, limit time.Duration, missing func() bool) error {
	left, empty := 0.0, time.Time{}
	err := until(limit, "draining", func() bool {
		if ctx.Err() != nil {
			return true
		}
		time.Sleep(200 * time.Millisecond)
		left = 0
		defer func() {
			if left != 0 {
				empty = time.Time{}
			}
		}()
		for _, addr := range r.private {
			m, err := scrape(quick, addr)
			if err != nil {
				left = 1 // not yet known
				return false
			}
			if r.nats != nil { // each gateway tells of the one stream; its own ledger also has what others took out
				left = max(left, m.sum("breakwater_spool_items"))
			} else {
				left += m.sum("breakwater_items_in_spool")
			}
		}
		progress("draining: %.0f items left", left)
		if left == 0 && empty.IsZero() {
			empty = time.Now()
		}
		return left == 0 && (!missing() || time.Since(empty) > believed)
	})
	if err != nil {
		return fmt.Errorf("%w: %.0f items are left", err, left)
	}
	return ctx.Err()
}
