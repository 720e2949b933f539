package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

var build struct {
	once sync.Once
	path string
	err  error
}

// binary builds the gateway once for all tests of a run.
func binary(t *testing.T) string {
	t.Helper()
	build.once.Do(func() {
		dir, err := os.MkdirTemp("", "breakwater-test-")
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(dir, "breakwater")
		out, err := exec.Command("go", "build", "-o", build.path, ".").CombinedOutput()
		if err != nil {
			build.err = fmt.Errorf("building: %w\n%s", err, out)
		}
	})
	if build.err != nil {
		t.Fatal(build.err)
	}
	return build.path
}

func TestMain(m *testing.M) {
	if helper() {
		return
	}
	code := m.Run()
	if build.path != "" {
		_ = os.RemoveAll(filepath.Dir(build.path))
	}
	os.Exit(code)
}

// gateway is a real process with a data directory of its own.
type gateway struct {
	t               *testing.T
	dir             string
	config          string // path, "" for embedded defaults
	env             []string
	binary          string // "": the one of this run
	public, private string
	cmd             *exec.Cmd
	stdout, stderr  lockedBuffer
	done            chan struct{}
	exit            error
}

// newGateway prepares a process; config may use the words LISTEN, ADMIN and
// DATA for its addresses and its directory.
func newGateway(t *testing.T, config string, env ...string) *gateway {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir(), env: env, public: freeAddr(t), private: freeAddr(t)}
	if config != "" {
		g.config = filepath.Join(g.dir, "breakwater.yml")
		g.write(config)
	}
	t.Cleanup(g.kill)
	return g
}

func (g *gateway) write(config string) {
	g.t.Helper()
	config = strings.NewReplacer("LISTEN", g.public, "ADMIN", g.private, "DATA", g.dir).Replace(config)
	if err := os.WriteFile(g.config, []byte(config), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// freeAddr is an address that nobody else gets while the test lasts.
func freeAddr(t *testing.T) string { t.Helper(); return relaytest.Address(t) }

// start runs the process and waits until it is ready.
func (g *gateway) start() *gateway {
	g.t.Helper()
	g.launch()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		select {
		case <-g.done:
			g.t.Fatalf("the gateway ended: %v\n%s%s", g.exit, g.stdout.String(), g.stderr.String())
		default:
		}
		if resp, err := http.Get("http://" + g.private + "/-/ready"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return g
			}
		}
	}
	g.t.Fatalf("the gateway was not ready in time\n%s%s", g.stdout.String(), g.stderr.String())
	return nil
}

func (g *gateway) launch() {
	g.t.Helper()
	args := []string{}
	if g.config != "" {
		args = append(args, "--config", g.config)
	}
	path := g.binary
	if path == "" {
		path = binary(g.t)
	}
	g.cmd = exec.Command(path, args...)
	g.cmd.Dir = g.dir
	g.cmd.Env = append(os.Environ(), append([]string{
		"BREAKWATER_LISTEN=" + g.public, "BREAKWATER_ADMIN_LISTEN=" + g.private, "BREAKWATER_DATA_DIR=" + g.dir,
	}, g.env...)...)
	g.cmd.Stdout, g.cmd.Stderr = &g.stdout, &g.stderr
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { g.exit = cmd.Wait(); close(done) }(g.cmd, g.done)
}

// kill is kill -9.
func (g *gateway) kill() {
	if g.cmd != nil && g.cmd.Process != nil {
		_ = g.cmd.Process.Kill()
		<-g.done
		http.DefaultClient.CloseIdleConnections() // to it: the next process at this address knows nothing of them
	}
}

// stop asks for an orderly end and returns how it went.
func (g *gateway) stop() error {
	g.t.Helper()
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		g.t.Fatal(err)
	}
	select {
	case <-g.done:
		http.DefaultClient.CloseIdleConnections() // as in kill
		return g.exit
	case <-time.After(2 * time.Minute):
		g.t.Fatal("the gateway did not stop")
		return nil
	}
}

// scrape is the text of /metrics.
func (g *gateway) scrape() string {
	g.t.Helper()
	resp, err := http.Get("http://" + g.private + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return string(text)
}

// eventually polls until cond is nil; waiting for another process has no clock to
// pass in. within is what it may take where nothing else runs; a machine with other
// work has a minute at least, and one more look when that is over.
func eventually(t *testing.T, within time.Duration, cond func() error) {
	t.Helper()
	for deadline := time.Now().Add(max(within, time.Minute)); ; time.Sleep(50 * time.Millisecond) {
		late := time.Now().After(deadline)
		err := cond()
		if err == nil {
			return
		}
		if late {
			t.Fatal(err)
		}
	}
}

// lockedBuffer is written by the process's pipes while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
