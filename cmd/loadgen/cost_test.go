package main

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// What a request costs is counted by the kernel and by Redis: each part of a
// small rig did something for it, and nothing costs less than its own bytes.
func TestCost(t *testing.T) {
	o := rigOptions{binary: binary(t), nginx: "../../webdemo/stack/cluster/nginx.conf", gateways: 1, redis: true, loopback: os.Geteuid() != 0, dir: t.TempDir(), limit: 1000, window: time.Minute}
	if err := o.needs(); err != nil {
		t.Fatal(err)
	}
	r, err := openRig(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	longEnough(t, func(d time.Duration) error {
		rep, err := (&costCmd{Kind: "envelope", Size: "4096", Time: d, Conns: 8}).measure(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if rep.Bytes < 4096 || len(rep.Parts) != 3 {
			t.Fatalf("%+v", rep)
		}
		if rep.Requests < 10 || rep.NotOK != 0 || rep.Redis < 1 || rep.Fsyncs <= 0 {
			return fmt.Errorf("%+v", rep)
		}
		for _, p := range rep.Parts {
			if p.CPUPerM <= 0 || p.RSS <= 0 || p.Part == "gateways" && p.Disk < 4096 {
				return fmt.Errorf("%+v", p)
			}
			if received := p.Received; !o.loopback && (received <= 0 || p.Part != "redis" && received < 4096) {
				t.Fatalf("%s received %.0f bytes for a request of %d", p.Part, received, rep.Bytes)
			}
		}
		return nil
	})
}
