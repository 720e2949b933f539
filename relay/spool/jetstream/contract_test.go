package jetstream

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/relay/spool"
	"breakwater/relay/spool/jetstream/natstest"
	"breakwater/relay/spool/spooltest"
)

// quick are times that tests can wait for. giveUp is none of them: what is stored
// must not be refused because the machine stood still for a moment.
var quick = times{
	ackWait: time.Second, giveUp: 8 * time.Second, hold: 30 * time.Second, nakMost: 50 * time.Millisecond,
	flush: 20 * time.Millisecond, idle: 2 * time.Second, statsAge: time.Nanosecond,
}

var places atomic.Int64

// place is a stream name of its own on a cluster.
func newPlace() string { return fmt.Sprintf("t%d", places.Add(1)) }

func contractConfig(c *natstest.Cluster, stream string, o spooltest.Options) Config {
	return Config{
		URL: c.URL(), Monitors: c.Monitors(), Stream: stream, Replicas: c.Nodes(),
		MaxSize: o.MaxSize, MaxAge: o.MaxAge, ProjectShare: o.ProjectShare, DeadLetterSize: o.DeadLetterSize,
		Observer: o.Observer, Now: o.Now, times: quick,
	}
}

func mustOpen(t testing.TB, cfg Config) *Spool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tick(s spool.Spool) { s.(*Spool).Tick() }

// The suite on one server. Crash ends the gateway as kill -9 would and kills the
// server with it; Away kills the server and starts it again.
func TestContract(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	spooltest.Run(t, func(t *testing.T) spooltest.Harness {
		stream := newPlace()
		return spooltest.Harness{
			Open: func(t testing.TB, o spooltest.Options) spool.Spool {
				return mustOpen(t, contractConfig(c, stream, o))
			},
			Tick:   tick,
			Shared: true,
			Crash: func(t testing.TB, s spool.Spool) {
				s.(*Spool).abandon()
				c.Kill(0)
				if err := c.Restart(0); err != nil {
					t.Fatal(err)
				}
			},
			Away: func(t testing.TB, away bool) {
				if away {
					c.Kill(0)
				} else if err := c.Restart(0); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}
