package main

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"breakwater/relay/relaytest"
)

// flow is one project's clients behind the balancer, each with a connection
// of its own that stays open.
type flow struct {
	addr  string
	req   request
	conns int
	pace  float64 // requests per second of all clients together
	// polite clients wait as long as a 429 or 503 asks, at most patience.
	polite   bool
	patience time.Duration
	// keepers is the share of clients that send a report again, with the same
	// id, until it is taken, as an SDK's offline queue does; the others drop it.
	keepers float64

	mu    sync.Mutex
	fates map[relaytest.ID]*fate
	asked []decision  // each that was sent
	taken int         // of them
	tally map[int]int // answers by status; 0 is none
	stop  atomic.Bool // keepers give up, too
}

// fate is what became of one report.
type fate struct {
	first, acked time.Time
	sends        int
}

// decision is a request and its answer. What decided about it happened at some
// moment between: on a busy machine that may be seconds.
type decision struct {
	stretch
	status int
}

func (d decision) taken() bool   { return d.status/100 == 2 }
func (d decision) refused() bool { return d.status == http.StatusTooManyRequests }

// retryPause is how long a client waits that got no answer.
const retryPause = 300 * time.Millisecond

// run sends until ctx ends, and what keepers hold until stop is set.
func (f *flow) run(ctx context.Context) {
	f.mu.Lock()
	if f.fates == nil {
		f.fates, f.tally = map[relaytest.ID]*fate{}, map[int]int{}
	}
	f.mu.Unlock()
	req := f.req
	req.contentType += "\r\nX-Event-Id: " + hole // for the balancer's log
	tmpl := req.template(f.addr)
	var wg sync.WaitGroup
	every := time.Duration(float64(f.conns) / f.pace * float64(time.Second))
	for i := range f.conns {
		wg.Go(func() {
			c := &conn{addr: f.addr}
			defer c.close()
			keeper := float64(i) < f.keepers*float64(f.conns)
			t := tmpl.clone()
			due := time.Now().Add(every * time.Duration(i) / time.Duration(f.conns))
			for waitUntil(ctx, due) {
				f.report(c, t, keeper)
				due = due.Add(every)
				if now := time.Now(); due.Before(now) { // what a stall kept back is not made up for
					due = now
				}
			}
		})
	}
	wg.Wait()
}

// report sends one report, as often as its client does.
func (f *flow) report(c *conn, t *template, keeper bool) {
	v := newID()
	raw := t.fill(v)
	for {
		at := time.Now()
		a, err := c.send(raw, 40*time.Second)
		f.note(v, a.status, at)
		if err == nil && a.status/100 == 2 {
			return
		}
		wait := retryPause
		if after, ok := strconv.Atoi(a.retryAfter); ok == nil && after > 0 {
			wait = min(time.Duration(after)*time.Second, f.patience)
		}
		if (f.polite || keeper) && !f.stop.Load() {
			time.Sleep(wait)
		}
		if !keeper || f.stop.Load() || a.status == 400 {
			return
		}
	}
}

func (f *flow) note(v relaytest.ID, status int, at time.Time) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.fates[v]
	if x == nil {
		x = &fate{first: at}
		f.fates[v] = x
	}
	x.sends++
	f.tally[status]++
	f.asked = append(f.asked, decision{stretch{at, now}, status})
	if status/100 == 2 {
		x.acked = now
		f.taken++
	}
}

// acked is how many reports were taken.
func (f *flow) acked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.taken
}

// delivery is one arrival at the upstream.
type delivery struct {
	at time.Time
	by int // gateway, from 0
}

// arrivals remembers who delivered what and when.
type arrivals struct {
	mu  sync.Mutex
	all map[relaytest.ID][]delivery
}

func (a *arrivals) add(v relaytest.ID, by int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all[v] = append(a.all[v], delivery{time.Now(), by})
}

func (a *arrivals) has(v relaytest.ID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.all[v]) > 0
}

func (a *arrivals) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.all)
}
