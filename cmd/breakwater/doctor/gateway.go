package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"breakwater/ingest"
)

// gateway finds the running process by its private listener and gets a canary.
func (x *exam) gateway(ctx context.Context) bool {
	x.defaults()
	a, err := call(ctx, x.client, http.MethodGet, x.o.Private+"/-/healthy", nil, nil)
	switch {
	case err != nil:
		x.absent(bare(err))
		return false
	case a.status != http.StatusOK || !strings.HasPrefix(string(a.body), "healthy"):
		x.fault("gateway", x.o.Private, "port_taken", a.text())
		return false
	}
	if a, err = call(ctx, x.client, http.MethodGet, x.o.Private+"/-/ready", nil, nil); err != nil || a.status != http.StatusOK {
		detail := ""
		if err == nil {
			detail = a.text()
		}
		x.fault("gateway", x.o.Private, "gateway_not_ready", detail)
		return false
	}
	if a, err = call(ctx, x.client, http.MethodPost, x.o.Private+"/api/v1/canaries", x.bearer(), nil); err != nil || a.status != http.StatusCreated {
		if err == nil && (a.status == http.StatusUnauthorized || a.status == http.StatusForbidden) {
			x.fault("gateway", x.o.Private, "token_refused", a.text())
		} else {
			x.fault("gateway", x.o.Private, "port_taken", "no canaries to be had: not this version of Breakwater?")
		}
		return false
	}
	var issued struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(a.body, &issued); err != nil || issued.ID == "" {
		x.fault("gateway", x.o.Private, "port_taken", "no canaries to be had: not this version of Breakwater?")
		return false
	}
	x.canary = issued.ID
	x.ok("gateway", x.o.Private, "runs and is ready")
	x.sameConfig(ctx)
	for _, p := range x.o.Peers {
		x.peer(ctx, p)
	}
	return true
}

// peer lets another gateway behind the same address take part in the canary.
func (x *exam) peer(ctx context.Context, private string) {
	a, err := call(ctx, x.client, http.MethodPut, private+"/api/v1/canaries/"+x.canary, x.bearer(), nil)
	switch {
	case err != nil:
		x.fault("gateway", private, "gateway_down", bare(err))
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		x.fault("gateway", private, "token_refused", a.text())
	case a.status != http.StatusNoContent:
		x.fault("gateway", private, "port_taken", a.text())
	default:
		x.ok("gateway", private, "takes part in the canary")
	}
}

// everyone is the private addresses of all gateways.
func (x *exam) everyone() []string { return append([]string{x.o.Private}, x.o.Peers...) }

// defaults are the addresses that nobody gave.
func (x *exam) defaults() {
	s := x.o.Config.Server
	if x.o.Private == "" {
		x.o.Private = "http://" + loopback(s.AdminListen)
	}
	if x.o.Public == "" {
		scheme := "http"
		if s.TLS.Enabled() {
			scheme = "https"
		}
		x.o.Public = scheme + "://" + loopback(s.Listen)
	}
	x.o.Private, x.o.Public = strings.TrimSuffix(x.o.Private, "/"), strings.TrimSuffix(x.o.Public, "/")
	for i, p := range x.o.Peers {
		x.o.Peers[i] = strings.TrimSuffix(p, "/")
	}
}

// loopback is where this machine reaches a listener on all its addresses.
func loopback(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// absent tells a gateway that does not run from one that cannot: its address
// may be another program's.
func (x *exam) absent(detail string) {
	taken := false
	for _, addr := range []string{x.o.Config.Server.AdminListen, x.o.Config.Server.Listen} {
		l, err := net.Listen("tcp", addr)
		if err == nil {
			_ = l.Close()
			continue
		}
		if errors.Is(err, unix.EADDRINUSE) {
			x.fault("gateway", addr, "port_taken", detail)
			taken = true
		}
	}
	if !taken {
		x.fault("gateway", x.o.Private, "gateway_down", detail)
	}
}

// sameConfig compares the file with what is in force.
func (x *exam) sameConfig(ctx context.Context) {
	families, err := x.scrape(ctx)
	if err != nil {
		x.fault("gateway", x.o.Private+"/metrics", "metrics_unreachable", err.Error())
		return
	}
	for _, m := range families["breakwater_config_hash_info"].GetMetric() {
		for _, l := range m.Label {
			if l.GetName() == "hash" && l.GetValue() != x.o.Config.Hash() {
				x.warn("gateway", x.o.Path, "config_not_loaded", "in force: "+l.GetValue()+", in the file: "+x.o.Config.Hash())
			}
		}
	}
}

func (x *exam) bearer() http.Header {
	h := http.Header{}
	if t := x.o.Config.Server.AdminToken.Reveal(); t != "" {
		h.Set("Authorization", "Bearer "+t)
	}
	return h
}

// seen is what the gateways saw of the canary's requests so far, in the order
// in which it was asked for: requests go out one by one.
func (x *exam) seen(ctx context.Context) (all ingest.CanaryView) {
	for _, private := range x.everyone() {
		var v ingest.CanaryView
		_ = getJSON(ctx, x.client, private+"/api/v1/canaries/"+x.canary, x.bearer(), &v)
		all.Attempts = append(all.Attempts, v.Attempts...)
		if had := x.told[private]; len(v.Sightings) > had {
			x.sightings, x.told[private] = append(x.sightings, v.Sightings[had:]...), len(v.Sightings)
		}
	}
	all.Sightings = x.sightings
	return all
}

// passes tells the gateway which paths work, for its dead-man metric.
func (x *exam) passes(ctx context.Context) {
	if x.canary == "" {
		return
	}
	for path, ok := range x.passed {
		for _, private := range x.everyone() {
			if ok {
				_, _ = call(ctx, x.client, http.MethodPost, fmt.Sprintf("%s/api/v1/canaries/%s/passed?path=%s", private, x.canary, path), x.bearer(), nil)
			}
		}
	}
}

// clock compares this machine's with another's, which told it at a moment
// between before and after.
func (x *exam) clock(whose string, theirs, before, after time.Time) {
	if theirs.IsZero() {
		return
	}
	off := time.Duration(0)
	switch { // a Date header has whole seconds
	case theirs.Add(time.Second).Before(before):
		off = before.Sub(theirs)
	case theirs.After(after.Add(time.Second)):
		off = theirs.Sub(after)
	}
	if off > 30*time.Second {
		x.fault("clock", whose, "clock_off", fmt.Sprintf("here %s, there %s", before.UTC().Format(time.RFC3339), theirs.UTC().Format(time.RFC3339)))
		return
	}
	x.ok("clock", whose, "agrees within "+max(off, time.Second).Round(time.Second).String())
}
