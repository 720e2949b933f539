package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"breakwater/relay/relaytest"
)

// load is one run of a generator.
type load struct {
	addr  string
	conns int
	tmpl  *template
	// acked is told of every id that got a 2xx; nil to only count.
	acked func(relaytest.ID)
	// pace is the wanted requests per second over all connections, 0 for as fast as it goes.
	pace float64
	// answered is told of every answer; nil for nobody.
	answered func(answer)
	// sent is told of every id right before its request; nil for nobody.
	sent func(relaytest.ID, time.Time)
}

// tally is what a run saw.
type tally struct {
	Seconds  float64     `json:"seconds"`
	OK       int64       `json:"ok"`
	Refused  map[int]int `json:"refused,omitempty"`
	NoAnswer int64       `json:"no_answer"`
	P50      float64     `json:"p50_ms"`
	P99      float64     `json:"p99_ms"`
}

// Rate is successful requests per second.
func (t tally) Rate() float64 { return float64(t.OK) / max(t.Seconds, 1e-9) }

// run loads until ctx ends.
func (l load) run(ctx context.Context) tally {
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		ok, lost atomic.Int64
		lat      []float64
	)
	refused := map[int]int{}
	begin := time.Now()
	for range l.conns {
		wg.Go(func() {
			c := &conn{addr: l.addr}
			defer c.close()
			t := l.tmpl.clone()
			mine := make([]float64, 0, 1<<14)
			for n := 0; ctx.Err() == nil; n++ {
				if l.pace > 0 && !waitTurn(ctx, begin, n, l.pace/float64(l.conns)) {
					break
				}
				v := newID()
				at := time.Now()
				if l.sent != nil {
					l.sent(v, at)
				}
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
					if n%4 == 0 {
						mine = append(mine, time.Since(at).Seconds()*1e3)
					}
				default:
					mu.Lock()
					refused[status]++
					mu.Unlock()
				}
			}
			mu.Lock()
			lat = append(lat, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.Sort(lat)
	return tally{
		Seconds: time.Since(begin).Seconds(), OK: ok.Load(), NoAnswer: lost.Load(), Refused: refused,
		P50: quantile(lat, 0.50), P99: quantile(lat, 0.99),
	}
}

// waitTurn sleeps until the n-th request of one connection is due.
func waitTurn(ctx context.Context, begin time.Time, n int, perSecond float64) bool {
	due := begin.Add(time.Duration(float64(n) / perSecond * float64(time.Second)))
	select {
	case <-ctx.Done():
		return false
	case <-time.After(time.Until(due)):
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
