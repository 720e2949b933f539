package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"breakwater/relay/relaytest"
)

// gateway is a breakwater process under test, with a configuration that turns
// off what would hide the thing measured: limits and storm control.
type gateway struct {
	binary, dir, config, key string
	public, private          string
	upstreams                []string // addresses
	log                      *os.File
	proc                     *process
	keepDir                  bool
	env                      []string
	limits                   string // further keys of the limits section
	spool                    string // keys of the spool section beside dir
	encoding                 string // of requests to the upstreams; empty for the gateway's default
	data                     string // where its data lies; dir when empty
}

const gatewayConfig = `server: {listen: %q, admin_listen: %q}
limits: {%s}
spool: {dir: %q, %s}
projects:
  - id: 1
    name: load
    keys: [{public: %s, name: load}]
    upstreams:
%s    limits: {per_key: {rate: 1000000/s, burst: 10000000}}
    storm: {then_one_in: 1}
  - id: 2
    name: storm
    keys: [{public: %s, name: load}]
    upstreams:
%s    limits: {per_key: {rate: 1000000/s, burst: 10000000}}
`

// The gateway's second project has storm control on.
const (
	stormProject = "2"
	stormKey     = "89abcdef0123456789abcdef01234567"
)

const loadKey = "0123456789abcdef0123456789abcdef"

// newGateway prepares a gateway with n upstreams in front of nobody yet.
func newGateway(binary, dir string, n int) (*gateway, error) {
	path, err := scratch(dir)
	if err != nil {
		return nil, err
	}
	g := &gateway{binary: binary, dir: path, key: loadKey, keepDir: dir != "", upstreams: make([]string, n), spool: "max_size: 64GiB, min_free: 64MiB"}
	addrs := []*string{&g.public, &g.private}
	for i := range g.upstreams {
		addrs = append(addrs, &g.upstreams[i])
	}
	for _, addr := range addrs {
		if *addr, err = freeAddr(); err != nil {
			return nil, err
		}
	}
	g.config = filepath.Join(path, "breakwater.yml")
	if err := g.writeConfig(); err != nil {
		return nil, err
	}
	if g.log, err = os.Create(filepath.Join(path, "gateway.log")); err != nil {
		return nil, err
	}
	return g, nil
}

func (g *gateway) writeConfig() error {
	limits := "per_ip: {rate: 1000000/s, burst: 10000000}"
	if g.limits != "" {
		limits += ", " + g.limits
	}
	var ups strings.Builder
	encoding := ""
	if g.encoding != "" {
		encoding = ", encoding: " + g.encoding
	}
	for i, addr := range g.upstreams {
		fmt.Fprintf(&ups, "      - {name: up%d, type: sentry, dsn: \"http://%s@%s/1\", concurrency: 16%s}\n", i, g.key, addr, encoding)
	}
	text := fmt.Sprintf(gatewayConfig, g.public, g.private, limits, g.spoolDir(), g.spool, g.key, ups.String(), stormKey, ups.String())
	return os.WriteFile(g.config, []byte(text), 0o600)
}

// dataDir is where the gateway keeps what it must not lose.
func (g *gateway) dataDir() string {
	if g.data != "" {
		return g.data
	}
	return g.dir
}

func (g *gateway) spoolDir() string { return filepath.Join(g.dataDir(), "spool") }

// freeAddr is an address that nobody else gets while loadgen runs: gateways are
// killed and started again there.
func freeAddr() (string, error) {
	addr, _, err := relaytest.HoldAddress()
	return addr, err
}

// untilListening waits for a server to take connections.
func untilListening(addr string) error {
	return until(time.Minute, "waiting for "+addr, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

func (g *gateway) envelopePath() string {
	return envelopePath("1", g.key)
}

// start runs the binary and waits until it says it is ready.
func (g *gateway) start() error {
	p, err := start(append(g.env, "BREAKWATER_DATA_DIR="+g.dataDir(), "LOG_LEVEL=warn"), g.log, g.binary, "--config", g.config)
	if err != nil {
		return err
	}
	g.proc = p
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.done:
			tail, _ := os.ReadFile(g.log.Name())
			return fmt.Errorf("gateway ended at once: %w\n%s", p.exit, tail[max(0, len(tail)-2000):])
		default:
		}
		resp, err := http.Get("http://" + g.private + "/-/ready")
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
	}
	p.kill()
	return fmt.Errorf("gateway was not ready within 60 s; see %s", g.log.Name())
}

// hold stops what it delivers to its n-th upstream, or lets it go on: the spool
// takes records as before.
func (g *gateway) hold(n int, held bool) error {
	verb := "resume"
	if held {
		verb = "pause"
	}
	for _, project := range []string{"load", "storm"} {
		resp, err := http.Post(fmt.Sprintf("http://%s/api/v1/destinations/%s/up%d/%s", g.private, project, n, verb), "application/json", strings.NewReader("{}"))
		if err != nil {
			return fmt.Errorf("%s: %w", verb, err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("%s: answered %s", verb, resp.Status)
		}
	}
	return nil
}

// drain waits until the spool holds nothing.
func (g *gateway) drain(limit time.Duration) error {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		m, err := g.metrics()
		if err != nil {
			return err
		}
		left := m.sum("breakwater_items_in_spool")
		if strings.Contains(g.spool, "jetstream") { // that is this life's part; this is the stream's
			left = m.sum("breakwater_spool_items")
		}
		if left == 0 {
			return nil
		}
		progress("draining: %.0f items left", left)
	}
	return fmt.Errorf("the spool was not empty after %v", limit)
}

func (g *gateway) cleanup() {
	_ = g.log.Close()
	if !g.keepDir {
		_ = os.RemoveAll(g.dir)
	}
}

// families is one scrape.
type families map[string]*dto.MetricFamily

func (g *gateway) metrics() (families, error) { return scrape(http.DefaultClient, g.private) }

func scrape(c *http.Client, addr string) (families, error) {
	resp, err := c.Get("http://" + addr + "/metrics")
	if err != nil {
		return nil, fmt.Errorf("scraping: %w", err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	f, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the scrape: %w", err)
	}
	return f, nil
}

// sum adds up a counter or gauge over the series that have all the given
// labels, written name=value.
func (f families) sum(name string, labels ...string) float64 {
	total := 0.0
	for _, m := range f[name].GetMetric() {
		match := true
		for _, want := range labels {
			found := false
			for _, l := range m.GetLabel() {
				found = found || l.GetName()+"="+l.GetValue() == want
			}
			match = match && found
		}
		if match {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total
}

// count adds up the observations of a histogram.
func (f families) count(name string) float64 {
	total := 0.0
	for _, m := range f[name].GetMetric() {
		total += float64(m.GetHistogram().GetSampleCount())
	}
	return total
}

// fsyncs is what the spool has synced so far, and for how many items.
func (g *gateway) fsyncs() (n struct{ syncs, items float64 }, err error) {
	m, err := g.metrics()
	if err != nil {
		return n, err
	}
	n.syncs, n.items = m.count("breakwater_spool_fsync_duration_seconds"), m.sum("breakwater_items_outcome_total", "outcome=accepted")
	return n, nil
}

// balance scrapes until the ledger is zero, for a minute at most, and says what it
// was at last. A scrape reads its counters one after the other, so one that falls
// into deliveries is off by what moved meanwhile.
func (g *gateway) balance() (float64, error) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		m, err := g.metrics()
		if err != nil {
			return 0, err
		}
		if off := m.ledger(); off == 0 || time.Now().After(deadline) {
			return off, nil
		}
	}
}

// ledger is what must be zero once nothing is in flight:
// received + recovered + requeued − ends − in the spool.
func (f families) ledger() float64 {
	ends := f.sum("breakwater_items_outcome_total") - f.sum("breakwater_items_outcome_total", "outcome=accepted")
	return f.sum("breakwater_items_received_total") + f.sum("breakwater_items_recovered") + f.sum("breakwater_items_requeued_total") -
		ends - f.sum("breakwater_items_in_spool")
}
