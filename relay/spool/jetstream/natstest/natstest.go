package natstest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// T is what Start needs of a test; *testing.T and *testing.B are one.
type T interface {
	Helper()
	TempDir() string
	Cleanup(func())
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Failed() bool
}

// Options say what to start. Zero values get the default in brackets.
type Options struct {
	// Nodes is the number of servers [1]; more than one form a cluster.
	Nodes int
	// Hosts are the addresses the servers listen on, one per node [127.0.0.1].
	Hosts []string
	// Dirs are the store directories, one per node [below Root].
	Dirs []string
	// Root holds stores, configurations and logs [a temporary directory of the
	// test]. Launch needs it.
	Root string
	// Prefix is put before the command of each node, for example
	// {"ip", "netns", "exec", "n1"} or {"strace", "-f", "-o", "trace"} [nothing].
	// It must become the server by exec, or end with it.
	Prefix [][]string
	// SyncInterval is JetStream's sync_interval, such as 2m [always].
	SyncInterval string
	// MaxPayload is the server's limit of a message in bytes [1 MiB, the server's own].
	MaxPayload int
	// Extra is added to each configuration file, in the server's syntax [nothing].
	Extra string
	// Binary is the server's program [BREAKWATER_NATS_SERVER, else the module's tool].
	Binary string
	// Wait is how long the servers may take until all are ready [60 s].
	Wait time.Duration
}

// Cluster is the started servers. Node numbers begin at 0. Its methods may be
// called by several goroutines.
type Cluster struct {
	opts  Options
	nodes []*node
}

// Start starts the servers and waits until they are ready; the test ends them.
// Where the test fails, the ends of the servers' logs are printed.
func Start(t T, o Options) *Cluster {
	t.Helper()
	if o.Root == "" {
		o.Root = t.TempDir()
	}
	c, err := Launch(o)
	if err != nil {
		t.Fatalf("starting nats-server: %v", err)
		return nil
	}
	t.Cleanup(func() {
		for i, n := range c.nodes {
			if how := n.ended(); how != "" {
				t.Logf("nats-server %d ended by itself: %s", i, how)
			}
		}
		c.Close()
		if t.Failed() {
			for i := range c.nodes {
				t.Logf("nats-server %d said at the end:\n%s", i, c.Log(i))
			}
		}
	})
	return c
}

// Launch is Start without a test: Root must be given, and Close ends the servers.
func Launch(o Options) (*Cluster, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		c, err := launch(o)
		if err == nil || try == 2 {
			return c, err
		}
	}
}

func (o Options) withDefaults() (Options, error) {
	if o.Root == "" {
		return o, errors.New("no Root given")
	}
	if o.Nodes <= 0 {
		o.Nodes = 1
	}
	if o.SyncInterval == "" {
		o.SyncInterval = "always"
	}
	if o.Wait <= 0 {
		o.Wait = time.Minute
	}
	for len(o.Hosts) < o.Nodes {
		o.Hosts = append(o.Hosts, "127.0.0.1")
	}
	for len(o.Prefix) < o.Nodes {
		o.Prefix = append(o.Prefix, nil)
	}
	for i := len(o.Dirs); i < o.Nodes; i++ {
		o.Dirs = append(o.Dirs, filepath.Join(o.Root, "node"+strconv.Itoa(i)))
	}
	if o.Binary == "" {
		var err error
		if o.Binary, err = Binary(); err != nil {
			return o, err
		}
	}
	return o, nil
}

// Binary is the path of the server's program: BREAKWATER_NATS_SERVER when it is
// set, else the tool of the module the working directory is in, which is built
// when it is not in the build cache.
var Binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("BREAKWATER_NATS_SERVER"); path != "" {
		return path, nil
	}
	out, err := exec.Command("go", "tool", "-n", "nats-server").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("building nats-server: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

func launch(o Options) (*Cluster, error) {
	c := &Cluster{opts: o}
	taken := map[int]bool{}
	for i := range o.Nodes {
		n := &node{index: i, host: o.Hosts[i], dir: o.Dirs[i], prefix: o.Prefix[i], binary: o.Binary}
		n.config = filepath.Join(o.Root, fmt.Sprintf("node%d.conf", i))
		n.log = filepath.Join(o.Root, fmt.Sprintf("node%d.log", i))
		for _, p := range []*int{&n.port, &n.routePort, &n.httpPort} {
			*p = freePort(n.host, taken)
		}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if err := os.WriteFile(n.config, []byte(c.configOf(n)), 0o644); err != nil {
			return nil, err
		}
	}
	for _, n := range c.nodes {
		if err := n.start(); err != nil {
			c.Close()
			return nil, err
		}
	}
	if err := c.Ready(o.Wait); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// freePort finds a port that nobody listens on. It lies below the range of
// outgoing connections (32768 and up), so that only another server can take it.
// An address that this process does not have (that of a network namespace) is
// not asked.
func freePort(host string, taken map[int]bool) int {
	for {
		port := 15000 + rand.IntN(15000)
		if taken[port] {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil {
			_ = l.Close()
		} else if errors.Is(err, errInUse) {
			continue
		}
		taken[port] = true
		return port
	}
}

func (c *Cluster) configOf(n *node) string {
	var b strings.Builder
	o := c.opts
	fmt.Fprintf(&b, "server_name: node%d\nlisten: %q\nhttp: %q\n", n.index, n.address(n.port), n.address(n.httpPort))
	if o.MaxPayload > 0 {
		fmt.Fprintf(&b, "max_payload: %d\n", o.MaxPayload)
	}
	fmt.Fprintf(&b, "jetstream {\n  store_dir: %q\n  sync_interval: %q\n  max_memory_store: 64MB\n  max_file_store: 4TB\n}\n", n.dir, strings.Trim(o.SyncInterval, `"`))
	if o.Nodes > 1 {
		fmt.Fprintf(&b, "cluster {\n  name: natstest\n  listen: %q\n  routes: [\n", n.address(n.routePort))
		for _, other := range c.nodes {
			fmt.Fprintf(&b, "    %q\n", "nats://"+other.address(other.routePort))
		}
		b.WriteString("  ]\n}\n")
	}
	b.WriteString(o.Extra)
	return b.String()
}

// URL names all servers, separated by commas, as jetstream.Config.URL wants.
func (c *Cluster) URL() string {
	var urls []string
	for i := range c.nodes {
		urls = append(urls, c.NodeURL(i))
	}
	return strings.Join(urls, ",")
}

// NodeURL is the address of one server for clients.
func (c *Cluster) NodeURL(i int) string { return "nats://" + c.nodes[i].address(c.nodes[i].port) }

// Monitors are the servers' monitoring addresses, http://host:port.
func (c *Cluster) Monitors() []string {
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, n.monitor())
	}
	return urls
}

// Nodes is the number of servers.
func (c *Cluster) Nodes() int { return len(c.nodes) }

// Dir is the store directory of one server.
func (c *Cluster) Dir(i int) string { return c.nodes[i].dir }

// Log is the last part of what one server wrote, up to 4 KB.
func (c *Cluster) Log(i int) string {
	b, err := os.ReadFile(c.nodes[i].log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(len(b)-4096, 0):])
}

// Close ends all servers by SIGKILL. Their stores stay.
func (c *Cluster) Close() {
	for _, n := range c.nodes {
		n.kill()
	}
}
