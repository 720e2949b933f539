package main

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"breakwater/relay/relaytest"
)

type fanoutCmd struct {
	Gateway string        `help:"Gateway binary." default:"bin/breakwater" type:"existingfile"`
	Rounds  int           `help:"Rounds; in each the sibling is up and then down. The medians are reported." default:"5"`
	Time    time.Duration `help:"Length of one half round." default:"3s"`
	Rate    float64       `help:"Envelopes per second." default:"300"`
	Conns   int           `help:"Connections." default:"16"`
	Fault   string        `help:"How the sibling is down: it answers 503, or nothing at all." enum:"503,hang" default:"503"`
	JSON    bool          `help:"Print the report as JSON."`
}

// fanoutReport compares the delivery latency of the upstream that is up: from
// sending an event to the gateway to its arrival at the upstream.
type fanoutReport struct {
	UpP50      float64 `json:"p50_ms_sibling_up"`
	DownP50    float64 `json:"p50_ms_sibling_down"`
	UpP99      float64 `json:"p99_ms_sibling_up"`
	DownP99    float64 `json:"p99_ms_sibling_down"`
	Ratio      float64 `json:"p99_ratio"` // median over the rounds
	Deliveries int     `json:"deliveries"`
	Lost       int     `json:"acknowledged_but_lost"` // at either upstream
	Ledger     float64 `json:"ledger_difference"`
}

// Run takes turns, so that what disturbs the machine disturbs both.
func (f *fanoutCmd) Run() error {
	gw, err := newGateway(f.Gateway, "", 2)
	if err != nil {
		return err
	}
	defer gw.cleanup()
	sinks, stop, err := openSinks(gw, false)
	if err != nil {
		return err
	}
	defer stop()
	watch := &stopwatch{sent: map[relaytest.ID]time.Time{}}
	sinks[0].took = func(v relaytest.ID, _ *http.Request) { watch.arrived(v, time.Now()) }
	if err := gw.start(); err != nil {
		return err
	}
	fault := map[string]relaytest.Step{"503": relaytest.Status(503), "hang": {Fault: relaytest.Hang}}[f.Fault]
	sent := newAcks()
	var up50, up99, down50, down99, ratios []float64
	for round := range f.Rounds {
		progress("round %d/%d", round+1, f.Rounds)
		a50, a99, err := f.half(gw, sinks, watch, sent)
		if err != nil {
			return err
		}
		sinks[1].Always(fault)
		b50, b99, err := f.half(gw, sinks, watch, sent)
		if err != nil {
			return err
		}
		sinks[1].Relent()
		if err := gw.drain(5 * time.Minute); err != nil {
			return err
		}
		up50, up99, down50, down99 = append(up50, a50), append(up99, a99), append(down50, b50), append(down99, b99)
		ratios = append(ratios, b99/a99)
	}
	r := fanoutReport{UpP50: median(up50), DownP50: median(down50), UpP99: median(up99), DownP99: median(down99), Ratio: median(ratios), Deliveries: sinks[0].unique()}
	if r.Ledger, err = gw.balance(); err != nil {
		return err
	}
	if err := gw.proc.stop(); err != nil {
		return err
	}
	for _, s := range sinks {
		missing, _ := s.check(sent.all)
		r.Lost += len(missing)
	}
	progressEnd()
	if err := print(f.JSON, r); err != nil {
		return err
	}
	if r.Lost > 0 || r.Ledger != 0 || r.Deliveries == 0 {
		return errors.New("something was lost or miscounted")
	}
	return nil
}

// half loads for a while and waits until the first upstream has it all.
func (f *fanoutCmd) half(gw *gateway, sinks []*sink, watch *stopwatch, sent *acks) (p50, p99 float64, err error) {
	body, err := envelope(gw.key, "4096")
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), f.Time)
	defer cancel()
	load{
		addr: gw.public, conns: f.Conns, pace: f.Rate, tmpl: newTemplate("POST", gw.envelopePath(), gw.public, "text/plain;charset=UTF-8", body),
		sent: watch.start, acked: func(v relaytest.ID) { sent.add(v, false) },
	}.run(ctx)
	if err := until(time.Minute, "delivering to the upstream that is up", func() bool { return sinks[0].unique() >= sent.len() }); err != nil {
		return 0, 0, err
	}
	took := watch.laps()
	return quantile(took, 0.50), quantile(took, 0.99), nil
}

// stopwatch measures from sending to arrival.
type stopwatch struct {
	mu   sync.Mutex
	sent map[relaytest.ID]time.Time
	took []float64 // ms
}

func (w *stopwatch) start(v relaytest.ID, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent[v] = at
}

func (w *stopwatch) arrived(v relaytest.ID, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if begin, ok := w.sent[v]; ok {
		w.took = append(w.took, at.Sub(begin).Seconds()*1e3)
		delete(w.sent, v)
	}
}

// laps are the times since the last call, sorted.
func (w *stopwatch) laps() []float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	took := w.took
	w.took = nil
	slices.Sort(took)
	return took
}
