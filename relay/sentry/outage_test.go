package sentry_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/relay/sentry"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

// line is an upstream, the destination that delivers to it, and its queue, all
// on the clock of a synctest bubble.
type line struct {
	up  *relaytest.Upstream
	cfg relay.DestinationConfig
}

func newLine(t *testing.T, name string, o relaytest.Options) line {
	t.Helper()
	up, mem := relaytest.NewUpstream(o), relaytest.NewMemory()
	if err := up.Serve(mem); err != nil {
		t.Fatal(err)
	}
	d, err := sentry.New(sentry.Config{DSN: secretDSN(up), Dial: mem.Dial})
	if err != nil {
		t.Fatal(err)
	}
	return line{up, relay.DestinationConfig{Destination: spool.Destination{Project: "shop", Name: name}, Upstream: d, Target: d.Target()}}
}

type output struct {
	mu sync.Mutex
	strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Builder.Write(b)
}

func run(t *testing.T, src *relaytest.Source, log *output, lines ...line) (r *relay.Relay, stop func()) {
	t.Helper()
	rnd, mu := rand.New(rand.NewPCG(3, 4)), sync.Mutex{}
	r, err := relay.New(relay.Config{Log: zerolog.New(log), Pending: src.Pending, Rand: func() float64 {
		mu.Lock()
		defer mu.Unlock()
		return rnd.Float64()
	}}, src)
	if err != nil {
		t.Fatal(err)
	}
	var cfgs []relay.DestinationConfig
	for _, l := range lines {
		cfgs = append(cfgs, l.cfg)
	}
	if err := r.Apply(cfgs); err != nil {
		t.Fatal(err)
	}
	return r, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		for _, l := range lines {
			l.up.Close()
			for _, p := range l.up.Problems() {
				t.Error(p)
			}
		}
		for _, p := range src.Problems() {
			t.Error(p)
		}
		synctest.Wait()
	}
}

// Two hours of outage leave every event's time as it was, by the rule Sentry
// applies: also for clients whose clock is wrong, for which the server's
// correction must come out the same as without a gateway.
func TestEventTimesSurviveAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down, live := newLine(t, "up", relaytest.Options{}), newLine(t, "other", relaytest.Options{})
		src := relaytest.NewSource(nil)
		log := &output{}
		r, stop := run(t, src, log, down, live)
		down.up.Always(relaytest.Status(503))

		clocks := map[string]time.Duration{
			"right": 0, "a minute slow": -time.Minute, "40 minutes slow": -40 * time.Minute, "an hour slow": -time.Hour, "two days fast": 48 * time.Hour, "a year slow": -365 * 24 * time.Hour,
		}
		want := map[string]time.Time{} // by event id: what Sentry would store if it had been up
		for range 20 {
			for name, skew := range clocks {
				clock := time.Now().Add(skew)
				happened := clock.Add(-3 * time.Second).Truncate(time.Millisecond)
				id := fmt.Sprintf("%032x", len(want)+1)
				src.Add(at(relaytest.MustRecord(fmt.Sprintf("{\"event_id\":%q,\"sent_at\":%q}\n{\"type\":\"event\"}\n{\"timestamp\":%.3f,\"message\":%q}",
					id, clock.UTC().Format("2006-01-02T15:04:05.000Z"), float64(happened.UnixMilli())/1000, name))))
				want[id] = happened
				if skew >= relaytest.MinDrift || skew <= -relaytest.MinDrift {
					want[id] = happened.Add(-skew)
				}
			}
			time.Sleep(30 * time.Second)
		}
		synctest.Wait()
		if n := len(live.up.Taken()); n != len(want) {
			t.Errorf("the upstream that is up has %d of %d", n, len(want))
		}
		time.Sleep(2 * time.Hour)
		if n := down.up.Totals().Requests; n > 400 {
			t.Errorf("%d requests to an upstream that is away", n)
		}
		if st := r.Status()[1]; st.State == relay.Closed || st.LastStatus != 503 || st.Last != "http_503" {
			t.Errorf("status %+v", st)
		}
		down.up.Always(relaytest.Status(200))
		time.Sleep(10 * time.Minute)

		for name, up := range map[string]*relaytest.Upstream{"delayed": down.up, "live": live.up} {
			late := 0
			for _, req := range up.Taken() {
				got, ok := req.StoredTime()
				if off := got.Sub(want[req.EventID]); !ok || off > time.Second || off < -time.Second {
					t.Errorf("%s: event %s would be stored at %v, %v off (drift %v)", name, req.EventID, got, off, req.Drift())
				}
				if req.At.Sub(want[req.EventID]) > time.Hour {
					late++
				}
			}
			if unique, repeated := up.IDs().Len(); unique != len(want) || repeated != 0 {
				t.Errorf("%s: %d of %d events arrived, %d of them twice", name, unique, len(want), repeated)
			}
			if name == "delayed" && late != len(want) {
				t.Errorf("only %d of %d came late: the test proves nothing", late, len(want))
			}
		}
		if s := log.String(); strings.Count(s, "\n") != 2 || strings.Contains(s, "hushhush") {
			t.Errorf("log:\n%s", s)
		}
		stop()
	})
}

// at clears the time of receipt, so that the source stamps it.
func at(rec *schemas.Record) *schemas.Record {
	rec.Meta.ReceivedAt = time.Time{}
	rec.Meta.Destinations = []string{"up", "other"}
	return rec
}

// Random statuses, limits and broken connections: every record ends exactly
// once, what was delivered arrived, and nothing arrived twice but where an
// answer was lost.
func TestFaultsLoseNothing(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { faultsLoseNothing(t, seed) })
		})
	}
}

func faultsLoseNothing(t *testing.T, seed uint64) {
	l := newLine(t, "up", relaytest.Options{})
	src := relaytest.NewSource(nil)
	log := &output{}
	_, stop := run(t, src, log, l)
	rnd := rand.New(rand.NewPCG(seed, 1))
	steps := []relaytest.Step{
		{},
		{},
		{},
		{},
		{Delay: 3 * time.Second},
		{Delay: time.Minute},
		relaytest.Status(400), relaytest.Status(403), relaytest.Status(408), relaytest.Status(413), relaytest.Status(500), relaytest.Status(502),
		relaytest.Status(503, "Retry-After", "30"), relaytest.Status(302, "Location", "http://elsewhere/"),
		relaytest.Status(429), relaytest.Status(429, "X-Sentry-Rate-Limits", "20:error:key"), relaytest.Status(429, "X-Sentry-Rate-Limits", "4000:session:project"),
		relaytest.Status(200, "X-Sentry-Rate-Limits", "15:error:organization"),
		{Fault: relaytest.ResetBefore},
		{Fault: relaytest.ResetAfter},
		{Fault: relaytest.Hang},
		{Fault: relaytest.Garbage},
		{Fault: relaytest.Truncated},
		{Fault: relaytest.SlowBody},
		{Fault: relaytest.HugeBody, Size: 1 << 20},
		{Fault: relaytest.HugeHeader, Size: 1 << 20},
	}
	var script []relaytest.Step
	for range 400 {
		script = append(script, steps[rnd.IntN(len(steps))])
	}
	l.up.Script(script...)
	events := map[string]string{}
	for range 100 {
		rec := relaytest.SampleRecord()
		if rnd.IntN(3) == 0 {
			rec.Envelope.Items = append(rec.Envelope.Items, schemas.Item{Header: schemas.NewItemHeader("attachment"), Payload: fileBody{size: 64 << 10}})
			rec.Meta.Counts = append(rec.Meta.Counts, schemas.Count{Category: schemas.CategoryAttachment, Quantity: 1})
		}
		rec.Meta.ReceivedAt = time.Time{}
		events[src.Add(rec)] = rec.Meta.EventID
		time.Sleep(time.Duration(rnd.Int64N(int64(5 * time.Second))))
	}
	time.Sleep(24 * time.Hour)
	l.up.Relent()
	time.Sleep(24 * time.Hour)

	delivered := 0
	for id, event := range events {
		ends := src.Ends(l.cfg.Destination, id)
		if len(ends) != 1 {
			t.Fatalf("%s ended %d times", id, len(ends))
		}
		eid, _ := relaytest.ParseID(event)
		if len(ends[0].Finals) > 0 && ends[0].Finals[0].Outcome == schemas.Delivered {
			delivered++
			if l.up.IDs().Count(eid) == 0 {
				t.Errorf("%s ended as delivered but never arrived", id)
			}
		}
	}
	if delivered < 20 {
		t.Errorf("only %d of %d were delivered: the test proves little", delivered, len(events))
	}
	answered := map[string]int{}
	for _, req := range l.up.Taken() {
		lost := req.Step.Fault == relaytest.ResetAfter || req.Step.Fault == relaytest.HugeHeader || req.Step.Delay > 10*time.Second
		if answered[req.EventID]++; lost {
			answered[req.EventID]--
		}
		if answered[req.EventID] > 1 {
			t.Errorf("event %s arrived again although its delivery was answered", req.EventID)
		}
	}
	if strings.Contains(log.String(), "hushhush") || strings.Contains(log.String(), relaytest.TestKey) {
		t.Errorf("secret in the log:\n%s", log.String())
	}
	stop()
}
