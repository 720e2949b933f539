package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"breakwater/relay/spool/jetstream/natstest"
	"breakwater/schemas"
)

type enginesCmd struct {
	Producers []int         `help:"How many append at the same time, each in turn." default:"1,16,128"`
	Size      int           `help:"Bytes of one record's payload." default:"4096"`
	Payload   string        `help:"What records hold: event, errors of one web application as browsers send them, or random, which nothing can compress." enum:"event,random" default:"event"`
	Rounds    int           `help:"Interleaved rounds; the medians are reported." default:"5"`
	Time      time.Duration `help:"Length of one cell." default:"2s"`
	NATS      int           `name:"nats" help:"NATS servers, and copies of each record." default:"3"`
	Least     float64       `help:"Fail when the stream takes less than that many times what plain publishing does, with the most producers." default:"3"`
	Dir       string        `help:"Working directory; a temporary one when empty." default:""`
	JSON      bool          `help:"Print the report as JSON."`
}

// Help says what is compared.
func (e *enginesCmd) Help() string {
	return `Appends records to three stores, in turn within each round, and compares their rates
within the round:

  disk       the spool on disk: one fsync for all that append at the same time
  jetstream  the spool on JetStream: --nats servers, a copy on each, sync_interval: always,
             records that append at the same time packed into one message, compressed
  plain      the same servers, the same copies and syncs, one message for each record,
             confirmed before its producer publishes the next: what a client of NATS does

Servers, their three copies and the producers share this machine and its one disk: absolute
rates say little, ratios of one run say which way is how many times faster. Nothing is
consumed meanwhile. --payload random shows what is left where nothing can be compressed.`
}

// engineCell is one store with a number of producers: medians over the rounds.
type engineCell struct {
	Engine    string  `json:"engine"`
	Producers int     `json:"producers"`
	PerSecond float64 `json:"per_second"`
	OfPlain   float64 `json:"of_plain"` // median of the rounds' ratios
	OfDisk    float64 `json:"of_disk"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`

	rates, p50, p99 []float64
}

type enginesReport struct {
	Size     int           `json:"record_bytes"`
	Payload  string        `json:"payload"`
	Rounds   int           `json:"rounds"`
	Replicas int           `json:"replicas"`
	Cells    []*engineCell `json:"cells"`
	// Ratio is jetstream of plain with the most producers.
	Ratio float64 `json:"jetstream_of_plain_with_most_producers"`
}

// store is something that keeps records.
type store interface {
	// append keeps one record durably.
	append(ctx context.Context, rec *schemas.Record) error
	// close forgets everything.
	close() error
}

// Run measures and prints.
func (e *enginesCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := e.run(ctx)
	progressEnd()
	if err != nil {
		return err
	}
	if err := e.print(r); err != nil {
		return err
	}
	if r.Ratio < e.Least {
		return fmt.Errorf("the spool on JetStream takes %.2f times what plain publishing does; want %g", r.Ratio, e.Least)
	}
	return nil
}

func (e *enginesCmd) run(ctx context.Context) (r enginesReport, err error) {
	dir, err := scratch(e.Dir)
	if err != nil {
		return r, err
	}
	if e.Dir == "" {
		defer os.RemoveAll(dir)
	}
	nodes := filepath.Join(dir, "nats")
	if err := os.MkdirAll(nodes, 0o755); err != nil {
		return r, err
	}
	servers, err := natstest.Launch(natstest.Options{Nodes: e.NATS, Root: nodes, MaxPayload: 8 << 20})
	if err != nil {
		return r, err
	}
	defer servers.Close()
	r = enginesReport{Size: e.Size, Payload: e.Payload, Rounds: e.Rounds, Replicas: e.NATS}
	opens := []struct {
		name string
		open func(ctx context.Context, dir, stream string, servers *natstest.Cluster) (store, error)
	}{{"disk", openDiskStore}, {"jetstream", openStreamStore}, {"plain", openPlainStore}}
	run := 0
	for _, n := range e.Producers {
		cells := make([]*engineCell, len(opens))
		for i, o := range opens {
			cells[i] = &engineCell{Engine: o.name, Producers: n}
		}
		for round := range e.Rounds {
			for i := range opens {
				at := (i + round) % len(opens) // each is first as often
				run++
				progress("%d producers, round %d/%d  %s", n, round+1, e.Rounds, opens[at].name)
				s, err := opens[at].open(ctx, filepath.Join(dir, fmt.Sprintf("store%d", run)), fmt.Sprintf("bench%d", run), servers)
				if err != nil {
					return r, fmt.Errorf("opening %s: %w", opens[at].name, err)
				}
				err = cells[at].measure(ctx, s, e.payloads(), e.Time)
				if closing := s.close(); err == nil {
					err = closing
				}
				if err != nil {
					return r, fmt.Errorf("%s with %d producers: %w", opens[at].name, n, err)
				}
			}
		}
		disk, plain := cells[0], cells[2]
		for _, c := range cells {
			c.finish(disk, plain)
		}
		r.Cells = append(r.Cells, cells...)
		r.Ratio = cells[1].OfPlain
	}
	return r, nil
}

// measure appends for a while.
func (c *engineCell) measure(ctx context.Context, s store, payloads []string, d time.Duration) error {
	// The first appends open files and elect nobody; they do not count.
	for i := range 3 {
		if err := s.append(ctx, benchRecord(payloads[i])); err != nil {
			return err
		}
	}
	window, over := context.WithTimeout(ctx, d)
	defer over()
	var (
		wg    sync.WaitGroup
		done  atomic.Int64
		mu    sync.Mutex
		fault error
		all   = newLatency()
	)
	begin := time.Now()
	for i := range c.Producers {
		wg.Go(func() {
			mine := newLatency()
			for n := i; n == i || window.Err() == nil; n++ { // one at least, however long the machine stands still
				at := time.Now()
				if err := s.append(ctx, benchRecord(payloads[n%len(payloads)])); err != nil { // not window: what is begun is finished
					mu.Lock()
					fault = errors.Join(fault, err)
					mu.Unlock()
					return
				}
				mine.add(time.Since(at))
				done.Add(1)
			}
			mu.Lock()
			all.h.Merge(mine.h)
			mu.Unlock()
		})
	}
	wg.Wait()
	if fault != nil {
		return fault
	}
	c.rates = append(c.rates, float64(done.Load())/time.Since(begin).Seconds())
	c.p50, c.p99 = append(c.p50, all.ms(50)), append(c.p99, all.ms(99))
	return ctx.Err()
}

// finish makes the medians; ratios are of the same round.
func (c *engineCell) finish(disk, plain *engineCell) {
	c.PerSecond, c.P50, c.P99 = median(c.rates), median(c.p50), median(c.p99)
	of := func(other *engineCell) float64 {
		ratios := make([]float64, len(c.rates))
		for i := range ratios {
			ratios[i] = c.rates[i] / max(other.rates[i], 1e-9)
		}
		return median(ratios)
	}
	c.OfDisk, c.OfPlain = of(disk), of(plain)
}

// payloads are what the records hold, a thousand different ones.
func (e *enginesCmd) payloads() []string {
	rnd := rand.New(rand.NewPCG(1, 2)) // the same for every store
	list := make([]string, 1000)
	for i := range list {
		if e.Payload == "random" {
			b := make([]byte, e.Size)
			for j := range b {
				b[j] = byte(rnd.Uint32())
			}
			list[i] = string(b)
			continue
		}
		list[i] = variedEvent(rnd, uint64(i%100), e.Size)
	}
	return list
}

// variedEvent is a browser's error of about size bytes: one of the kinds that an
// application has, whose stacks name the same files and functions each time, with
// ids, addresses and lines of its own.
func variedEvent(own *rand.Rand, kind uint64, size int) string {
	words := strings.Fields("render commit use Effect dispatch Action reconcile Child begin Work perform Unit schedule Callback flush Sync Queue fetch Order load Cart handle Click submit Form apply Coupon select Item parse Response validate Address open Modal close track Event resolve Route match Path hydrate Root create Store reduce State")
	same := rand.New(rand.NewPCG(kind, 3))
	name := func() string {
		return words[same.IntN(len(words))] + words[same.IntN(len(words))] + words[same.IntN(len(words))]
	}
	var b strings.Builder
	fmt.Fprintf(&b, `{"event_id":"%016x%016x","timestamp":%d.%03d,"level":"error","platform":"javascript","environment":"production","release":"shop@1.4.2","request":{"url":"https://shop.example/%s/%d"},"contexts":{"trace":{"trace_id":"%016x%016x","span_id":"%016x"}},"exception":{"values":[{"type":"TypeError","value":"Cannot read properties of undefined (reading '%s')","stacktrace":{"frames":[`,
		own.Uint64(), own.Uint64(), 1_790_000_000+own.IntN(1e6), own.IntN(1000), name(), own.IntN(1e6), own.Uint64(), own.Uint64(), own.Uint64(), name())
	for b.Len() < size-160 {
		fmt.Fprintf(&b, `{"filename":"https://shop.example/assets/%s-%08x.js","function":"%s","in_app":true,"lineno":%d,"colno":%d},`, name(), same.Uint32(), name(), own.IntN(90)+1, own.IntN(200000))
	}
	b.WriteString(`{"filename":"https://shop.example/assets/index.js","function":"?","lineno":1}]}}]}}`)
	return b.String()
}

// benchRecord is a report of its own: stores that know event ids must not take two for one.
func benchRecord(payload string) *schemas.Record {
	id := newID().String()
	rec := &schemas.Record{Meta: schemas.Meta{
		ProjectID: 1, Project: "load", Key: loadKey, ReceivedAt: time.Now(), EventID: id, Destinations: []string{"up"},
		Counts: []schemas.Count{{Category: schemas.CategoryError, Quantity: 1}},
	}}
	rec.Envelope.Header = schemas.EmptyHeader()
	rec.Envelope.Header.SetString("event_id", id)
	rec.Envelope.Items = []schemas.Item{{Header: schemas.NewItemHeader("event"), Payload: schemas.Bytes(payload)}}
	return rec
}

func (e *enginesCmd) print(r enginesReport) error {
	if e.JSON || !outputIsTerminal() {
		return print(true, r)
	}
	tw := table.NewWriter()
	tw.SetStyle(table.StyleLight)
	tw.AppendHeader(table.Row{"", "producers", "records/s", "x plain", "x disk", "p50 ms", "p99 ms"})
	for _, c := range r.Cells {
		tw.AppendRow(table.Row{c.Engine, c.Producers, fmt.Sprintf("%.0f", c.PerSecond), fmt.Sprintf("%.2f", c.OfPlain), fmt.Sprintf("%.2f", c.OfDisk), fmt.Sprintf("%.2f", c.P50), fmt.Sprintf("%.2f", c.P99)})
	}
	fmt.Println(tw.Render())
	fmt.Printf("medians of %d rounds of %v, records of %d bytes (%s), %d copies; ratios are of the same round\n", r.Rounds, e.Time, r.Size, r.Payload, r.Replicas)
	return nil
}
