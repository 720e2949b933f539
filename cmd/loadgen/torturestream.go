package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"breakwater/relay/spool/jetstream/natstest"
)

// tortureStream is the servers of a gateway under torture whose spool is a
// stream. All methods work on nil: a gateway with a disk.
type tortureStream struct {
	servers *natstest.Cluster
	down    []int
	kills   int
}

// openStream starts servers and makes them the gateway's spool.
func (t *tortureCmd) openStream(gw *gateway) (*tortureStream, error) {
	root := filepath.Join(gw.dir, "nats")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	servers, err := natstest.Launch(natstest.Options{Nodes: t.NATS, Root: root, MaxPayload: 8 << 20})
	if err != nil {
		return nil, err
	}
	gw.spool = fmt.Sprintf("engine: jetstream, max_size: 16GiB, project_share: 1, jetstream: {url: %q, replicas: %d, monitor_urls: [%s]}",
		servers.URL(), t.NATS, quoted(servers.Monitors()))
	if err := gw.writeConfig(); err != nil {
		servers.Close()
		return nil, err
	}
	return &tortureStream{servers: servers}, nil
}

// harm kills a server, or all, in a share of the lives.
func (s *tortureStream) harm(rnd *rand.Rand, share float64) {
	if s == nil || rnd.Float64() >= share {
		return
	}
	s.down = []int{rnd.IntN(s.servers.Nodes())}
	if rnd.IntN(3) == 0 {
		s.down = rnd.Perm(s.servers.Nodes())
	}
	for _, i := range s.down {
		s.servers.Kill(i)
		s.kills++
	}
}

// mend starts what was killed and waits until the servers agree again.
func (s *tortureStream) mend() error {
	if s == nil || len(s.down) == 0 {
		return nil
	}
	for _, i := range s.down {
		if err := s.servers.Restart(i); err != nil {
			return err
		}
	}
	s.down = nil
	return s.servers.Ready(2 * time.Minute)
}

func (s *tortureStream) killed() int {
	if s == nil {
		return 0
	}
	return s.kills
}

func (s *tortureStream) close() { s.servers.Close() }

// quoted is a list as YAML writes it between brackets.
func quoted(list []string) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = fmt.Sprintf("%q", v)
	}
	return strings.Join(words, ", ")
}
