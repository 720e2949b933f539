package natstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

var errInUse error = syscall.EADDRINUSE

// node is one server.
type node struct {
	index                     int
	host, dir, config, log    string
	prefix                    []string
	binary                    string
	port, routePort, httpPort int

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	told bool          // to end
}

func (n *node) address(port int) string { return net.JoinHostPort(n.host, strconv.Itoa(port)) }

func (n *node) monitor() string { return "http://" + n.address(n.httpPort) }

func (n *node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running() {
		return nil
	}
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	args := append(append([]string{}, n.prefix...), n.binary, "-c", n.config)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, dieWithUs()
	done, started := make(chan struct{}), make(chan error, 1)
	go func() {
		// The kernel ends the server with the thread that started it, so that
		// thread must not end earlier.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(done)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	n.cmd, n.done, n.told = cmd, done, false
	return nil
}

// ended says how a server ended that nobody told to; "" when none did.
func (n *node) ended() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd == nil || n.told || n.running() {
		return ""
	}
	return n.cmd.ProcessState.String()
}

// running tells whether the process lives. Under mu.
func (n *node) running() bool {
	if n.cmd == nil {
		return false
	}
	select {
	case <-n.done:
		return false
	default:
		return true
	}
}

func (n *node) signal(sig syscall.Signal, wait bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running() {
		return
	}
	_ = n.cmd.Process.Signal(sig)
	if wait {
		n.told = true
		<-n.done
	}
}

func (n *node) kill() { n.signal(syscall.SIGKILL, true) }

// Kill ends a server by SIGKILL, as a crash of its machine would except for
// what its kernel has not written, and returns when it is gone.
func (c *Cluster) Kill(i int) { c.nodes[i].kill() }

// Stop ends a server by SIGTERM and returns when it is gone.
func (c *Cluster) Stop(i int) {
	c.Resume(i) // a stopped process does not hear of it
	c.nodes[i].signal(syscall.SIGTERM, true)
}

// Pause freezes a server by SIGSTOP: its connections stay open and silent. It
// returns when the server has stopped, where /proc tells.
func (c *Cluster) Pause(i int) {
	c.nodes[i].signal(syscall.SIGSTOP, false)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.PID(i)))
		if _, state, ok := bytes.Cut(stat, []byte(") ")); err != nil || ok && state[0] != 'R' && state[0] != 'S' && state[0] != 'D' {
			return
		}
	}
}

// Resume ends a Pause.
func (c *Cluster) Resume(i int) { c.nodes[i].signal(syscall.SIGCONT, false) }

// Restart starts a server that was ended, on its old store and ports. It does
// not wait; see Ready.
func (c *Cluster) Restart(i int) error { return c.nodes[i].start() }

// PID is the process of a server, 0 when it does not run.
func (c *Cluster) PID(i int) int {
	n := c.nodes[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running() {
		return 0
	}
	return n.cmd.Process.Pid
}

// routesOfAPeer is how many connections two servers of a cluster hold: the
// server's default pool of three, and one for the system account.
const routesOfAPeer = 4

// Ready waits until every server that runs is healthy (its JetStream is
// current), they have a leader, and each is connected to each: servers whose
// routes are not all there lose answers, which travel on the account's own route
// of the pool.
func (c *Cluster) Ready(wait time.Duration) error {
	var err error
	for deadline := time.Now().Add(wait); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = c.healthy(); err == nil {
			return nil
		}
		if errors.Is(err, errEnded) {
			return err
		}
	}
	return fmt.Errorf("not ready after %s: %w", wait, err)
}

var errEnded = errors.New("the server ended")

func (c *Cluster) healthy() error {
	up, routes := 0, make([]int, 0, len(c.nodes))
	for i, n := range c.nodes {
		n.mu.Lock()
		started, running := n.cmd != nil, n.running()
		n.mu.Unlock()
		if !running {
			if started && n.cmd.ProcessState != nil && n.cmd.ProcessState.Exited() && n.cmd.ProcessState.ExitCode() == 1 {
				return fmt.Errorf("node %d: %w: %s", i, errEnded, c.Log(i))
			}
			continue
		}
		up++
		var health struct{ Status, Error string }
		if err := n.get("/healthz", &health); err != nil {
			return fmt.Errorf("node %d: %w", i, err)
		}
		if len(c.nodes) == 1 {
			continue
		}
		var js struct {
			Meta struct {
				Leader string `json:"leader"`
				Size   int    `json:"cluster_size"`
			} `json:"meta_cluster"`
		}
		if err := n.get("/jsz", &js); err != nil {
			return fmt.Errorf("node %d: %w", i, err)
		}
		if js.Meta.Leader == "" || js.Meta.Size < len(c.nodes) {
			return fmt.Errorf("node %d: no leader among %d", i, js.Meta.Size)
		}
		var connected struct {
			Routes int `json:"num_routes"`
		}
		if err := n.get("/routez", &connected); err != nil {
			return fmt.Errorf("node %d: %w", i, err)
		}
		routes = append(routes, connected.Routes)
	}
	if up == 0 {
		return errors.New("no server runs")
	}
	for _, have := range routes {
		if want := (up - 1) * routesOfAPeer; have < want {
			return fmt.Errorf("a server has %d routes to %d others, want %d", have, up-1, want)
		}
	}
	return nil
}

var client = &http.Client{Timeout: 5 * time.Second}

func (n *node) get(path string, into any) error {
	resp, err := client.Get(n.monitor() + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// Leader is the node that leads a stream. It waits for one, at most half a minute:
// then it is -1.
func (c *Cluster) Leader(stream string) int {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if i := c.leader(stream); i >= 0 || time.Now().After(deadline) {
			return i
		}
	}
}

func (c *Cluster) leader(stream string) int {
	for _, n := range c.nodes {
		var js struct {
			Accounts []struct {
				Streams []struct {
					Name    string `json:"name"`
					Cluster struct {
						Leader string `json:"leader"`
					} `json:"cluster"`
				} `json:"stream_detail"`
			} `json:"account_details"`
		}
		if n.get("/jsz?streams=true", &js) != nil {
			continue
		}
		for _, a := range js.Accounts {
			for _, s := range a.Streams {
				for i := range c.nodes {
					if s.Name == stream && s.Cluster.Leader == "node"+strconv.Itoa(i) {
						return i
					}
				}
			}
		}
	}
	return -1
}
