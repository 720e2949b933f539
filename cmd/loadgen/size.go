package main

import (
	"fmt"
	"math"
	"os"

	"github.com/jedib0t/go-pretty/v6/table"
)

type sizeCmd struct {
	Views        float64 `help:"Page views a day." default:"0"`
	Users        float64 `help:"Users of phone apps a day." default:"0"`
	Items        float64 `help:"Errors of --size per second, beside those of the views, for a plan from a rate." default:"0"`
	Size         float64 `help:"Bytes of an error." default:"4096"`
	Beacons      float64 `help:"Requests with Web Vitals per page view: 1 in a batch, 5 when each is sent by itself." default:"1"`
	Sessions     float64 `help:"Session updates per page view, as the stock SDK sends them." default:"1"`
	Errors       float64 `help:"Errors per page view." default:"0.02"`
	Transactions float64 `help:"Transactions of 16 KB per page view: the SDK's tracesSampleRate." default:"0.1"`
	Peak         float64 `help:"The busiest hour in average hours." default:"3"`
	JSON         bool    `help:"Print the plan as JSON."`
}

// Help says where the figures come from.
func (s *sizeCmd) Help() string {
	return `Multiplies what people do by what loadgen bench, backlog and cost measured (webdemo/stack/SIZING.md
has the figures, where they come from, and what they do not say). A user of a phone app counts as
four sessions a day, with one error in fifty of them. Costs are rounded up to whole cores, disks and
servers; processors are half idle at the peak.

Example:
  loadgen size --views 10000000 --errors 0.05`
}

// Measured costs, with the command that prints each. On a machine of two
// shared cores; webdemo/stack/SIZING.md says more.
const (
	// CPU seconds of a gateway for a million requests (bench, column CPU-S/1M).
	cpuBeacon      = 39.0
	cpuSession     = 180.0 // bench --kinds envelope --size 600
	cpuError       = 200.0 // accepted, kept, delivered
	cpuTransaction = 405.0 // bench --kinds envelope-16k
	// CPU seconds for a million requests through several gateways (cost).
	cpuStream   = 340.0 // what keeping in the stream and taking it out again costs a gateway more than its own disk
	cpuNATS     = 400.0 // all three servers together
	cpuRedis    = 100.0 // every request, beacons too
	cpuBalancer = 62.0
	// Bytes of a record that waits, beside its request (backlog; cost --hold).
	recordOverhead = 750.0
	// Bytes that the three NATS servers together write to disks for each byte
	// of a request (cost, disk), and what a request brings over the network to
	// and from them.
	writtenPerByte  = 4.7
	receivedPerByte = 3.5
	sentPerByte     = 4.6
	// Memory of a gateway (bench, backlog): at the most under load, and of a record that waits.
	memoryBusy   = 190.0 // MiB
	memoryRecord = 120.0 // bytes
	// Fsyncs of the NATS servers for a request, all together (cost --fsyncs).
	syncsPerRequest = 0.5
)

// Assumptions, which are nobody's measurement.
const (
	idleShare   = 0.5 // of the processor at the peak
	userVisits  = 4.0 // sessions of a phone's user a day
	visitErrors = 0.02
	sessionSize = 600.0
	traceSize   = 16384.0
	// streamRate is what one stream on three servers of eight cores takes in a
	// second; on two cores that nine processes shared it took 2,200 (cost --hold).
	streamRate = 20_000.0
	// writeRate is what a disk writes in a second for years without wearing out or stalling.
	writeRate = 250e6
)

// plan is what a load needs.
type plan struct {
	Requests  float64 `json:"requests_per_second_at_peak"`
	Stored    float64 `json:"stored_records_per_second_at_peak"`
	Bytes     float64 `json:"stored_bytes_per_second_on_average"`
	OneCPU    float64 `json:"one_gateway_busy_cores"`
	Cores     float64 `json:"one_gateway_cores"`
	Disk4     float64 `json:"gb_for_4_hours_at_peak"`
	Disk24    float64 `json:"gb_for_24_hours"`
	Disk72    float64 `json:"gb_for_72_hours"`
	MemoryMiB float64 `json:"gateway_memory_mib_after_24_hours"`

	Gateways   float64 `json:"several_gateway_cores"`
	NATSCores  float64 `json:"nats_cores_together"`
	RedisCores float64 `json:"redis_cores"`
	Balancer   float64 `json:"balancer_cores"`
	Streams    float64 `json:"streams_of_three_servers"`
	Written    float64 `json:"bytes_written_per_second_by_each_nats_server_at_peak"`
	Received   float64 `json:"bytes_received_per_second_by_each_nats_server_at_peak"`
	Sent       float64 `json:"bytes_sent_per_second_by_each_nats_server_at_peak"`
	Syncs      float64 `json:"fsyncs_per_second_of_each_nats_server_at_peak"`
}

// stream is a flow of one kind of request.
type stream struct{ perSecond, cpu, size float64 }

// flows are the averages over a day.
func (s sizeCmd) flows() (beacons stream, kept []stream) {
	const day = 86_400.0
	views, visits := s.Views/day, s.Users*userVisits/day
	return stream{views*s.Beacons + visits, cpuBeacon, 300}, []stream{
		{views*s.Sessions + visits, cpuSession, sessionSize},
		{views*s.Errors + visits*visitErrors, cpuError, s.Size},
		{views * s.Transactions, cpuTransaction, traceSize},
		{s.Items, cpuError, s.Size},
	}
}

// plan does the arithmetic: rates times costs.
func (s sizeCmd) plan() (p plan) {
	beacons, kept := s.flows()
	requests, cpu, records := beacons.perSecond, beacons.perSecond*beacons.cpu/1e6, 0.0
	size := 0.0 // bytes of requests that are kept, a second
	for _, f := range kept {
		requests, records = requests+f.perSecond, records+f.perSecond
		cpu += f.perSecond * f.cpu / 1e6
		size += f.perSecond * f.size
	}
	p.Bytes = size + records*recordOverhead
	p.Requests, p.Stored = requests*s.Peak, records*s.Peak
	p.OneCPU = cpu * s.Peak
	p.Cores = cores(p.OneCPU)
	const hour, gb = 3600, 1e9
	p.Disk4, p.Disk24, p.Disk72 = p.Bytes*s.Peak*4*hour/gb, p.Bytes*24*hour/gb, p.Bytes*72*hour/gb
	p.MemoryMiB = memoryBusy + records*24*hour*memoryRecord/(1<<20)

	p.Gateways = cores(p.OneCPU + p.Stored*cpuStream/1e6)
	p.NATSCores = cores(p.Stored * cpuNATS / 1e6)
	p.RedisCores = cores(p.Requests * cpuRedis / 1e6)
	p.Balancer = cores(p.Requests * cpuBalancer / 1e6)
	written := size * s.Peak * writtenPerByte
	p.Streams = max(1, math.Ceil(p.Stored/streamRate), math.Ceil(written/3/writeRate))
	servers := 3 * p.Streams
	p.Written, p.Received, p.Sent = written/servers, size*s.Peak*receivedPerByte/servers, size*s.Peak*sentPerByte/servers
	p.Syncs = p.Stored * syncsPerRequest / servers
	return p
}

// cores are those to have for so many that are busy.
func cores(busy float64) float64 { return max(1, math.Ceil(busy/(1-idleShare)-1e-9)) }

// Run prints the plan.
func (s *sizeCmd) Run() error {
	p := s.plan()
	if p.Requests == 0 {
		return fmt.Errorf("say how much there is: --views, --users or --items")
	}
	if s.JSON || !terminal() {
		return print(true, p)
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.SetOutputMirror(os.Stdout)
	for _, row := range [][2]string{
		{"requests a second at the peak", number(p.Requests)},
		{"of them kept until delivered", number(p.Stored)},
		{"", ""},
		{"one gateway: cores", number(p.Cores)},
		{"one gateway: memory after a day's outage", number(p.MemoryMiB) + " MiB"},
		{"disk for 4 hours at the peak, 24 hours, 72 hours", number(p.Disk4) + ", " + number(p.Disk24) + ", " + number(p.Disk72) + " GB"},
		{"", ""},
		{"several gateways: cores of all", number(p.Gateways)},
		{"NATS: servers", number(3 * p.Streams)},
		{"NATS: cores of all", number(p.NATSCores)},
		{"NATS: written, received, sent by each at the peak", fmt.Sprintf("%s, %s, %s MB/s", number(p.Written/1e6), number(p.Received/1e6), number(p.Sent/1e6))},
		{"NATS: fsyncs of each a second at the peak", number(p.Syncs)},
		{"NATS: disk of each for 24 hours", number(p.Disk24/p.Streams) + " GB"},
		{"Redis: cores", number(p.RedisCores)},
		{"balancer: cores", number(p.Balancer)},
	} {
		t.AppendRow(table.Row{row[0], row[1]})
	}
	t.Render()
	return nil
}

// number is a figure with two digits that mean something, thousands apart.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10:
		return fmt.Sprintf("%.2g", v)
	case v >= 100:
		scale := math.Pow(10, math.Floor(math.Log10(v))-1)
		v = math.Round(v/scale) * scale
	}
	digits := fmt.Sprintf("%.0f", v)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
