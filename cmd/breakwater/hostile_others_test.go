package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The test's own helpers are processes of the test binary, so that neither
// the attacker's goroutines nor each other's stand in their way: the machine's
// scheduler shares it between them.
const (
	envBare      = "BREAKWATER_TEST_BARE"
	envNeighbour = "BREAKWATER_TEST_NEIGHBOURS"
)

// helper runs what the environment asks for instead of the tests; false
// without such a wish.
func helper() bool {
	switch {
	case os.Getenv(envBare) != "":
		serveBare(os.Getenv(envBare))
	case os.Getenv(envNeighbour) != "":
		beNeighbours(os.Getenv(envNeighbour))
	default:
		return false
	}
	return true
}

// startHelper starts this binary again; it ends with the test, for its input ends.
func startHelper(t *testing.T, env string) (in io.WriteCloser, out *bufio.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return in, bufio.NewReader(stdout)
}

// startBare starts a server that reads what comes, within the gateway's limits
// on size and time, and drops it.
func startBare(t *testing.T) (addr string) {
	t.Helper()
	addr = freeAddr(t)
	startHelper(t, envBare+"="+addr)
	eventually(t, 30*time.Second, func() error {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	return addr
}

func serveBare(addr string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
		os.Exit(0)
	}()
	s := &http.Server{
		Addr: addr, ReadHeaderTimeout: 3 * time.Second, ReadTimeout: 3 * time.Second, MaxHeaderBytes: 28 << 10,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			limit := int64(1 << 20)
			switch {
			case strings.Contains(r.URL.Path, "/envelope"):
				limit = 40 << 20
			case strings.Contains(r.URL.Path, "/minidump"):
				limit = 101 << 20
			}
			n, err := int64(0), error(nil)
			if r.ContentLength <= limit {
				n, err = io.Copy(io.Discard, io.LimitReader(r.Body, limit+1))
			}
			switch {
			case err != nil:
				w.Header().Set("Connection", "close")
				w.WriteHeader(http.StatusRequestTimeout)
			case n > limit || r.ContentLength > limit:
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			default:
				_, _ = io.WriteString(w, `{"id":"00000000000000000000000000000000"}`)
			}
		}),
	}
	if err := s.ListenAndServe(); err != nil {
		fmt.Fprintln(os.Stderr, "the bare server:", err)
	}
}

// templateNumber is the event whose id neighbours replace by their own.
const templateNumber = 0xfedcba9876543

// crowd is how many well-behaved clients there are, each with one connection;
// pause is what each waits between two requests.
const (
	crowd = 4
	pause = 3 * time.Millisecond
)

// neighbours are well-behaved clients beside whatever else a test does.
type neighbours struct {
	in   io.WriteCloser
	out  *bufio.Reader
	sent int
}

// p99 is a 99th percentile, and of how many requests.
type p99 struct {
	value time.Duration
	of    int
}

func (p p99) String() string {
	return fmt.Sprintf("%v of %d", p.value.Round(10*time.Microsecond), p.of)
}

// waits are what the clients say about one time.
type waits struct {
	Took []float64 // seconds
	Bad  []string
}

func startNeighbours(t *testing.T, addr string, template []byte) *neighbours {
	t.Helper()
	in, out := startHelper(t, envNeighbour+"="+addr)
	if _, err := fmt.Fprintf(in, "%d\n%s", len(template), template); err != nil {
		t.Fatal(err)
	}
	return &neighbours{in: in, out: out}
}

// during lets the clients send their requests while do runs.
func (n *neighbours) during(t *testing.T, do func()) p99 {
	t.Helper()
	if _, err := io.WriteString(n.in, "begin\n"); err != nil {
		t.Fatal(err)
	}
	do()
	if _, err := io.WriteString(n.in, "end\n"); err != nil {
		t.Fatal(err)
	}
	var r waits
	line, err := n.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil {
		t.Fatalf("the neighbours: %v", err)
	}
	if len(r.Bad) > 0 {
		t.Errorf("%d of %d requests of well-behaved clients went wrong: %s", len(r.Bad), len(r.Took), r.Bad[0])
	}
	n.sent += len(r.Took)
	slices.Sort(r.Took)
	return p99{time.Duration(quantile(r.Took, 0.99) * float64(time.Second)), len(r.Took)}
}

// end lets the clients go home.
func (n *neighbours) end(t *testing.T) {
	t.Helper()
	if err := n.in.Close(); err != nil {
		t.Error(err)
	}
}

// beNeighbours is the process of the clients: its input is the length of a
// request, the request, and begin and end by turns; its output a report for each end.
func beNeighbours(addr string) {
	in := bufio.NewReader(os.Stdin)
	var size int
	if _, err := fmt.Fscanf(in, "%d\n", &size); err != nil {
		fmt.Fprintln(os.Stderr, "the neighbours:", err)
		os.Exit(1)
	}
	template := make([]byte, size)
	if _, err := io.ReadFull(in, template); err != nil {
		fmt.Fprintln(os.Stderr, "the neighbours:", err)
		os.Exit(1)
	}
	clients := make([]*client, crowd)
	for i := range clients {
		clients[i] = &client{wire: wire{addr: addr}, template: template, number: i * 1_000_000}
	}
	for {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		stop, done := make(chan struct{}), sync.WaitGroup{}
		for _, c := range clients {
			done.Go(func() { c.run(stop) })
		}
		_, err := in.ReadString('\n')
		close(stop)
		done.Wait()
		r := waits{}
		for _, c := range clients {
			r.Took, r.Bad = append(r.Took, c.Took...), append(r.Bad, c.Bad...)
			c.waits = waits{}
		}
		if out, mistake := json.Marshal(r); errors.Join(err, mistake) == nil {
			fmt.Printf("%s\n", out)
		}
	}
}

// client is one of them.
type client struct {
	wire
	waits
	template []byte
	number   int
}

func (c *client) run(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
		c.number++
		request := bytes.ReplaceAll(c.template, fmt.Appendf(nil, "%032x", templateNumber+1), fmt.Appendf(nil, "%032x", templateNumber+1+c.number))
		began := time.Now()
		a, err := c.do(request)
		c.Took = append(c.Took, time.Since(began).Seconds())
		if err != nil || a.status/100 != 2 {
			c.Bad = append(c.Bad, fmt.Sprintf("%d %v", a.status, err))
		}
	}
}
