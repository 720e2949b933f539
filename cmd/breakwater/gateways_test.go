package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/relay/relaytest"
	"breakwater/relay/spool/jetstream/natstest"
)

// balancer is a proxy that never tries again: it sends a request to the next
// gateway whose /-/ready was 200 the last time it asked.
type balancer struct {
	mu     sync.Mutex
	all    map[*gateway]bool // ready
	list   []*gateway
	next   atomic.Int64
	proxy  httputil.ReverseProxy
	server *httptest.Server
	failed atomic.Int64
}

func newBalancer(t *testing.T) *balancer {
	b := &balancer{all: map[*gateway]bool{}}
	b.proxy = httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if len(b.list) > 0 {
				g := b.list[int(b.next.Add(1))%len(b.list)]
				r.SetURL(&url.URL{Scheme: "http", Host: g.public})
				r.SetXForwarded()
			}
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 8},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			b.failed.Add(1)
			t.Logf("the balancer was refused: %v", err)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	b.server = httptest.NewServer(&b.proxy)
	ctx, cancel := context.WithCancel(context.Background())
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		for ctx.Err() == nil {
			b.look()
			time.Sleep(100 * time.Millisecond) // its interval, as any balancer has one
		}
	}()
	t.Cleanup(func() { cancel(); <-watching; b.server.Close() })
	return b
}

// look asks every gateway.
func (b *balancer) look() {
	b.mu.Lock()
	var gs []*gateway
	for g := range b.all {
		gs = append(gs, g)
	}
	b.mu.Unlock()
	var ready []*gateway
	for _, g := range gs {
		resp, err := (&http.Client{Timeout: 5 * time.Second}).Get("http://" + g.private + "/-/ready")
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			ready = append(ready, g)
		}
	}
	b.mu.Lock()
	b.list = ready
	b.mu.Unlock()
}

func (b *balancer) add(gs ...*gateway) {
	b.mu.Lock()
	for _, g := range gs {
		b.all[g] = true
	}
	b.mu.Unlock()
	b.look()
}

// metricOf is the value of one series, or the sum of all that begin so.
func metricOf(t *testing.T, g *gateway, series string) (sum float64) {
	t.Helper()
	for line := range strings.Lines(g.scrape()) {
		if rest, ok := strings.CutPrefix(line, series); ok && !strings.HasPrefix(line, "#") {
			fields := strings.Fields(rest)
			v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			sum += v
		}
	}
	return sum
}

// balanced closes the books of a gateway.
func balanced(t *testing.T, gs ...*gateway) {
	t.Helper()
	for _, g := range gs {
		eventually(t, 30*time.Second, func() error {
			in := metricOf(t, g, "breakwater_items_received_total{") + metricOf(t, g, "breakwater_items_recovered{") + metricOf(t, g, "breakwater_items_requeued_total{")
			ended := metricOf(t, g, "breakwater_items_outcome_total{")
			for line := range strings.Lines(g.scrape()) {
				if strings.HasPrefix(line, "breakwater_items_outcome_total{") && strings.Contains(line, `outcome="accepted"`) {
					fields := strings.Fields(line)
					v, _ := strconv.ParseFloat(fields[len(fields)-1], 64) // parsed above
					ended -= v
				}
			}
			if out := ended + metricOf(t, g, "breakwater_items_in_spool{"); in != out {
				return fmt.Errorf("%v came in, %v ended or are in the spool", in, out)
			}
			return nil
		})
	}
}

// Two gateways of one version are replaced by two of the next, one by one,
// under load through a balancer that tries nothing twice: no request is
// refused, every report arrives once, and the books balance.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel() // it mostly waits
	cluster := natstest.Start(t, natstest.Options{Nodes: 1})
	up := listening(t, relaytest.Options{MaxRequests: 1 << 20})
	config := strings.Replace(onStream(toUpstream(up), cluster, ""), `admin_listen: "ADMIN"`, `admin_listen: "ADMIN", shutdown_delay: 5s`, 1)
	next := filepath.Join(t.TempDir(), "next")
	if out, err := exec.Command("go", "build", "-ldflags", "-X main.version=next", "-o", next, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	old := []*gateway{newGateway(t, config).start(), newGateway(t, config).start()}
	fresh := []*gateway{newGateway(t, config), newGateway(t, config)}
	b := newBalancer(t)
	b.add(old...)
	stop := make(chan struct{})
	var load sync.WaitGroup
	var mu sync.Mutex
	var resting sync.RWMutex // who holds it lets no request be under way
	acked, refused := map[string]bool{}, map[string]int{}
	for w := range 4 {
		load.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%08x%024x", w+1, i)
				body := fmt.Sprintf("{\"event_id\":%q}\n{\"type\":\"event\"}\n{\"message\":\"number %d of %d\"}\n", id, i, w)
				resting.RLock()
				resp, err := http.Post(b.server.URL+"/api/1/envelope/?sentry_key="+testKey, "application/x-sentry-envelope", strings.NewReader(body))
				resting.RUnlock()
				mu.Lock()
				switch {
				case err != nil:
					refused[err.Error()]++
				case resp.StatusCode != http.StatusOK:
					refused[resp.Status]++
				default:
					acked[id] = true
				}
				mu.Unlock()
				if err == nil {
					_ = resp.Body.Close()
				}
			}
		})
	}
	taken := func() int { mu.Lock(); defer mu.Unlock(); return len(acked) }
	more := func(n int) {
		from := taken()
		eventually(t, time.Minute, func() error {
			if got := taken(); got < from+n {
				return fmt.Errorf("%d of %d requests", got-from, n)
			}
			return nil
		})
	}
	more(100)
	for i := range old {
		fresh[i].binary = next
		b.add(fresh[i].start())
		if !strings.Contains(fresh[i].scrape(), `breakwater_build_info{version="next"} 1`) {
			t.Fatal("the new version is not another one")
		}
		more(100)      // both versions side by side
		resting.Lock() // between two requests, which the books count in several steps
		balanced(t, old[i])
		resting.Unlock()
		if err := old[i].stop(); err != nil {
			t.Fatalf("%v\n%s", err, old[i].stdout.String())
		}
		more(100)
	}
	close(stop)
	load.Wait()
	drained(t, fresh...)
	if len(refused) > 0 || b.failed.Load() > 0 {
		t.Errorf("refused: %v", refused)
	}
	times, _ := arrivals(up)
	lost, twice := 0, 0
	for id := range acked {
		switch n := times[id]; {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	if lost > 0 || twice > 0 {
		t.Errorf("of %d reports %d are lost and %d came twice", len(acked), lost, twice)
	}
	balanced(t, fresh...)
	t.Logf("%d reports over two stops and two starts", len(acked))
}

// While nothing can be stored the door says so to clients and balancers, and
// counts it; afterwards it goes on by itself.
func TestStreamAway(t *testing.T) {
	t.Parallel() // it mostly waits
	cluster := natstest.Start(t, natstest.Options{Nodes: 1})
	up := listening(t, relaytest.Options{})
	g := newGateway(t, onStream(toUpstream(up), cluster, "")).start()
	send := func(i int) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.public+"/api/1/envelope/?sentry_key="+testKey,
			strings.NewReader(fmt.Sprintf("{\"event_id\":\"%032x\"}\n{\"type\":\"event\"}\n{\"message\":\"x\"}\n", i)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", "https://shop.example")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body) // for the message
		return resp, string(body)
	}
	status := func(url string) int {
		resp, err := http.Get(url)
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	ready := []string{"http://" + g.private + "/-/ready", "http://" + g.public + "/api/relay/healthcheck/ready/"}
	if resp, body := send(1); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s", resp.Status, body)
	}
	cluster.Kill(0)
	resp, body := send(2)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("%s %s %v", resp.Status, body, resp.Header)
	}
	for _, u := range ready {
		if got := status(u); got != http.StatusServiceUnavailable {
			t.Errorf("%s answers %d", u, got)
		}
	}
	if got := status("http://" + g.private + "/-/healthy"); got != http.StatusOK {
		t.Errorf("healthy answers %d: a restart would help nobody", got)
	}
	if n := metricOf(t, g, `breakwater_items_outcome_total{category="error",outcome="rate_limited",project="shop",reason="spool_unavailable"}`); n != 1 {
		t.Errorf("%v refused items are counted", n)
	}
	if err := cluster.Restart(0); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error {
		for _, u := range ready {
			if got := status(u); got != http.StatusOK {
				return fmt.Errorf("%s answers %d", u, got)
			}
		}
		return nil
	})
	if resp, body := send(3); resp.StatusCode != http.StatusOK {
		t.Errorf("%s %s", resp.Status, body)
	}
	eventually(t, time.Minute, func() error {
		if n, _ := up.IDs().Len(); n != 2 {
			return fmt.Errorf("%d events arrived", n)
		}
		return nil
	})
}

// A server that confirms before it syncs stops the start, with the key and the
// fix; the override lets it pass, with a warning.
func TestUnsyncedServerStopsTheStart(t *testing.T) {
	cluster := natstest.Start(t, natstest.Options{Nodes: 1, SyncInterval: "2m"})
	g := newGateway(t, onStream(oneProject, cluster, ""))
	g.launch()
	<-g.done
	said := g.stderr.String()
	for _, want := range []string{"spool.jetstream.monitor_urls", "sync_interval: always", "allow_unsynced", "two minutes"} {
		if g.exit == nil || !strings.Contains(said, want) {
			t.Errorf("ended with %v and without %q: %s", g.exit, want, said)
		}
	}
	g.write(onStream(oneProject, cluster, ", allow_unsynced: true"))
	g.start()
	eventually(t, time.Minute, func() error { // it warns when it serves already
		if text := g.stdout.String(); !strings.Contains(text, `"key":"spool.jetstream.allow_unsynced"`) {
			return fmt.Errorf("started without a warning: %s", text)
		}
		return nil
	})
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	var exit *exec.ExitError
	other := newGateway(t, strings.Replace(onStream(oneProject, cluster, ", allow_unsynced: true"), "DATA", g.dir, 1))
	g.start()
	other.env = []string{"BREAKWATER_DATA_DIR=" + g.dir}
	other.launch()
	<-other.done
	if !errors.As(other.exit, &exit) || !strings.Contains(other.stderr.String(), "a data directory of its own") {
		t.Errorf("two gateways on one data directory: %v %s", other.exit, other.stderr.String())
	}
}
