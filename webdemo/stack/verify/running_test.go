package verify

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// freeAddress is one on loopback that nobody uses now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// output is what a process said; it may be read while the process runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// eventually waits for a condition; the machine may be busy.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if holds() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited two minutes: %s", what)
		}
	}
}

func status(url string) int {
	r, err := (&http.Client{Timeout: 30 * time.Second}).Get(url)
	if err != nil {
		return 0
	}
	defer r.Body.Close()
	_, _ = io.Copy(io.Discard, r.Body)
	return r.StatusCode
}

// A gateway with the file of the manifests, its addresses and its folder moved,
// answers every probe and the scrape where they ask; at SIGTERM the readiness
// probe fails while the door still takes requests.
func TestProbes(t *testing.T) {
	o := load(t, "single")
	set := o.set(t, "breakwater")
	public, private := freeAddress(t), freeAddress(t)
	dir := t.TempDir()
	text := o.data(t, set, "breakwater.yaml")
	for old, now := range map[string]string{`":8080"`: `"` + public + `"`, `":8081"`: `"` + private + `"`, "/data/": dir + "/", "max_size: 16GiB": "max_size: 100MiB", "shutdown_delay: 10s": "shutdown_delay: 5m"} {
		if strings.Count(text, old) != 1 {
			t.Fatalf("the file has %s %d times", old, strings.Count(text, old))
		}
		text = strings.ReplaceAll(text, old, now)
	}
	file := filepath.Join(dir, "breakwater.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary(t), append(set.Spec.Template.Spec.Containers[0].Args, "--config", file)...)
	cmd.Env = append(environment(t, set), "BREAKWATER_DATA_DIR="+dir)
	var said output
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })

	at := map[string]string{"public": public, "private": private}
	c := set.Spec.Template.Spec.Containers[0]
	for _, p := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		url := "http://" + at[p.HTTPGet.Port.StrVal] + p.HTTPGet.Path
		eventually(t, url+" answers 200", func() bool {
			select {
			case err := <-ended:
				t.Fatalf("the gateway ended: %v\n%s", err, said.String())
			default:
			}
			return status(url) == http.StatusOK
		})
	}
	for _, m := range o.monitors {
		for _, e := range m.Spec.Endpoints {
			if got := status("http://" + at[e.Port] + e.Path); got != http.StatusOK {
				t.Errorf("the scrape of %s%s is answered %d", e.Port, e.Path, got)
			}
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ready := "http://" + private + c.ReadinessProbe.HTTPGet.Path
	eventually(t, ready+" answers 503", func() bool { return status(ready) == http.StatusServiceUnavailable })
	if got := status("http://" + public + "/api/relay/healthcheck/live/"); got != http.StatusOK {
		t.Errorf("while it drains, the door answers %d", got)
	}
	if got := status("http://" + private + c.LivenessProbe.HTTPGet.Path); got != http.StatusOK {
		t.Errorf("while it drains, the liveness probe is answered %d", got)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // the second one ends it at once
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("a second SIGTERM does not end it")
	}
}

// The server itself reads the file of the manifests, with the environment of
// its pod.
func TestNATSConfiguration(t *testing.T) {
	o := load(t, "cluster")
	set := o.set(t, "nats")
	text := o.data(t, set, "nats.conf")
	natsTakes(t, text)
	for _, part := range []string{"sync_interval: always", `"0.0.0.0:4222"`, `"0.0.0.0:6222"`, `"0.0.0.0:8222"`, "store_dir: \"/data\""} {
		if !strings.Contains(text, part) {
			t.Errorf("nats.conf does not say %s", part)
		}
	}
	// The server's GB are 2³⁰ bytes, and so are the gateway's GiB. The stream has
	// max_size, the dead letters a tenth of it.
	var store, spool float64
	m := regexp.MustCompile(`max_file_store: (\d+)GB`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("nats.conf has no max_file_store in GB")
	}
	fmt.Sscan(m[1], &store)
	fmt.Sscan(strings.TrimSuffix(parseConfig(t, o.data(t, o.set(t, "breakwater"), "breakwater.yaml")).Spool.MaxSize, "GiB"), &spool)
	if disk := set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests.Storage().AsApproximateFloat64() / (1 << 30); spool <= 0 || store < spool*1.1 || store > disk*0.95 {
		t.Errorf("max_file_store is %g GiB for a stream of %g and its dead letters, on a disk of %g", store, spool, disk)
	}
	for i := range *set.Spec.Replicas {
		if route := fmt.Sprintf("nats://nats-%d.%s:6222", i, set.Spec.ServiceName); !strings.Contains(text, route) {
			t.Errorf("nats.conf has no route %s", route)
		}
	}
}

// natsTakes asks the server that go.mod names to check a file.
func natsTakes(t *testing.T, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "tool", "nats-server", "-t", "-c", file)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "NATS_NAME=nats-0", "NATS_PASSWORD=change-me")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("nats-server does not take its file: %v\n%s", err, out)
	}
}

// Redis starts with the file of the manifests and does what it says.
func TestRedisConfiguration(t *testing.T) {
	o := load(t, "cluster")
	redisTakes(t, o.data(t, o.set(t, "redis"), "redis.conf"))
}

func redisTakes(t *testing.T, text string) {
	t.Helper()
	dir := t.TempDir()
	file, socket := filepath.Join(dir, "redis.conf"), filepath.Join(dir, "s")
	text = strings.Replace(text, "dir /data", "dir "+dir, 1) // the folder is checked where it is named
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", file, "--requirepass", "change-me", "--port", "0", "--unixsocket", socket)
	var said output
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("redis-server: %v; `make deps` installs it", err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	var conn net.Conn
	eventually(t, "redis answers", func() bool {
		select {
		case <-ended:
			t.Fatalf("redis-server ended:\n%s", said.String())
		default:
		}
		var err error
		conn, err = net.Dial("unix", socket)
		return err == nil
	})
	defer conn.Close()
	fmt.Fprint(conn, "AUTH change-me\r\nCONFIG GET maxmemory-policy\r\nCONFIG GET appendonly\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	var answer strings.Builder
	for s := bufio.NewScanner(conn); strings.Count(answer.String(), "\n") < 11 && s.Scan(); {
		answer.WriteString(s.Text() + "\n")
	}
	if !strings.Contains(answer.String(), "volatile-ttl\n") || !strings.HasSuffix(answer.String(), "yes\n") {
		t.Errorf("redis says %q", answer.String())
	}
}
