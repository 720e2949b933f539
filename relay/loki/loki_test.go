package loki_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/relay"
	"breakwater/relay/loki"
	"breakwater/relay/relaytest"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

func make1(t *testing.T, c loki.Config) *loki.Destination {
	t.Helper()
	d, err := loki.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestContract(t *testing.T) {
	push := &relaytest.Push{Tenant: "shop", Authorization: "Basic dTpodXNoaHVzaA=="}
	relaytest.Contract(t, relaytest.Suite{
		New: func(t *testing.T, up *relaytest.Upstream) relay.Destination {
			return make1(t, loki.Config{URL: up.URL(), Tenant: "shop", Username: "u", Password: "hushhush"})
		},
		Upstream: push.Options(),
		Batches:  true,
		Secrets:  []string{"hushhush", "dTpodXNoaHVzaA=="},
		// Loki says 500 when too few of its ingesters live.
		Except: map[int]relaytest.Want{500: {Class: relay.Temporary, Down: true}},
	})
}

func TestPlainContract(t *testing.T) {
	relaytest.PlainContract(t, relaytest.Plain{
		New: func(t *testing.T) (relay.Destination, func() string) {
			push := &relaytest.Push{}
			up := relaytest.StartUpstream(t, push.Options())
			return make1(t, loki.Config{URL: up.URL(), Concurrency: 2}), func() string { return text(push) }
		},
		Away: func(t *testing.T) relay.Destination {
			up := relaytest.StartUpstream(t, relaytest.Options{Raw: true})
			up.Close()
			return make1(t, loki.Config{URL: up.URL()})
		},
		Reason: "connection",
		Stuck: func(t *testing.T) relay.Destination {
			up := relaytest.StartUpstream(t, relaytest.Options{Raw: true})
			up.Always(relaytest.Step{Fault: relaytest.Hang})
			return make1(t, loki.Config{URL: up.URL()})
		},
		Store: true,
	})
}

func text(p *relaytest.Push) string {
	var b bytes.Buffer
	entries, _ := p.Entries()
	for _, e := range entries {
		fmt.Fprintln(&b, e.Line)
	}
	return strings.TrimSpace(b.String())
}

func event(environment string, received time.Time) *schemas.Record {
	id := relaytest.SampleRecord().Meta.EventID
	rec := relaytest.MustRecord(fmt.Sprintf("{\"event_id\":%q}\n{\"type\":\"event\"}\n{\"environment\":%q,\"timestamp\":0,\"message\":\"hello\"}", id, environment))
	rec.Meta.ReceivedAt = received
	return rec
}

// A line has the time of receipt, whatever the client's clock says, and a
// repeat is the same line.
func TestLinesAndRepeats(t *testing.T) {
	push := &relaytest.Push{}
	up := relaytest.StartUpstream(t, push.Options())
	d := make1(t, loki.Config{URL: up.URL() + "/", Labels: map[string]string{"cluster": "eu", "project": "mine"}})
	received := time.Now().Add(-time.Minute)
	rec := event("production", received)
	up.Script(relaytest.Step{Fault: relaytest.ResetAfter})
	if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err == nil {
		t.Fatal("an answer that was lost counts as delivered")
	}
	if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
		t.Fatal(err)
	}
	entries, repeats := push.Entries()
	if len(entries) != 1 || repeats != 1 {
		t.Fatalf("%d entries, %d repeats", len(entries), repeats)
	}
	e := entries[0]
	want := map[string]string{"job": "breakwater", "cluster": "eu", "project": "shop", "kind": "message", "level": "error", "environment": "production"}
	if fmt.Sprint(e.Labels) != fmt.Sprint(want) || !e.At.Equal(received.Truncate(time.Nanosecond)) {
		t.Errorf("%v at %v, want %v at %v", e.Labels, e.At, want, received)
	}
	var doc relay.Document
	if err := json.Unmarshal([]byte(e.Line), &doc); err != nil || doc.Message != "hello" || doc.Timestamp != "1970-01-01T00:00:00.000Z" {
		t.Errorf("%s: %v", e.Line, err)
	}
	if r := up.Requests()[0]; r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("X-Scope-OrgID") != "" {
		t.Errorf("%v", r.Header)
	}
}

// A client that sends a thousand environments and tags makes a dozen streams.
func TestLabelsAreBounded(t *testing.T) {
	push := &relaytest.Push{}
	up := relaytest.StartUpstream(t, push.Options())
	d := make1(t, loki.Config{URL: up.URL()})
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			rec := event(fmt.Sprintf("env-%d", i), time.Now())
			if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if entries, _ := push.Entries(); len(entries) != 300 || push.Streams() != 11 {
		t.Errorf("%d entries in %d streams, want 300 in 11", len(entries), push.Streams())
	}
}

// Of a batch with one line that Loki refuses, that one alone is final.
func TestRefusedLineCostsNoNeighbour(t *testing.T) {
	push := &relaytest.Push{}
	up := relaytest.StartUpstream(t, push.Options())
	d := make1(t, loki.Config{URL: up.URL(), Concurrency: 1})
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			received := time.Now()
			if i == 9 {
				received = received.Add(-10 * 24 * time.Hour)
			}
			rec := event("production", received)
			_, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
			if (err != nil) != (i == 9) {
				t.Errorf("record %d: %v", i, err)
			}
			if de := relay.AsDeliverError(err); i == 9 && (de.Class != relay.Permanent || de.Reason != "http_400" || !strings.Contains(de.Error(), "too old")) {
				t.Errorf("%+v", de)
			}
		})
	}
	wg.Wait()
	if entries, _ := push.Entries(); len(entries) != 63 {
		t.Errorf("%d entries, want 63", len(entries))
	}
}

func TestTooLargeIsSplit(t *testing.T) {
	push := &relaytest.Push{MaxContent: 100 << 10}
	up := relaytest.StartUpstream(t, push.Options())
	d := make1(t, loki.Config{URL: up.URL(), Concurrency: 1, FullEvent: true, Encoding: "none"})
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			id := relaytest.SampleRecord().Meta.EventID
			rec := relaytest.MustRecord(fmt.Sprintf("{\"event_id\":%q}\n{\"type\":\"event\"}\n{\"extra\":{\"x\":%q}}", id, strings.Repeat("x", 20<<10)))
			if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if entries, _ := push.Entries(); len(entries) != 40 {
		t.Errorf("%d entries", len(entries))
	}
}

// Through the loop to a Loki that fails at random: every report is one line.
func TestEveryLineOnceWhateverFails(t *testing.T) {
	push := &relaytest.Push{}
	rnd, mu := rand.New(rand.NewPCG(3, 4)), sync.Mutex{}
	opts := push.Options()
	opts.Decide = func(*relaytest.Request) relaytest.Step {
		mu.Lock()
		defer mu.Unlock()
		switch rnd.IntN(8) {
		case 0:
			return relaytest.Step{Fault: relaytest.ResetAfter}
		case 1:
			return relaytest.Status(500)
		case 2:
			return relaytest.Status(503)
		}
		return relaytest.Status(http.StatusNoContent)
	}
	up := relaytest.StartUpstream(t, opts)
	src := relaytest.NewSource(nil)
	r, err := relay.New(relay.Config{BackoffBase: time.Millisecond, BackoffCap: 10 * time.Millisecond, CircuitBase: time.Millisecond, CircuitCap: 5 * time.Millisecond}, src)
	if err != nil {
		t.Fatal(err)
	}
	dst := spool.Destination{Project: "shop", Name: "up"}
	if err := r.Apply([]relay.DestinationConfig{{Destination: dst, Upstream: make1(t, loki.Config{URL: up.URL(), Concurrency: 2}), Concurrency: 32}}); err != nil {
		t.Fatal(err)
	}
	const n = 1000
	for range n {
		src.Add(event("production", time.Now()))
	}
	for deadline := time.Now().Add(3 * time.Minute); src.Ended(dst) < n && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	entries, repeats := push.Entries()
	seen := map[string]bool{}
	for _, e := range entries {
		var doc relay.Document
		if err := json.Unmarshal([]byte(e.Line), &doc); err != nil {
			t.Fatal(err)
		}
		seen[doc.EventID] = true
	}
	if len(entries) != n || len(seen) != n {
		t.Errorf("%d lines of %d events, want %d", len(entries), len(seen), n)
	}
	for _, p := range src.Problems() {
		t.Error(p)
	}
	t.Logf("%d lines, %d sent more than once, %d requests", len(entries), repeats, up.Totals().Requests)
}

func TestBadConfiguration(t *testing.T) {
	for _, c := range []loki.Config{{URL: "h:3100"}, {URL: "http://u:p@h"}, {URL: "http://h", Encoding: "zstd"}} {
		if _, err := loki.New(c); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
