package main

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// heard is what a gateway said of the requests that it decided without Redis.
type heard struct {
	asked, answered time.Time
	life            int64 // of the gateway's process: its counter begins again
	alone           float64
}

const (
	aloneMetric = `breakwater_limits_decisions_total{by="alone"} `
	upMetric    = `breakwater_limits_redis_up `
	aloneEvery  = 500 * time.Millisecond
)

// hear asks a gateway. ok is false when it does not answer, or was started
// meanwhile.
func (r *rig) hear(i int) (h heard, up, ok bool) {
	h = heard{asked: time.Now(), life: r.gateways[i].lives.Load()}
	resp, err := quick.Get("http://" + r.private[i] + "/metrics")
	if err != nil {
		return h, false, false
	}
	defer resp.Body.Close()
	found := false
	lines := bufio.NewScanner(resp.Body) // read to its end: a scrape that is cut off says nothing
	for lines.Scan() {
		if v, is := strings.CutPrefix(lines.Text(), aloneMetric); is {
			h.alone, err = strconv.ParseFloat(v, 64)
			found = err == nil
		} else if v, is := strings.CutPrefix(lines.Text(), upMetric); is {
			up = v == "1"
		}
	}
	h.answered = time.Now()
	return h, up, found && lines.Err() == nil && resp.StatusCode == http.StatusOK && h.life == r.gateways[i].lives.Load()
}

// together waits until every gateway shares limits, and returns what each has
// decided alone so far.
func (r *rig) together(ctx context.Context, limit time.Duration) ([]heard, error) {
	list := make([]heard, len(r.gateways))
	for i, m := range r.gateways {
		err := until(limit, m.name+" sharing limits", func() bool {
			var up, ok bool
			list[i], up, ok = r.hear(i)
			if up && ok || ctx.Err() != nil {
				return true
			}
			time.Sleep(50 * time.Millisecond)
			return false
		})
		if err != nil {
			return nil, err
		}
	}
	return list, ctx.Err()
}

// decidedAlone is how many requests gateways have decided alone since before; ok is
// false when one does not say.
func (r *rig) decidedAlone(before []heard) (n float64, ok bool) {
	for i, was := range before {
		now, _, ok := r.hear(i)
		if !ok || now.life != was.life {
			return 0, false
		}
		n += now.alone - was.alone
	}
	return n, true
}

// loners remembers when gateways decided alone: also of a Redis that is there an
// answer may be late, and on a busy machine it is.
type loners struct {
	mu    sync.Mutex
	times []stretch
}

// follow watches a gateway until ctx ends. What it does not say until then, it did
// alone.
func (l *loners) follow(ctx context.Context, r *rig, i int) {
	last := heard{asked: time.Now()}
	last.answered, last.life = last.asked, r.gateways[i].lives.Load()
	note := func(to time.Time) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.times = append(l.times, stretch{last.asked, to})
	}
	for ended := false; !ended; {
		ended = !waitUntil(ctx, time.Now().Add(aloneEvery))
		now, _, ok := r.hear(i)
		switch {
		case !ok && ended:
			note(now.asked)
		case !ok:
			continue
		case now.life != last.life || now.alone != last.alone:
			note(now.answered)
		}
		last = now
	}
}
