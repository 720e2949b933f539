package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"breakwater/schemas"
)

// Options are one run's. DSN, Scenario, Rate and Duration are wanted.
type Options struct {
	// DSN is the gateway's, as an SDK has it.
	DSN schemas.DSN
	// Project is its configured name; without one, the counts of all projects
	// are compared.
	Project string
	// Scenario is one of Scenarios.
	Scenario string
	// Rate is in items a second.
	Rate float64
	// Duration is how long requests are begun.
	Duration time.Duration
	// Releases that people use, oldest first. Two by default.
	Releases []string
	// Connections is how many requests may be under way. 64.
	Connections int
	// Addresses is how many client addresses are invented, sent as
	// X-Forwarded-For; 0 sends none. The gateway believes them only when this
	// machine is one of its trusted proxies.
	Addresses int
	// Seed makes the same visits again; ids of events differ all the same only
	// by it, so two runs with one seed repeat them.
	Seed uint64
	// Metrics is the address of the gateway's /metrics.
	Metrics string
	// Upstream is the address of a recording upstream that answers GET with the
	// numbers "requests" and "unique" (go run ./cmd/loadgen sink); "" for none.
	Upstream string
	// Wait bounds how long deliveries are waited for at the end. 60 s.
	Wait time.Duration
	// Client posts and scrapes. A default with keep-alive connections.
	Client *http.Client
	Now    func() time.Time // time.Now
	// Progress is told a few times a second how the run goes. Optional.
	Progress func(Progress)
}

// Progress is the state of a run that goes on.
type Progress struct {
	Phase    string // sending, waiting for deliveries
	Elapsed  time.Duration
	Sent     int // items
	Refused  int // items in requests that were not answered 2xx
	Lost     int // items in requests without an answer
	InSpool  int // items
	InFlight int // requests
}

func (o Options) withDefaults() Options {
	if o.Connections <= 0 {
		o.Connections = 64
	}
	if o.Wait <= 0 {
		o.Wait = time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Client == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConns, t.MaxIdleConnsPerHost = o.Connections, o.Connections
		o.Client = &http.Client{Transport: t, Timeout: 30 * time.Second}
	}
	return o
}

// Run sends for o.Duration, waits until the gateway has delivered or holds what
// it took, and compares. It ends early, with what there is, when ctx does. The
// error is for a run that could not be made; a difference is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	o = o.withDefaults()
	if o.Rate <= 0 || o.Duration <= 0 {
		return nil, errors.New("rate and duration must be above zero")
	}
	start := o.Now()
	elapsed := func() time.Duration { return o.Now().Sub(start) }
	gen, err := newGenerator(&o, func() float64 { return min(1, elapsed().Seconds()/o.Duration.Seconds()) })
	if err != nil {
		return nil, err
	}
	before, err := scrape(ctx, &o)
	if err != nil {
		return nil, err
	}
	var up upstreamCounts
	if o.Upstream != "" {
		if up, err = askUpstream(ctx, &o); err != nil {
			return nil, err
		}
	}
	s := &sender{o: &o, sums: newSums()}
	start = o.Now()
	s.send(ctx, gen, elapsed)
	took := elapsed()
	after, err := s.settle(context.WithoutCancel(ctx), before, took)
	if err != nil {
		return nil, err
	}
	r := s.sums.report(&o, before, after, took)
	if o.Upstream != "" {
		now, err := askUpstream(context.WithoutCancel(ctx), &o)
		if err != nil {
			return nil, err
		}
		r.compareUpstream(up, now)
	}
	return r, nil
}

// sender posts what a generator makes.
type sender struct {
	o    *Options
	sums *sums
}

// tick is how often the pace is checked. What a slow machine could not send in
// a second is not made up for: a rate is no debt.
const tick = 5 * time.Millisecond

func (s *sender) send(ctx context.Context, gen *generator, elapsed func() time.Duration) {
	requests := make(chan request)
	var workers sync.WaitGroup
	for range s.o.Connections {
		workers.Go(func() {
			for r := range requests {
				s.post(ctx, r)
			}
		})
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	budget, last, shown := 0.0, time.Duration(0), time.Duration(0)
	for ctx.Err() == nil {
		now := elapsed()
		if now >= s.o.Duration {
			break
		}
		budget = min(budget+s.o.Rate*(now-last).Seconds(), s.o.Rate)
		last = now
		for budget > 0 && elapsed() < s.o.Duration {
			r := gen.next()
			budget -= float64(r.items.total())
			requests <- r
		}
		if s.o.Progress != nil && now-shown > 250*time.Millisecond {
			shown = now
			s.o.Progress(s.sums.progress("sending", now))
		}
		<-ticker.C
	}
	close(requests)
	workers.Wait()
}

// post sends one request and books its answer.
func (s *sender) post(ctx context.Context, r request) {
	s.sums.begin()
	url := s.o.DSN.Scheme + "://" + s.o.DSN.Host + s.o.DSN.Path + "/api/" + s.o.DSN.ProjectID + "/" + r.path
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(r.body))
	if err != nil {
		s.sums.lost(r)
		return
	}
	req.Header.Set("Content-Type", r.contentType)
	req.Header.Set("User-Agent", r.userAgent)
	if r.contentType != "application/x-sentry-envelope" {
		req.Header.Set("Origin", "https://shop.example")
	}
	if r.address != "" {
		req.Header.Set("X-Forwarded-For", r.address)
	}
	resp, err := s.o.Client.Do(req)
	if err != nil {
		s.sums.lost(r)
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
	s.sums.answered(r, resp.StatusCode, unread(resp))
}

// unread tells whether a refusal came before the request's items were known:
// the gateway then counts one item of category unknown. A limit on the address
// or the key names no category; a full spool is told after reading.
func unread(resp *http.Response) bool {
	switch {
	case resp.StatusCode/100 == 2:
		return false
	case resp.StatusCode == http.StatusTooManyRequests:
		return strings.Contains(resp.Header.Get("X-Sentry-Rate-Limits"), "::") || resp.Header.Get("X-Sentry-Rate-Limits") == ""
	case resp.StatusCode == http.StatusServiceUnavailable:
		return resp.Header.Get("X-Sentry-Error") != "failed to queue envelope"
	}
	return true
}

// settle waits until nothing of the project is on its way any more: the spool
// is as it was, or has not moved for a while (held, or its upstream is away). It
// then reads once more: one scrape reads its numbers one after the other, and the
// last item may have ended in between.
func (s *sender) settle(ctx context.Context, before counts, took time.Duration) (counts, error) {
	const still = 5 * time.Second
	deadline := s.o.Now().Add(s.o.Wait)
	moved, last := s.o.Now(), -1
	for {
		after, err := scrape(ctx, s.o)
		if err != nil {
			return nil, fmt.Errorf("after the run: %w", err)
		}
		waiting := after.total(inSpool) - before.total(inSpool)
		if waiting != last {
			moved, last = s.o.Now(), waiting
		}
		now := s.o.Now()
		if waiting <= 0 || now.After(deadline) || now.Sub(moved) > still {
			return scrape(ctx, s.o)
		}
		if s.o.Progress != nil {
			p := s.sums.progress("waiting for deliveries", took)
			p.InSpool = waiting
			s.o.Progress(p)
		}
		select {
		case <-ctx.Done():
			return after, nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}
