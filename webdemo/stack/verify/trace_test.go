package verify

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// confined is the command that starts a program as the unit does, as far as
// that goes without systemd: another user without a capability, and nothing to
// write but the state directory. Only root can arrange that.
func confined(t *testing.T, state string) []string {
	t.Helper()
	script := `mount --make-rprivate / && mount --bind "$0" "$0" && mount -o remount,bind,ro / && shift 0 && exec setpriv --reuid=65532 --regid=65532 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"`
	prefix := []string{"unshare", "--mount", "sh", "-c", script, state}
	if out, err := exec.Command(prefix[0], append(prefix[1:], "true")...).CombinedOutput(); err != nil {
		t.Logf("the gateway runs as this user and sees this machine's disk, because only root may change that: %v %s", err, out)
		return nil
	}
	for _, name := range []string{state, filepath.Dir(state), filepath.Dir(filepath.Dir(state))} {
		if err := os.Chmod(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(state, 65532, 65532); err != nil {
		t.Fatal(err)
	}
	return prefix
}

// The gateway lives through a day in small under the restrictions of its unit:
// every system call it makes is one that the filter lets through, every socket
// of a family it may use, no memory is both writable and executable, and what
// it writes is in its state directory.
func TestUnitRestrictions(t *testing.T) {
	u := readUnit(t, "breakwater.service")
	may := allowed(t, u)
	state := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(state, 0o755); err != nil {
		t.Fatal(err)
	}
	prefix := confined(t, state)
	var delivered atomic.Int64
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		delivered.Add(1)
	}))
	defer upstream.Close()
	public, private := freeAddress(t), freeAddress(t)
	config := filepath.Join(filepath.Dir(state), "breakwater.yml")
	text := fmt.Sprintf("server: {listen: %q, admin_listen: %q}\nvitals: {settle: 1s}\nprojects:\n  - {id: 1, name: shop, keys: [{public: %[3]s}], upstreams: [{dsn: \"http://%[3]s@%[4]s/1\"}]}\n",
		public, private, "d3a0b1c2d3e4f5061728394a5b6c7d8e", strings.TrimPrefix(upstream.URL, "http://"))
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}

	life := func(log string, load func(process *os.Process)) {
		t.Helper()
		args := append(append([]string{}, prefix...), "strace", "-f", "-qq", "-e", "signal=none", "-s", "300", "-o", log, binary(t), "serve", "--config", config)
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Env = state, []string{"PATH=" + os.Getenv("PATH"), "BREAKWATER_DATA_DIR=" + state}
		var said output
		cmd.Stdout, cmd.Stderr = &said, &said
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatalf("strace: %v (`make deps` installs it)", err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		eventually(t, "the gateway is ready", func() bool {
			select {
			case err := <-ended:
				t.Fatalf("the gateway ended: %v\n%s", err, said.String())
			default:
			}
			return status("http://"+private+"/-/ready") == http.StatusOK
		})
		load(cmd.Process)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the end: %v\n%s", err, said.String())
			}
		case <-time.After(time.Minute):
			t.Fatalf("the gateway does not end\n%s", said.String())
		}
	}
	log := filepath.Join(state, "trace")
	life(log+".1", func(process *os.Process) {
		post := func(path string, body []byte) {
			r, err := http.Post("http://"+public+path+"?sentry_key=d3a0b1c2d3e4f5061728394a5b6c7d8e", "application/octet-stream", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			if answer, _ := io.ReadAll(r.Body); r.StatusCode >= 300 {
				t.Fatalf("%s: %s %s", path, r.Status, answer)
			}
		}
		for i := range 20 {
			post("/api/1/store/", fmt.Appendf(nil, `{"message":"error %d","level":"error","release":"shop@1"}`, i))
			post("/api/1/vitals/", fmt.Appendf(nil, `{"name":"LCP","value":1800,"id":"v5-%d","navigationType":"navigate","route":"/"}`, i))
		}
		large := bytes.Repeat([]byte("breakwater"), 300_000) // goes to a file beside the spool
		post("/api/1/envelope/", append(fmt.Appendf(nil, "{\"event_id\":\"9ec79c33ec9942ab8353589fcb2e04dc\"}\n{\"type\":\"attachment\",\"length\":%d,\"filename\":\"a.bin\"}\n", len(large)), large...))
		eventually(t, "everything is delivered", func() bool { return delivered.Load() >= 21 })
		_ = syscall.Kill(-process.Pid, syscall.SIGHUP)
		for _, path := range []string{"/metrics", "/", "/api/v1/status", "/debug/pprof/heap"} {
			if got := status("http://" + private + path); got != http.StatusOK {
				t.Errorf("%s is answered %d", path, got)
			}
		}
	})
	life(log+".2", func(*os.Process) {}) // and what rests on disk is read again

	calls := 0
	for _, name := range []string{log + ".1", log + ".2"} {
		calls += inspect(t, name, u, may, state)
	}
	if calls < 1000 {
		t.Errorf("only %d system calls were seen", calls)
	}
	t.Logf("%d system calls", calls)
}

var (
	callLine   = regexp.MustCompile(`^\d+\s+(?:<\.\.\. )?([a-z0-9_]+)(\(| resumed)(.*)`)
	firstPath  = regexp.MustCompile(`"([^"]*)"`)
	writeFlags = regexp.MustCompile(`O_WRONLY|O_RDWR|O_CREAT`)
	changesDir = regexp.MustCompile(`^(mkdir|unlink|rename|link|symlink|rmdir|truncate|chmod|fchmodat|chown|fchownat|mknod)`)
)

// inspect reads one trace, from the gateway's own first call on, and tells how
// many calls it holds.
func inspect(t *testing.T, name string, u unit, may map[string]bool, state string) (calls int) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	families := strings.Fields(u.one(t, "RestrictAddressFamilies"))
	refused := map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		m := callLine.FindStringSubmatch(s.Text())
		if m == nil {
			continue
		}
		call, rest := m[1], m[3]
		if m[2] != "(" {
			continue // the second half of a call that is on another line
		}
		calls++
		why := ""
		switch {
		case !may[call]:
			why = "is not in SystemCallFilter"
		case call == "mmap" && strings.Contains(rest, "PROT_WRITE|PROT_EXEC"), strings.Contains(call, "mprotect") && strings.Contains(rest, "PROT_EXEC"):
			why = "wants memory that MemoryDenyWriteExecute refuses"
		case call == "socket" && !strings.Contains(" "+strings.Join(families, ", ")+", ", " "+strings.SplitN(rest, ",", 2)[0]+","):
			why = "is not in RestrictAddressFamilies"
		case strings.HasPrefix(call, "open") && writeFlags.MatchString(rest), changesDir.MatchString(call):
			if p := firstPath.FindStringSubmatch(rest); p != nil && !strings.HasPrefix(p[1], state) && p[1] != "/dev/null" {
				why = "writes outside the state directory"
			}
		}
		if key := call + why; why != "" && !refused[key] {
			refused[key] = true
			t.Errorf("%s: %s %s", filepath.Base(name), why, s.Text())
		}
	}
	return calls
}
