package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"breakwater/cmd/breakwater/monitoring"
)

// calmPanels are those that show nothing but zeros after an hour in which nothing
// of their kind happened.
var calmPanels = map[string]bool{
	"Only bad values": true, "Panics": true, "Damaged records": true, "Dead letters given up": true, "Paused by hand": true, "Limit buckets given up early": true,
	"Missing from the ledger": true, "Difference": true, "Bodies in memory": true, "5xx": true, "Waiting to settle": true, "In flight": true,
}

// TestDashboardsHaveData: a real Prometheus scrapes a gateway's hour, and then
// every query of every panel and every rule finds data in it.
func TestDashboardsHaveData(t *testing.T) {
	t.Parallel() // it waits most of the time
	checkDashboards(t, debianPrometheus(t), "", false)
}

// checkDashboards does so for the variants that ask for classic histograms, or
// for native ones.
func checkDashboards(t *testing.T, binary, scrape string, variants ...bool) {
	t.Helper()
	target, played := playHour(t).serve(t)
	prom := runPrometheus(t, binary, "storage: {tsdb: {out_of_order_time_window: 2h}}\nscrape_configs:\n  - job_name: breakwater\n    scrape_interval: 400ms\n    scrape_timeout: 400ms\n"+
		scrape+"    static_configs: [{targets: [\""+target+"\"]}]\n", everySecond(monitoring.Rules(monitoring.Links{})))
	eventually(t, 120*time.Second, played)
	prom.expect(t, "instance:breakwater_spool:seconds_to_full", func(v float64) bool { return v > 0 }) // the slowest to come
	for _, native := range variants {
		// A rule that is late has no sample of this moment: the whole is asked again then.
		eventually(t, time.Minute, func() error { return prom.panelsHaveData(t, native) })
		t.Run("few samples", func(t *testing.T) { eventually(t, time.Minute, func() error { return prom.greys(native) }) })
	}
	t.Run("rules", func(t *testing.T) { eventually(t, time.Minute, func() error { return prom.rulesHaveData(t) }) })
}

// panelsHaveData asks every query of every dashboard's JSON, and every variable.
func (p *promServer) panelsHaveData(t *testing.T, native bool) error {
	t.Helper()
	var faults []error
	list, err := monitoring.Dashboards(monitoring.Options{Native: native})
	if err != nil {
		t.Fatal(err)
	}
	queries := 0
	for _, d := range list {
		var board struct {
			Panels []struct {
				Type, Title string
				Targets     []struct {
					Expr    string
					Instant bool
				}
			}
			Annotations struct{ List []struct{ Name, Expr string } }
			Templating  struct {
				List []struct{ Name, Type, Definition string }
			}
		}
		if err := json.Unmarshal(d.JSON, &board); err != nil {
			t.Fatal(err)
		}
		for _, panel := range board.Panels {
			moved := panel.Type == "row"
			for _, q := range panel.Targets {
				queries++
				expr := q.Expr
				if strings.Contains(expr, "< $min_samples") { // the grey twin
					expr = strings.ReplaceAll(expr, "$min_samples", "1e9")
				}
				expr = monitoring.Expand(expr, "1h")
				values, err := p.shown(expr, q.Instant)
				if err != nil || len(values) == 0 {
					faults = append(faults, fmt.Errorf("%s / %s: %d values, %w\n%s", d.Title, panel.Title, len(values), err, expr))
				}
				for _, v := range values {
					moved = moved || v != 0
				}
			}
			if !moved && !calmPanels[panel.Title] {
				faults = append(faults, fmt.Errorf("%s / %s shows zeros only", d.Title, panel.Title))
			}
		}
		for _, v := range board.Templating.List {
			if m := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(v.Definition); m != nil {
				if values, err := p.query("count by (" + m[2] + ") (" + monitoring.Expand(m[1], "1h") + ")"); err != nil || len(values) == 0 || values[0].Labels[m[2]] == "" {
					faults = append(faults, fmt.Errorf("%s: variable %s has no values (%w): %s", d.Title, v.Name, err, v.Definition))
				}
			} else if v.Type == "query" {
				t.Fatalf("%s: variable %s: %s", d.Title, v.Name, v.Definition)
			}
		}
		for _, a := range board.Annotations.List {
			if a.Name != "New releases" {
				continue
			}
			if values, err := p.query(monitoring.Expand(a.Expr, "1h")); err != nil || len(values) != 2 {
				faults = append(faults, fmt.Errorf("%s: %d releases as annotations, %w", d.Title, len(values), err))
			}
		}
	}
	t.Logf("%d queries on %d dashboards, native histograms: %t", queries, len(list), native)
	return errors.Join(faults...)
}

// shown are the values that a panel shows of the hour.
func (p *promServer) shown(expr string, instant bool) (values []float64, err error) {
	if instant {
		list, err := p.query(expr)
		for _, s := range list {
			if s.Value == s.Value {
				values = append(values, s.Value)
			}
		}
		return values, err
	}
	now := time.Now().Add(time.Second) // recorded series have just begun: the last step must be behind their first sample
	resp, err := http.PostForm(p.url+"/api/v1/query_range", url.Values{
		"query": {expr}, "start": {fmt.Sprint(now.Add(-time.Hour).Unix())}, "end": {fmt.Sprint(now.Unix())}, "step": {"60"},
	})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []struct{ Values [][2]any } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Status != "success" {
		return nil, fmt.Errorf("%s %w", answer.Error, err)
	}
	for _, r := range answer.Data.Result {
		for _, pair := range r.Values {
			text, _ := pair[1].(string)
			if v, err := strconv.ParseFloat(text, 64); err == nil && v == v {
				values = append(values, v)
			}
		}
	}
	return values, nil
}

// greys: of 200 samples and more a percentile is shown in color, of fewer in grey.
func (p *promServer) greys(native bool) error {
	colored, grey := 0, 0
	for _, q := range monitoring.Queries(monitoring.Options{Native: native}) {
		if q.Panel != "LCP p75 by device" {
			continue
		}
		few := strings.Contains(q.Expr, "< $min_samples")
		list, err := p.query(monitoring.Expand(strings.ReplaceAll(q.Expr, "$min_samples", fmt.Sprint(monitoring.MinSamples)), "1h"))
		if err != nil || len(list) == 0 {
			return fmt.Errorf("%d values, %w: %s", len(list), err, q.Expr)
		}
		for _, s := range list {
			if want := map[bool]string{false: "mobile", true: "desktop"}[few]; s.Labels["device"] != want {
				return fmt.Errorf("few samples %t: %v", few, s.Labels)
			}
			if few {
				grey++
			} else {
				colored++
			}
		}
	}
	if colored != 1 || grey != 1 {
		return fmt.Errorf("%d devices in color, %d grey", colored, grey)
	}
	return nil
}

// rulesHaveData: every recorded series is there, every series that an alert
// reads is there, and no rule failed.
func (p *promServer) rulesHaveData(t *testing.T) error {
	t.Helper()
	var faults []error
	for _, r := range monitoring.Loaded() {
		if r.Record != "" {
			p.expect(t, r.Record, func(float64) bool { return true })
			continue
		}
		e, err := parser.ParseExpr(r.Expr)
		if err != nil {
			t.Fatal(err)
		}
		parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
			v, ok := node.(*parser.VectorSelector)
			if !ok {
				return nil
			}
			bare := *v
			bare.OriginalOffset, bare.Offset, bare.Timestamp = 0, 0, nil
			if strings.Contains(bare.String(), `5..`) {
				return nil // no request failed in this hour
			}
			list, err := p.query("max_over_time(" + bare.String() + "[1h])")
			if err != nil || len(list) == 0 {
				faults = append(faults, fmt.Errorf("%s reads %s, which has no series (%w)", r.Alert, bare.String(), err))
			}
			return nil
		})
	}
	resp, err := http.Get(p.url + "/api/v1/rules")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	n := 0
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			if n++; r.Health != "ok" {
				faults = append(faults, fmt.Errorf("%s: %s %s", r.Name, r.Health, r.LastError))
			}
		}
	}
	if n != len(monitoring.Loaded()) {
		faults = append(faults, fmt.Errorf("Prometheus has %d rules, of %d", n, len(monitoring.Loaded())))
	}
	return errors.Join(faults...)
}
