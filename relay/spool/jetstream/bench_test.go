package jetstream

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"breakwater/relay/spool/jetstream/natstest"
	"breakwater/relay/spool/spooltest"
	"breakwater/schemas"
)

// BenchmarkAgainstPlainPublish compares appends with plain publishing, side by
// side: 128 producers of 4 KB, errors that resemble each other as those of one
// application do, or noise that does not compress, on three servers that sync,
// each producer waiting for its confirmation. The plain producers share one
// connection, or have one each. Rounds of both alternate, so that a busy machine
// slows both. times-plain is the figure that counts.
//
//	go test -run '^$' -bench AgainstPlain -benchtime 5x ./relay/spool/jetstream
func BenchmarkAgainstPlainPublish(b *testing.B) {
	for _, connections := range []int{1, 128} { // of the plain publishers together; the spool has one
		b.Run(fmt.Sprintf("errors/%d", connections), func(b *testing.B) { againstPlain(b, anError, connections) })
		b.Run(fmt.Sprintf("random/%d", connections), func(b *testing.B) { againstPlain(b, noise, connections) })
	}
}

// anError is an event of a web page: one of a hundred errors, with ids, times,
// an address and line numbers of its own.
func anError() []byte {
	kind := rand.IntN(100)
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"event_id":"%016x%016x","timestamp":%d.%03d,"platform":"javascript","level":"error","environment":"production","release":"shop@1.%d.2",`+
		`"user":{"id":"%d","ip_address":"{{auto}}"},"request":{"url":"https://shop.example/product/%d?ref=%x","headers":{"User-Agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/14%d.0.0.0 Safari/537.36"}},`+
		`"contexts":{"trace":{"trace_id":"%016x%016x","span_id":"%016x"}},"sdk":{"name":"sentry.javascript.react","version":"10.1.0"},"breadcrumbs":[`,
		rand.Uint64(), rand.Uint64(), 1_790_000_000+rand.IntN(1e6), rand.IntN(1000), rand.IntN(5), rand.IntN(1e6), rand.IntN(1e5), rand.Uint32(), rand.IntN(9),
		rand.Uint64(), rand.Uint64(), rand.Uint64())
	for i := range 8 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"timestamp":%d.%03d,"type":"http","category":"fetch","data":{"method":"GET","url":"/api/v2/item/%d","status_code":200}}`, 1_790_000_000+rand.IntN(1e6), rand.IntN(1000), rand.IntN(1e6))
	}
	fmt.Fprintf(&b, `],"exception":{"values":[{"type":"TypeError","value":"Cannot read properties of undefined (reading 'field%d')","mechanism":{"type":"onerror","handled":false},"stacktrace":{"frames":[`, kind)
	for i := 0; b.Len() < 3950; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"filename":"https://shop.example/assets/index-%08x.js","function":"fn%d","in_app":true,"lineno":%d,"colno":%d}`, kind*7919, kind+i, rand.IntN(50), rand.IntN(90000))
	}
	b.WriteString(`]}}]}}`)
	return b.Bytes()
}

// noise is 4 KB that hardly compress.
func noise() []byte {
	text := make([]byte, 4096)
	for i := range text {
		text[i] = byte(' ' + rand.IntN(95))
	}
	return text
}

func againstPlain(b *testing.B, payload func() []byte, connections int) {
	const producers, round = 128, time.Second
	var payloads [1024][]byte
	for i := range payloads {
		payloads[i] = payload()
	}
	var next, turn atomic.Uint64
	text := func() []byte { return payloads[next.Add(1)%uint64(len(payloads))] }
	c := natstest.Start(b, natstest.Options{Nodes: 3})
	var all []jetstream.JetStream
	for range connections {
		conn, err := nats.Connect(c.URL())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		js, err := jetstream.New(conn)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, js)
	}
	if _, err := all[0].CreateStream(b.Context(), jetstream.StreamConfig{Name: "plain", Subjects: []string{"plain"}, Replicas: 3}); err != nil {
		b.Fatal(err)
	}
	s := mustOpen(b, Config{URL: c.URL(), Monitors: c.Monitors(), Stream: "packed", MaxSize: 64 << 30})
	defer s.Close()
	run := func(one func(ctx context.Context) error) (int64, time.Duration) {
		var n atomic.Int64
		var wg sync.WaitGroup
		start := time.Now()
		for range producers {
			wg.Go(func() {
				for time.Since(start) < round {
					if err := one(context.Background()); err != nil {
						b.Error(err)
						return
					}
					n.Add(1)
				}
			})
		}
		wg.Wait()
		return n.Load(), time.Since(start)
	}
	var sent [2]int64
	var took [2]time.Duration
	add := func(i int, n int64, d time.Duration) { sent[i], took[i] = sent[i]+n, took[i]+d }
	for b.Loop() {
		n, d := run(func(ctx context.Context) error {
			js := all[turn.Add(1)%uint64(connections)]
			_, err := js.PublishMsg(ctx, &nats.Msg{Subject: "plain", Data: text()})
			return err
		})
		add(0, n, d)
		n, d = run(func(ctx context.Context) error {
			rec := spooltest.Record(time.Now(), []string{"a"})
			rec.Envelope.Items = []schemas.Item{{Header: schemas.NewItemHeader("event"), Payload: schemas.Bytes(text())}}
			rec.Meta.Counts = []schemas.Count{{Category: schemas.CategoryError, Quantity: 1}}
			return s.Append(ctx, rec)
		})
		add(1, n, d)
	}
	b.ReportMetric(mean(b, s.metrics.packed), "records/message")
	b.ReportMetric(mean(b, s.metrics.publish)*1000, "ms/message")
	plain, packed := float64(sent[0])/took[0].Seconds(), float64(sent[1])/took[1].Seconds()
	b.ReportMetric(plain, "plain/s")
	b.ReportMetric(packed, "appends/s")
	b.ReportMetric(packed/plain, "times-plain")
}

func mean(b *testing.B, h prometheus.Histogram) float64 {
	b.Helper()
	var m dto.Metric
	if err := h.Write(&m); err != nil {
		b.Fatal(err)
	}
	return m.GetHistogram().GetSampleSum() / float64(max(m.GetHistogram().GetSampleCount(), 1))
}
