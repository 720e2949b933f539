package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/doctor"
	"breakwater/cmd/breakwater/fleet"
	"breakwater/cmd/breakwater/redistest"
	"breakwater/relay/relaytest"
	"breakwater/relay/spool/jetstream/natstest"
)

// Two gateways on one stream and one Redis, behind a balancer that takes turns:
// doctor follows its canaries to both, and finds nothing. Then a server
// of the stream and Redis go away, and both are named.
func TestDoctorOfSeveralGateways(t *testing.T) {
	t.Parallel() // it mostly waits
	cluster, redis := natstest.Start(t, natstest.Options{Nodes: 3}), redistest.Start(t)
	up := listening(t, relaytest.Options{MaxRequests: 1 << 16})
	config := onStream(strings.Replace(healthyConfig(up.DSN("7")), ", max_size: 1GiB", "", 1), cluster, "")
	config = strings.Replace(config, "limits: {", "limits: {redis: {url: \""+redis.URL()+"\", timeout: 2s}, ", 1)
	a, b := newGateway(t, config).start(), newGateway(t, config).start()
	proxy := newBalancer(t)
	proxy.add(a, b)
	look := func() *doctor.Report {
		return examine(t, a, func(o *doctor.Options) {
			o.Private, o.Peers = "http://"+a.private, []string{"http://" + b.private}
			o.Public = proxy.server.URL
			o.Stream, o.Redis = seenStream(o.Config), seenRedis(o.Config)
		})
	}
	r := look()
	if r.Faults > 0 {
		t.Errorf("%v\n%s", names(r), renderExamination(r))
	}
	for _, check := range []string{"stream", "redis", "delivery", "vitals"} {
		if !slices.ContainsFunc(r.Results, func(res doctor.Result) bool { return res.Check == check && res.Status == doctor.OK }) {
			t.Errorf("nothing good of %s\n%s", check, renderExamination(r))
		}
	}
	cluster.Kill((cluster.Leader("breakwater") + 1) % 3)
	redis.Kill()
	eventually(t, 2*time.Minute, func() error { // the two servers that are left may have to agree first
		r = look()
		if got := names(r); !slices.Equal(got, []string{"redis_unreachable"}) {
			return fmt.Errorf("%v\n%s", got, renderExamination(r))
		}
		return nil
	})
	if !slices.ContainsFunc(r.Results, func(res doctor.Result) bool { return res.Name == "stream_unasked" && res.Status == doctor.Warning }) {
		t.Errorf("the server that is away is not named\n%s", renderExamination(r))
	}
	for _, res := range r.Results {
		if res.Status == doctor.Fault && (res.Cause == "" || res.Fix == "") {
			t.Errorf("a fault without cause or fix: %+v", res)
		}
	}
}

// An answer that takes longer than half of what requests wait is slow.
func TestDoctorRedisSlow(t *testing.T) {
	redis := redistest.Start(t)
	f, err := fleet.New(fleet.Options{URL: redis.URL(), Timeout: time.Minute, Registerer: prometheus.NewRegistry(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if list := redisSeen(t.Context(), f, time.Minute); len(list) != 1 || list[0].Name != "" {
		t.Errorf("%+v", list)
	}
	if list := redisSeen(t.Context(), f, time.Nanosecond); len(list) != 1 || list[0].Name != "redis_slow" || !list[0].Mild {
		t.Errorf("%+v", list)
	}
}
