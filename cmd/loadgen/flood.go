package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"breakwater/relay/relaytest"
)

type floodCmd struct {
	Gateway string        `help:"Gateway binary." default:"bin/breakwater" type:"existingfile"`
	Rounds  int           `help:"Rounds; in each the quiet project sends alone and then beside the flood. The medians are reported." default:"7"`
	Time    time.Duration `help:"Length of one half round." default:"3s"`
	Rate    float64       `help:"Requests per second of the quiet project." default:"100"`
	Limit   float64       `help:"Requests per second the loud project may send." default:"20"`
	Times   float64       `help:"How many times its limit the loud project sends." default:"50"`
	Conns   int           `help:"Connections of each project." default:"8"`
	JSON    bool          `help:"Print the report as JSON."`
}

// floodReport compares what one project's requests take while another keeps
// to itself and while it sends far beyond its limit.
type floodReport struct {
	AloneP50 float64 `json:"p50_ms_alone"`
	FloodP50 float64 `json:"p50_ms_flooded"`
	AloneP99 float64 `json:"p99_ms_alone"`
	FloodP99 float64 `json:"p99_ms_flooded"`
	Ratio    float64 `json:"p99_ratio"` // median over the rounds
	Taken    int64   `json:"loud_accepted"`
	Refused  int     `json:"loud_refused"`
	PerSec   float64 `json:"loud_per_second"`
	Unserved int     `json:"quiet_refused_or_unanswered"`
	Lost     int     `json:"acknowledged_but_lost"`
}

const (
	floodKey    = "fedcba9876543210fedcba9876543210"
	floodConfig = `server: {listen: %q, admin_listen: %q}
limits: {per_ip: {rate: 1000000/s, burst: 10000000}}
spool: {dir: %q, %s}
projects:
  - {id: 1, name: quiet, keys: [{public: %s}], upstreams: [{name: up, dsn: "http://%s@%s/1"}], limits: {per_key: {rate: 1000000/s, burst: 10000000}}, storm: {then_one_in: 1}}
  - {id: 2, name: loud, keys: [{public: %s}], upstreams: [{name: up, dsn: "http://%s@%s/1"}], limits: {per_key: {rate: %g/s, burst: %d}}, storm: {then_one_in: 1}}
`
)

// Run takes turns, so that what disturbs the machine disturbs both halves.
func (f *floodCmd) Run() error {
	gw, err := newGateway(f.Gateway, "", 1)
	if err != nil {
		return err
	}
	defer gw.cleanup()
	up := gw.upstreams[0]
	config := fmt.Sprintf(floodConfig, gw.public, gw.private, gw.spoolDir(), gw.spool, gw.key, gw.key, up, floodKey, gw.key, up, f.Limit, max(30, int(f.Limit)))
	if err := os.WriteFile(gw.config, []byte(config), 0o600); err != nil {
		return err
	}
	sinks, stop, err := openSinks(gw, false)
	if err != nil {
		return err
	}
	defer stop()
	if err := gw.start(); err != nil {
		return err
	}
	sent := newAcks()
	var r floodReport
	var alone50, alone99, flood50, flood99, ratios []float64
	loudSeconds := 0.0
	for round := range f.Rounds {
		progress("round %d/%d", round+1, f.Rounds)
		a, err := f.send(gw, "1", gw.key, f.Rate, sent)
		if err != nil {
			return err
		}
		loud := make(chan tally, 1)
		go func() {
			t, _ := f.send(gw, "2", floodKey, f.Limit*f.Times, sent) // it fails as the other does
			loud <- t
		}()
		b, err := f.send(gw, "1", gw.key, f.Rate, sent)
		if err != nil {
			return err
		}
		l := <-loud
		r.Taken, r.Refused, loudSeconds = r.Taken+l.OK, r.Refused+l.Refused[429], loudSeconds+l.Seconds
		for _, t := range []tally{a, b} {
			r.Unserved += int(t.NoAnswer)
			for _, n := range t.Refused {
				r.Unserved += n
			}
		}
		alone50, alone99, flood50, flood99 = append(alone50, a.P50), append(alone99, a.P99), append(flood50, b.P50), append(flood99, b.P99)
		ratios = append(ratios, b.P99/a.P99)
	}
	r.AloneP50, r.AloneP99, r.FloodP50, r.FloodP99, r.Ratio = median(alone50), median(alone99), median(flood50), median(flood99), median(ratios)
	r.PerSec = float64(r.Taken+int64(r.Refused)) / max(loudSeconds, 1e-9)
	if err := gw.drain(time.Minute); err != nil {
		return err
	}
	if err := gw.proc.stop(); err != nil {
		return err
	}
	missing, _ := sinks[0].check(sent.all)
	r.Lost = len(missing)
	progressEnd()
	if err := print(f.JSON, r); err != nil {
		return err
	}
	if r.Lost > 0 || r.Unserved > 0 {
		return errors.New("the flood cost the quiet project reports")
	}
	return nil
}

// send paces one project's requests for half a round.
func (f *floodCmd) send(gw *gateway, project, key string, rate float64, sent *acks) (tally, error) {
	body, err := envelope(key, "4096")
	if err != nil {
		return tally{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), f.Time)
	defer cancel()
	path := strings.Replace(strings.Replace(gw.envelopePath(), "/api/1/", "/api/"+project+"/", 1), gw.key, key, 1)
	return load{
		addr: gw.public, conns: f.Conns, pace: rate, tmpl: newTemplate("POST", path, gw.public, "text/plain;charset=UTF-8", body),
		acked: func(v relaytest.ID) { sent.add(v, false) },
	}.run(ctx), nil
}
