package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of SIZING.md")

const sizing = "../../webdemo/stack/SIZING.md"

func standard() sizeCmd {
	return sizeCmd{Size: 4096, Beacons: 1, Sessions: 1, Errors: 0.02, Transactions: 0.1, Peak: 3}
}

// The tables of SIZING.md are what loadgen size computes
// (go test ./cmd/loadgen -run TestSizing -update).
func TestSizing(t *testing.T) {
	raw, err := os.ReadFile(sizing)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for name, table := range map[string]string{
		"costs": costsTable(), "one": oneTable(), "several": severalTable(), "phones": phonesTable(), "million": millionTable(), "money": moneyTable(),
	} {
		begin, end := "<!-- "+name+":begin -->\n", "<!-- "+name+":end -->"
		i, j := strings.Index(text, begin), strings.Index(text, end)
		if i < 0 || j < i {
			t.Errorf("SIZING.md has no place for the table %s", name)
			continue
		}
		if text[i+len(begin):j] != table {
			if !*update {
				t.Errorf("the table %s is not what loadgen size computes; it would be\n%s", name, table)
			}
			text = text[:i+len(begin)] + table + text[j:]
		}
	}
	if *update {
		if err := os.WriteFile(sizing, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The arithmetic, done once by hand: ten million views a day.
func TestSizeByHand(t *testing.T) {
	s := standard()
	s.Views = 10e6
	p := s.plan()
	for _, c := range []struct {
		what       string
		have, want float64
	}{
		{"requests at the peak: 2.12 a view", p.Requests, 10e6 * 2.12 / 86400 * 3},
		{"kept at the peak: 1.12 a view", p.Stored, 10e6 * 1.12 / 86400 * 3},
		{"bytes of a view: 1350 + 0.02 x 4846 + 0.1 x 17134", p.Bytes * 86400 / 10e6, 3160.32},
		{"24 hours in GB", p.Disk24, 31.6032},
		{"4 hours at the peak are half of that", p.Disk4, 31.6032 / 2},
		{"busy: 39 + 180 + 4 + 40.5 microseconds a view", p.OneCPU, 10e6 / 86400 * 3 * 263.5e-6},
		{"a core is the least", p.Cores, 1},
		{"one stream", p.Streams, 1},
		{"each server's fsyncs", p.Syncs, p.Stored / 6},
	} {
		if math.Abs(c.have-c.want) > 1e-6*c.want {
			t.Errorf("%s: %g, want %g", c.what, c.have, c.want)
		}
	}
	if twice := (sizeCmd{Items: 2 * streamRate, Size: 100, Peak: 1}).plan().Streams; twice != 2 {
		t.Errorf("%g streams for twice what one takes", twice)
	}
	if full := (sizeCmd{Items: 1, Size: 4 * 3 * writeRate / writtenPerByte, Peak: 1}).plan().Streams; full != 4 {
		t.Errorf("%g streams for four times what disks write", full)
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.0123: "0.012", 3.16: "3.2", 12.4: "12", 388.9: "390", 1234: "1,200", 4846e6: "4,800,000,000"} {
		if got := number(v); got != want {
			t.Errorf("%g is shown as %s, want %s", v, got, want)
		}
	}
}

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

func head(cells ...string) string {
	return row(cells...) + "|" + strings.Repeat("---|", len(cells)) + "\n"
}

func costsTable() string {
	f := func(v float64) string { return fmt.Sprintf("%g", v) }
	return head("what", "figure", "command (in this repository, after `make build`)") +
		row("gateway, CPU for 1 M beacons", f(cpuBeacon)+" s", "`bin/loadgen bench --kinds beacon`, column CPU-S/1M") +
		row("… for 1 M session updates of 600 bytes, kept and delivered", f(cpuSession)+" s", "`bin/loadgen bench --kinds envelope --size 600`") +
		row("… for 1 M errors of 4 KB, kept and delivered", f(cpuError)+" s", "`bin/loadgen bench --kinds envelope`") +
		row("… for 1 M transactions of 16 KB, kept and delivered", f(cpuTransaction)+" s", "`bin/loadgen bench --kinds envelope-16k`") +
		row("gateway, further CPU for 1 M records when the spool is a stream", f(cpuStream)+" s", "`bin/loadgen cost`, gateways, less the 265 s that an error cost then (now 222, see below)") +
		row("three NATS servers, CPU for 1 M records, together", f(cpuNATS)+" s", "`bin/loadgen cost`, nats (now 215)") +
		row("Redis, CPU for 1 M requests", f(cpuRedis)+" s", "`bin/loadgen cost`, redis") +
		row("nginx, CPU for 1 M requests", f(cpuBalancer)+" s", "`bin/loadgen cost`, balancer") +
		row("disk for a record that waits, beside its request", f(recordOverhead)+" bytes", "`bin/loadgen backlog`; on each NATS server 810: `bin/loadgen cost --hold` (now less than the request)") +
		row("written to disks by the three NATS servers, of each byte of a request", f(writtenPerByte)+" bytes", "`bin/loadgen cost`, nats, disk / request_bytes (now 0.85)") +
		row("… received, and sent, over the network", f(receivedPerByte)+", "+f(sentPerByte)+" bytes", "`bin/loadgen cost`, nats, received and sent (now 0.28, 0.30)") +
		row("fsyncs of the three NATS servers for a record, together", f(syncsPerRequest), "`bin/loadgen cost --fsyncs`, at 1,000 records a second") +
		row("gateway, memory at full load", f(memoryBusy)+" MiB", "`bin/loadgen bench`, MAX RSS MIB") +
		row("… for a record that waits", f(memoryRecord)+" bytes", "`bin/loadgen backlog`, rss_mib_with_backlog less idle RSS")
}

func oneTable() string {
	text := head("page views a day", "requests a second at the peak", "kept", "busy cores", "cores to have", "disk, 4 h at the peak", "disk, 24 h", "disk, 72 h", "memory after 24 h")
	for _, views := range []float64{1e5, 1e6, 1e7, 3e7, 1e8} {
		s := standard()
		s.Views = views
		p := s.plan()
		text += row(number(views), number(p.Requests), number(p.Stored), number(p.OneCPU), number(p.Cores), number(p.Disk4)+" GB", number(p.Disk24)+" GB", number(p.Disk72)+" GB", number(p.MemoryMiB)+" MiB")
	}
	return text
}

func severalTable() string {
	text := head("page views a day", "kept a second at the peak", "gateways, cores of all", "NATS servers", "NATS, cores of all", "NATS, disk of each for 24 h", "written by each, MB/s", "fsyncs of each a second", "Redis, cores", "nginx, cores")
	for _, views := range []float64{1e6, 1e7, 1e8, 1e9, 1e10} {
		s := standard()
		s.Views = views
		p := s.plan()
		text += row(number(views), number(p.Stored), number(p.Gateways), number(3*p.Streams), number(p.NATSCores), number(p.Disk24/p.Streams)+" GB", number(p.Written/1e6), number(p.Syncs), number(p.RedisCores), number(p.Balancer))
	}
	return text
}

func phonesTable() string {
	text := head("users of apps a day", "requests a second at the peak", "kept", "busy cores of one gateway", "disk, 24 h", "disk, 72 h")
	for _, users := range []float64{1e5, 1e6, 1e7, 1e8} {
		s := standard()
		s.Users = users
		p := s.plan()
		text += row(number(users), number(p.Requests), number(p.Stored), number(p.OneCPU), number(p.Disk24)+" GB", number(p.Disk72)+" GB")
	}
	return text
}

// million are the two loads of the plan: a million errors a second, all kept,
// and a million requests a second of the usual mixture.
func million() (errors, mixture plan) {
	e, m := sizeCmd{Items: 1e6, Size: 4096, Peak: 1}, standard()
	m.Views = 1e6 / 2.12 / 3 * 86400
	return e.plan(), m.plan()
}

func millionTable() string {
	e, m := million()
	return head("", "1 M errors a second, each kept", "1 M requests a second of pages") +
		row("kept a second", number(e.Stored), number(m.Stored)+": beacons are counted, not kept") +
		row("gateways, busy cores", fmt.Sprintf("10⁶ × (%g + %g) µs = %s", cpuError, cpuStream, number(e.OneCPU+e.Stored*cpuStream/1e6)), number(m.OneCPU+m.Stored*cpuStream/1e6)) +
		row("gateways, half idle", number(e.Gateways)+" cores", number(m.Gateways)+" cores") +
		row("NATS, busy cores", fmt.Sprintf("10⁶ × %g µs = %s; %s to have", cpuNATS, number(e.Stored*cpuNATS/1e6), number(e.NATSCores)), number(m.NATSCores)+" to have") +
		row("streams, by rate", fmt.Sprintf("10⁶ / %s = %s", number(streamRate), number(math.Ceil(e.Stored/streamRate))), number(math.Ceil(m.Stored/streamRate))) +
		row("streams, by disk", fmt.Sprintf("10⁶ × 4096 × %g / 3 / %s MB/s = %s", writtenPerByte, number(writeRate/1e6), number(math.Ceil(1e6*4096*writtenPerByte/3/writeRate))), "fewer") +
		row("NATS servers", fmt.Sprintf("3 × %s = %s", number(e.Streams), number(3*e.Streams)), number(3*m.Streams)) +
		row("written by each", number(e.Written/1e6)+" MB/s, "+number(e.Syncs)+" fsyncs a second", number(m.Written/1e6)+" MB/s, "+number(m.Syncs)+" fsyncs a second") +
		row("network of each, in and out", number(e.Received*8/1e9)+" and "+number(e.Sent*8/1e9)+" Gbit/s", number(m.Received*8/1e9)+" and "+number(m.Sent*8/1e9)+" Gbit/s") +
		row("an hour of outage, one copy", fmt.Sprintf("10⁶ × (4096 + %g) × 3600 = %s TB", recordOverhead, number(e.Bytes*3600/1e12)), number(m.Bytes*3*3600/1e12)+" TB at the peak") +
		row("… on each server", number(e.Bytes*3600/1e9/e.Streams)+" GB", number(m.Bytes*3*3600/1e9/m.Streams)+" GB") +
		row("Redis, busy cores", fmt.Sprintf("10⁶ × %g µs = %s: %s of them, by project, each on one core", cpuRedis, number(cpuRedis), number(e.RedisCores)), number(m.RedisCores)+" to have") +
		row("balancers", number(e.Balancer)+" cores", number(m.Balancer)+" cores")
}

// Prices that are assumed: orders of magnitude of large clouds, in dollars.
const (
	priceCore   = 29.0 // a core for a month, with its memory
	priceDisk   = 0.08 // a GB of local flash for a month
	priceZone   = 0.02 // a GB from one zone to another, both sides' fees
	priceEgress = 0.05 // a GB to the internet
	monthly     = 2.628e6
	// Bytes over the network for a record of 4 KB: all that gateways, NATS,
	// Redis and the balancer receive (cost), and what leaves to the upstream.
	innerBytes = 34_600.0
	outerBytes = 2_000.0
)

func moneyTable() string {
	e, _ := million()
	allCores := e.Gateways + e.NATSCores + e.RedisCores + e.Balancer
	disk := 3 * e.Bytes * 4 * 3600 / 1e9
	zone := 1e6 * innerBytes * 2 / 3 * monthly / 1e9
	out := 1e6 * outerBytes * monthly / 1e9
	k := func(v float64) string { return "$" + number(v) }
	return head("1 M errors a second", "arithmetic", "a month") +
		row("cores", fmt.Sprintf("(%s + %s + %s + %s) × $%g", number(e.Gateways), number(e.NATSCores), number(e.RedisCores), number(e.Balancer), priceCore), k(allCores*priceCore)) +
		row("disk for 4 hours of outage, three copies", fmt.Sprintf("3 × 4 h × %s TB × $%g a GB", number(e.Bytes*3600/1e12), priceDisk), k(disk*priceDisk)) +
		row("between zones, when two of three bytes cross one", fmt.Sprintf("10⁶ × %s bytes × ⅔ × %.3g s × $%g a GB", number(innerBytes), monthly, priceZone), k(zone*priceZone)) +
		row("to upstreams outside", fmt.Sprintf("10⁶ × %s bytes × %.3g s × $%g a GB", number(outerBytes), monthly, priceEgress), k(out*priceEgress)) +
		row("**together**", "", "**"+k(allCores*priceCore+disk*priceDisk+zone*priceZone+out*priceEgress)+"**")
}

// Every command that SIZING.md names is one of loadgen's or make's.
func TestSizingNamesCommands(t *testing.T) {
	raw, err := os.ReadFile(sizing)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, m := range regexp.MustCompile("`bin/loadgen ([a-z]+)").FindAllStringSubmatch(string(raw), -1) {
		seen++
		help, err := os.ReadFile("doc.go")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(help), "loadgen "+m[1]+" ") {
			t.Errorf("there is no loadgen %s", m[1])
		}
	}
	if seen < 10 {
		t.Errorf("%d commands", seen)
	}
}
