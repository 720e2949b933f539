package relay_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

var up = spool.Destination{Project: "shop", Name: "up"}

// bench is a relay over a source in memory.
type bench struct {
	*testing.T
	*relay.Relay
	src *relaytest.Source
	reg *prometheus.Registry
	log *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(l.b.String()), "\n")
}

func (l *lockedBuffer) count(word string) (n int) {
	for _, line := range l.lines() {
		if strings.Contains(line, word) {
			n++
		}
	}
	return n
}

func newBench(t *testing.T, cfg relay.Config, dests ...relay.DestinationConfig) *bench {
	t.Helper()
	b := &bench{T: t, src: relaytest.NewSource(nil), reg: prometheus.NewPedanticRegistry(), log: &lockedBuffer{}}
	cfg.Registerer, cfg.Log, cfg.Pending = b.reg, zerolog.New(b.log), b.src.Pending
	if cfg.Rand == nil {
		rnd, mu := rand.New(rand.NewPCG(1, 2)), sync.Mutex{}
		cfg.Rand = func() float64 { mu.Lock(); defer mu.Unlock(); return rnd.Float64() }
	}
	var err error
	if b.Relay, err = relay.New(cfg, b.src); err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(dests); err != nil {
		t.Fatal(err)
	}
	return b
}

// stop shuts down and checks the books.
func (b *bench) stop() {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		b.Error(err)
	}
	for _, p := range b.src.Problems() {
		b.Error(p)
	}
}

func (b *bench) add(n int, dests ...string) (ids []string) {
	for range n {
		rec := relaytest.SampleRecord()
		rec.Meta.ReceivedAt = time.Time{}
		if dests != nil {
			rec.Meta.Destinations = dests
		}
		ids = append(ids, b.src.Add(rec))
	}
	return ids
}

func (b *bench) status(dst spool.Destination) relay.Status {
	for _, s := range b.Status() {
		if s.Destination == dst {
			return s
		}
	}
	b.Fatalf("no status of %s", dst)
	return relay.Status{}
}

// metric is the value of a counter or gauge with these label values.
func (b *bench) metric(name string, labels ...string) float64 {
	b.Helper()
	families, err := b.reg.Gather()
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	next:
		for _, m := range f.GetMetric() {
			have := map[string]bool{}
			for _, l := range m.GetLabel() {
				have[l.GetValue()] = true
			}
			for _, l := range labels {
				if !have[l] {
					continue next
				}
			}
			if m.GetHistogram() != nil {
				return float64(m.GetHistogram().GetSampleCount())
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	b.Fatalf("no metric %s %v", name, labels)
	return 0
}

func to(d relay.Destination) relay.DestinationConfig {
	return relay.DestinationConfig{Destination: up, Upstream: d}
}

// good delivers everything.
var good = relaytest.Func(func(context.Context, *schemas.Meta, *schemas.Envelope) ([]schemas.Final, error) { return nil, nil })

// failing fails with this error until it is told otherwise, and counts.
type failing struct {
	err          atomic.Pointer[relay.DeliverError]
	tries        atomic.Int64
	flying, most atomic.Int64
}

func (f *failing) Deliver(ctx context.Context, _ *schemas.Meta, env *schemas.Envelope) ([]schemas.Final, error) {
	f.tries.Add(1)
	n := f.flying.Add(1)
	defer f.flying.Add(-1)
	for most := f.most.Load(); n > most && !f.most.CompareAndSwap(most, n); most = f.most.Load() {
	}
	time.Sleep(10 * time.Millisecond)
	if err := f.err.Load(); err != nil {
		return nil, err
	}
	return nil, nil
}

func fails(err *relay.DeliverError) *failing {
	f := &failing{}
	f.err.Store(err)
	return f
}

var gone = &relay.DeliverError{Class: relay.Temporary, Reason: "connection", Down: true, Err: errors.New("connection refused")}

func TestDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, relay.Config{}, to(good))
		ids := b.add(100)
		synctest.Wait()
		for _, id := range ids {
			want := []schemas.Final{{Outcome: schemas.Delivered}, {Outcome: schemas.Delivered}}
			if ends := b.src.Ends(up, id); len(ends) != 1 || !reflect.DeepEqual(ends[0].Finals, want) {
				t.Fatalf("record %s ended as %v", id, ends)
			}
		}
		if n := b.metric("breakwater_relay_attempts_total", "shop/up", "delivered"); n != 100 {
			t.Errorf("%v attempts counted", n)
		}
		if n := b.metric("breakwater_relay_delivery_latency_seconds", "shop/up"); n != 100 {
			t.Errorf("%v latencies observed", n)
		}
		b.stop()
	})
}

// An outage of two hours: the circuit keeps the backlog untouched, the other
// destination does not notice, two lines are logged, everything arrives.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other := spool.Destination{Project: "shop", Name: "other"}
		dead := fails(gone)
		b := newBench(t, relay.Config{}, to(dead), relay.DestinationConfig{Destination: other, Upstream: good})
		ids := b.add(500, "up", "other")
		synctest.Wait()
		if n := b.src.Ended(other); n != 500 {
			t.Errorf("the other destination has %d of 500", n)
		}
		time.Sleep(2 * time.Hour)
		if n := dead.tries.Load(); n < 100 || n > 300 {
			t.Errorf("%d attempts in two hours of outage", n)
		}
		if n := b.src.Claims(up); n > dead.tries.Load()+8 {
			t.Errorf("%d claims for %d attempts: the backlog is being turned over", n, dead.tries.Load())
		}
		st := b.status(up)
		if st.State == relay.Closed || st.Last != "connection" || st.DownSince.IsZero() || st.LastError == "" || st.Failures < 5 {
			t.Errorf("status %+v", st)
		}
		if s := b.status(other).State; s != relay.Closed {
			t.Errorf("the other destination is %s", s)
		}
		dead.err.Store(nil)
		time.Sleep(6 * time.Minute) // a minute to the probe, five to the longest backoff
		if n := b.src.Ended(up); n != len(ids) {
			t.Errorf("%d of %d records arrived after the outage", n, len(ids))
		}
		if b.log.count("upstream unreachable") != 1 || b.log.count("upstream recovered") != 1 || len(b.log.lines()) != 2 {
			t.Errorf("log:\n%s", strings.Join(b.log.lines(), "\n"))
		}
		if line := b.log.lines()[1]; !strings.Contains(line, `"after":"2h`) || !strings.Contains(line, `"pending":49`) {
			t.Errorf("log: %s", line)
		}
		b.stop()
	})
}

func TestHalfOpenProbesWithOneRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := fails(gone)
		b := newBench(t, relay.Config{}, to(dead))
		b.add(100)
		time.Sleep(time.Minute)
		dead.most.Store(0)
		time.Sleep(time.Hour)
		if n := dead.most.Load(); n != 1 {
			t.Errorf("%d attempts at once while probing", n)
		}
		b.stop()
	})
}

func TestAttemptsAreBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		err         relay.DeliverError
		maxAttempts int
		tries       int64 // 0: no limit
		buried      string
	}{
		"bounded":                            {relay.DeliverError{Class: relay.Bounded, Reason: "http_500"}, 0, 5, "http_500"},
		"bounded by max_attempts first":      {relay.DeliverError{Class: relay.Bounded, Reason: "http_500"}, 2, 2, "max_attempts"},
		"permanent":                          {relay.DeliverError{Class: relay.Permanent, Reason: "http_400"}, 0, 1, "http_400"},
		"permanent with a word nobody knows": {relay.DeliverError{Class: relay.Permanent, Reason: "novel"}, 0, 1, "error"},
		"temporary":                          {relay.DeliverError{Class: relay.Temporary, Reason: "http_408", Status: 408}, 0, 0, ""},
		"temporary under max_attempts":       {relay.DeliverError{Class: relay.Temporary, Reason: "http_408", Status: 408}, 7, 7, "max_attempts"},
		"down":                               {*gone, 0, 0, ""},
		"down under max_attempts":            {*gone, 3, 3, "max_attempts"},
		"held is no attempt":                 {relay.DeliverError{Class: relay.Held, Reason: "rate_limited"}, 1, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := fails(&tc.err)
				c := to(f)
				c.MaxAttempts = tc.maxAttempts
				b := newBench(t, relay.Config{}, c)
				id := b.add(1)[0]
				time.Sleep(24 * time.Hour)
				ends := b.src.Ends(up, id)
				if tc.tries == 0 {
					if len(ends) > 0 || f.tries.Load() < 100 {
						t.Errorf("after %d attempts in a day it ended as %v", f.tries.Load(), ends)
					}
				} else if f.tries.Load() != tc.tries || len(ends) != 1 || ends[0].Buried != tc.buried {
					t.Errorf("after %d attempts it ended as %v; want %d and %q", f.tries.Load(), ends, tc.tries, tc.buried)
				}
				b.stop()
			})
		})
	}
}

// A dead letter that somebody retries has all its attempts again.
func TestRetriedDeadLetterStartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fails(&relay.DeliverError{Class: relay.Bounded, Reason: "http_500"})
		b := newBench(t, relay.Config{}, to(f))
		id := b.add(1)[0]
		time.Sleep(time.Hour)
		if f.tries.Load() != 5 || !b.src.Retry(up, id) {
			t.Fatalf("%d attempts, ended as %v", f.tries.Load(), b.src.Ends(up, id))
		}
		time.Sleep(time.Hour)
		if f.tries.Load() != 10 {
			t.Errorf("%d attempts after the retry, want 5 more", f.tries.Load()-5)
		}
		b.stop()
	})
}

// A record the upstream fails at does not hold up those behind it; an outage
// that shows as 500 does not bury the backlog.
func TestPoisonAndOutageOf500(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		b := newBench(t, relay.Config{}, to(relaytest.Func(func(_ context.Context, m *schemas.Meta, _ *schemas.Envelope) ([]schemas.Final, error) {
			if m.ID == "R00000001" || broken.Load() {
				return nil, &relay.DeliverError{Class: relay.Bounded, Reason: "http_500", Status: 500}
			}
			return nil, nil
		})))
		b.add(50)
		synctest.Wait()
		if n := b.src.Ended(up); n != 49 {
			t.Errorf("%d of 49 good records arrived at once", n)
		}
		time.Sleep(10 * time.Minute)
		if ends := b.src.Ends(up, "R00000001"); len(ends) != 1 || ends[0].Buried != "http_500" {
			t.Errorf("poison ended as %v", ends)
		}
		broken.Store(true)
		ids := b.add(1000)
		time.Sleep(10 * time.Minute)
		broken.Store(false)
		time.Sleep(10 * time.Minute)
		buried := 0
		for _, id := range ids {
			if ends := b.src.Ends(up, id); len(ends) != 1 {
				t.Errorf("%s ended as %v", id, ends)
			} else if ends[0].Buried != "" {
				buried++
			}
		}
		if buried > 20 {
			t.Errorf("%d of 1000 records were buried in ten minutes of errors", buried)
		}
		b.stop()
	})
}

func TestAlertIsLoggedOncePerChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fails(&relay.DeliverError{Class: relay.Permanent, Reason: "unauthorized", Status: 403, Alert: "DSN rejected"})
		b := newBench(t, relay.Config{}, to(f))
		b.add(50)
		time.Sleep(time.Minute)
		if st := b.status(up); st.Alert != "DSN rejected" || st.LastStatus != 403 {
			t.Errorf("status %+v", st)
		}
		f.err.Store(nil)
		b.add(50)
		time.Sleep(time.Minute)
		if b.log.count("DSN rejected") != 2 || b.log.count("upstream refuses what it is sent") != 1 || b.log.count("upstream accepts again") != 1 {
			t.Errorf("log:\n%s", strings.Join(b.log.lines(), "\n"))
		}
		if st := b.status(up); st.Alert != "" {
			t.Errorf("the alert stays: %+v", st)
		}
		b.stop()
	})
}
