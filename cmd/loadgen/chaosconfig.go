package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

const chaosConfig = `server: {listen: %q, admin_listen: %q, admin_token: %q, trusted_proxies: [%s/32], shutdown_timeout: 20s}
limits:
  per_ip: {rate: 1000000/s, burst: 10000000}
%sspool: {engine: %s, dir: %q, max_size: 8GiB, %s}
projects:
  - id: 1
    name: load
    keys: [{public: %s}]
    upstreams: [{name: up, type: sentry, dsn: "http://%s@%s/1", timeout: 5s}]
    limits: {per_key: {rate: 1000000/s, burst: 10000000}}
    storm: {then_one_in: 1}
  - id: 2
    name: storm
    keys: [{public: %s}]
    upstreams: [{name: up, type: sentry, dsn: "http://%s@%s/1", timeout: 5s}]
    limits: {per_key: {rate: 1000000/s, burst: 10000000}}
    storm: {window: %s, first: %d, then_one_in: %d}
  - id: 3
    name: limited
    keys: [{public: %s}]
    upstreams: [{name: up, type: sentry, dsn: "http://%s@%s/1", timeout: 5s}]
    limits: {per_key: {rate: %d/s, burst: %d}}
    storm: {then_one_in: 1}
`

// upstreamKey tells the upstream which gateway delivers: the digit before the last.
func upstreamKey(gateway int) string {
	return fmt.Sprintf("0123456789abcdef0123456789abc0%x0", gateway%16)
}

// delivererOf reads it from the header that a gateway authenticates with.
func delivererOf(auth string) int {
	_, key, ok := strings.Cut(auth, "sentry_key=0123456789abcdef0123456789abc0")
	if !ok || len(key) < 1 {
		return -1
	}
	return strings.IndexByte("0123456789abcdef", key[0])
}

// gatewayConfig is the configuration of the i-th gateway. All are the same
// but for addresses, folders and the key they show the upstream.
func (r *rig) gatewayConfig(i int, public, private, dir string) string {
	lb := r.net.nodes["balancer"].ip
	if !r.net.canCut() {
		lb = "127.0.0.1" // what nginx on loopback connects from
	}
	redis := ""
	if r.opts.redis {
		redis = fmt.Sprintf("  redis: {url: \"redis://%s\", timeout: 1s}\n", r.redisAt)
	}
	engine, store := "disk", "min_free: 64MiB"
	if r.nats != nil {
		engine = "jetstream"
		store = fmt.Sprintf("jetstream: {url: %q, replicas: %d, monitor_urls: [%s]}", r.nats.URL(), r.opts.nats, quoted(r.nats.Monitors()))
	}
	key, up := upstreamKey(i), r.sink.port.addr
	return fmt.Sprintf(chaosConfig, public, private, adminToken, lb, redis, engine, filepath.Join(dir, "spool"), store,
		loadKey, key, up,
		stormKey, key, strings.TrimPrefix(r.storms.URL(), "http://"), r.opts.window, stormFirst, stormThen,
		limitedKey, key, up, r.opts.limit, max(r.opts.limit/2, 30))
}
