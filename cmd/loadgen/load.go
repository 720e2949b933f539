package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"breakwater/relay/relaytest"
)

// load is one run of a generator.
//
// Without a pace the loop is closed: each connection sends its next request
// when the last was answered, so a slow server is asked less. With a pace it
// is open: requests are due at their times whatever the server does, and the
// time of one begins when it was due, not when a connection was free to send
// it. Otherwise the requests that a stalled server kept from being sent would
// not count, and the stall would show as a single slow one (coordinated omission).
type load struct {
	addr  string
	conns int
	tmpl  *template
	// pace is the wanted requests per second over all connections, 0 for as fast as it goes.
	pace float64
	// acked is told of every id that got a 2xx; nil to only count.
	acked func(relaytest.ID)
	// answered is told of every answer; nil for nobody.
	answered func(answer)
	// sent is told of every id right before its request; nil for nobody.
	sent func(relaytest.ID, time.Time)
}

// tally is what a run saw.
type tally struct {
	Seconds  float64     `json:"seconds"`
	OK       int64       `json:"ok"`
	Rate     float64     `json:"ok_per_second"`
	Refused  map[int]int `json:"refused,omitempty"`
	NoAnswer int64       `json:"no_answer"`
	// Unsent are the requests of an open loop that were due and never sent:
	// no connection was free for them until the end.
	Unsent int64   `json:"due_but_never_sent"`
	P50    float64 `json:"p50_ms"`
	P99    float64 `json:"p99_ms"`
	// Latency is of answers 2xx: from when the request was due in an open
	// loop, from when it was sent in a closed one.
	Latency shape `json:"latency"`
	// Service is from sending to answer, in both.
	Service shape `json:"service_time"`

	latency latency
}

// run loads until ctx ends.
func (l load) run(ctx context.Context) tally {
	var (
		wg                 sync.WaitGroup
		mu                 sync.Mutex
		ok, lost, attempts atomic.Int64
	)
	all, service := newLatency(), newLatency()
	refused := map[int]int{}
	begin := time.Now()
	for i := range l.conns {
		wg.Go(func() {
			c := &conn{addr: l.addr}
			defer c.close()
			t := l.tmpl.clone()
			mine, served := newLatency(), newLatency()
			for n := 0; ctx.Err() == nil; n++ {
				due := time.Now()
				if l.pace > 0 {
					due = l.due(begin, i, n)
					if !waitUntil(ctx, due) {
						break
					}
				}
				v := newID()
				at := time.Now()
				if l.sent != nil {
					l.sent(v, at)
				}
				attempts.Add(1)
				a, err := c.send(t.fill(v), 30*time.Second)
				if err == nil && l.answered != nil {
					l.answered(a)
				}
				switch status := a.status; {
				case err != nil:
					lost.Add(1)
					select { // a dead gateway must not be hammered with dials
					case <-ctx.Done():
					case <-time.After(5 * time.Millisecond):
					}
				case status/100 == 2:
					ok.Add(1)
					if l.acked != nil {
						l.acked(v)
					}
					now := time.Now()
					mine.add(now.Sub(due))
					served.add(now.Sub(at))
				default:
					mu.Lock()
					refused[status]++
					mu.Unlock()
				}
			}
			mu.Lock()
			all.h.Merge(mine.h)
			service.h.Merge(served.h)
			mu.Unlock()
		})
	}
	wg.Wait()
	took := time.Since(begin)
	t := tally{
		Seconds: took.Seconds(), OK: ok.Load(), Rate: float64(ok.Load()) / max(took.Seconds(), 1e-9), NoAnswer: lost.Load(), Refused: refused,
		P50: all.ms(50), P99: all.ms(99), Latency: all.shape(), Service: service.shape(), latency: all,
	}
	if deadline, set := ctx.Deadline(); set && l.pace > 0 {
		t.Unsent = max(int64(deadline.Sub(begin).Seconds()*l.pace)-attempts.Load(), 0)
	}
	return t
}

// due is when the n-th request of the i-th connection is to be sent: the
// connections take turns, so that requests come evenly and not all at once.
func (l load) due(begin time.Time, i, n int) time.Time {
	return begin.Add(time.Duration(float64(n*l.conns+i) / l.pace * float64(time.Second)))
}

// waitUntil sleeps until a request is due; false when ctx ended before.
func waitUntil(ctx context.Context, due time.Time) bool {
	d := time.Until(due)
	if d <= 0 {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[min(int(float64(len(sorted))*q), len(sorted)-1)]
}

// loopback refuses any other machine: this is a measuring instrument, not a weapon.
func loopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%s is not a loopback address", addr)
	}
	return nil
}
