package doctor

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

// sample is one series of an instant query.
type sample struct {
	Metric    map[string]string `json:"metric"`
	Value     [2]any            `json:"value"`
	Histogram [2]any            `json:"histogram"`
}

func (s sample) number() float64 {
	text, _ := s.Value[1].(string)
	f, _ := strconv.ParseFloat(text, 64)
	return f
}

// ask runs one instant query.
func (x *exam) ask(ctx context.Context, expr string) ([]sample, error) {
	var r struct {
		Status, Error string
		Data          struct {
			ResultType string
			Result     []sample
		}
	}
	err := getJSON(ctx, x.client, x.o.Prometheus+"/api/v1/query?query="+url.QueryEscape(expr), nil, &r)
	if err == nil && r.Status != "success" {
		err = fmt.Errorf("%s", r.Error)
	}
	return r.Data.Result, err
}

// prometheus asks whether what the gateway shows is what Prometheus has.
func (x *exam) prometheus(ctx context.Context) {
	if x.o.Prometheus == "" {
		x.skip("prometheus", "give --prometheus its address")
		return
	}
	x.o.Prometheus = strings.TrimSuffix(x.o.Prometheus, "/")
	before := time.Now()
	var clock struct {
		Data struct{ Result [2]any }
	}
	if err := getJSON(ctx, x.client, x.o.Prometheus+"/api/v1/query?query=time()", nil, &clock); err != nil {
		x.fault("prometheus", x.o.Prometheus, "prometheus_unreachable", err.Error())
		return
	}
	if text, ok := clock.Data.Result[1].(string); ok {
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			x.clock(x.o.Prometheus, time.UnixMilli(int64(f*1000)), before, time.Now())
		}
	}
	if x.canary != "" && x.scraped(ctx) {
		x.buckets(ctx)
	}
	x.rules(ctx)
	x.queries(ctx)
}

// scraped waits until Prometheus has the newest count of the canaries.
func (x *exam) scraped(ctx context.Context) bool {
	want, err := x.observed(ctx)
	if err != nil {
		x.fault("prometheus", x.o.Private+"/metrics", "metrics_unreachable", err.Error())
		return false
	}
	op := "max"
	if len(x.o.Peers) > 0 {
		op = "sum" // want is theirs together
	}
	both := op + `({__name__=~"` + canaryVital + `_count"}) or ` + op + `(histogram_count(` + canaryVital + `))`
	have := -1.0
	err = x.until(ctx, x.o.Patience, func() (bool, error) {
		s, err := x.ask(ctx, both)
		if err != nil { // Prometheus 2 has no histogram_count without its flag
			s, err = x.ask(ctx, op+"("+canaryVital+"_count)")
		}
		for _, v := range s {
			have = v.number()
		}
		if have < 0 && x.failingTarget(ctx) != "" {
			return true, nil // no use to wait
		}
		return have >= float64(want), err
	})
	failing := x.failingTarget(ctx)
	switch {
	case failing != "":
		x.fault("prometheus", x.o.Prometheus, "prometheus_scrape_fails", failing)
	case have < 0:
		x.fault("prometheus", x.o.Prometheus, "prometheus_not_scraping", "no series of "+canaryVital)
	case err != nil:
		x.fault("prometheus", x.o.Prometheus, "prometheus_stale", fmt.Sprintf("it counts %.0f canaries, the gateway %d", have, want))
	default:
		x.ok("prometheus", x.o.Prometheus, fmt.Sprintf("has scraped the canary (%.0f so far)", have))
		return true
	}
	return false
}

// failingTarget is the last error of a target that is the gateway's private
// listener, "" when there is none or it is well.
func (x *exam) failingTarget(ctx context.Context) string {
	var r struct {
		Data struct {
			ActiveTargets []struct {
				ScrapeURL, Health, LastError string
				Labels                       map[string]string
			}
		}
	}
	if getJSON(ctx, x.client, x.o.Prometheus+"/api/v1/targets?state=active", nil, &r) != nil {
		return ""
	}
	u, err := url.Parse(x.o.Private)
	if err != nil {
		return ""
	}
	for _, t := range r.Data.ActiveTargets {
		s, err := url.Parse(t.ScrapeURL)
		if err != nil || t.Health != "down" {
			continue
		}
		if s.Host == u.Host || s.Port() == u.Port() || strings.Contains(t.Labels["job"], "breakwater") {
			return t.ScrapeURL + ": " + t.LastError
		}
	}
	return ""
}

// buckets tells whether the classic buckets, whose bounds are the thresholds,
// came through.
func (x *exam) buckets(ctx context.Context) {
	classic, err := x.ask(ctx, `count(`+canaryVital+`_bucket{le=~"2\\.5"})`)
	if err != nil {
		x.fault("prometheus", "buckets", "prometheus_query_fails", err.Error())
		return
	}
	native, _ := x.ask(ctx, `count(histogram_count(`+canaryVital+`))`)
	switch {
	case len(classic) == 0:
		x.fault("prometheus", "buckets", "prometheus_native_only", "no bucket le=\"2.5\"")
	case len(native) > 0:
		x.ok("prometheus", "buckets", "classic and native")
	default:
		x.ok("prometheus", "buckets", "classic")
	}
}

type loadedRule struct{ Name, Query, Health, LastError, Group string }

// rules compares what is loaded with what this version brings.
func (x *exam) rules(ctx context.Context) {
	var r struct {
		Data struct {
			Groups []struct {
				Name  string
				Rules []loadedRule
			}
		}
	}
	if err := getJSON(ctx, x.client, x.o.Prometheus+"/api/v1/rules", nil, &r); err != nil {
		x.fault("rules", x.o.Prometheus, "prometheus_unreachable", err.Error())
		return
	}
	loaded, version := map[string][]loadedRule{}, x.prometheusMajor(ctx)
	for _, g := range r.Data.Groups {
		for _, rule := range g.Rules {
			rule.Group = g.Name
			loaded[rule.Name] = append(loaded[rule.Name], rule)
			if version >= 3 && integerLe.MatchString(rule.Query) && ours.MatchString(rule.Query) {
				x.fault("rules", rule.Name, "prometheus_le", rule.Query)
			}
		}
	}
	var missing, old []string
	good := 0
	for _, want := range x.o.Rules {
		have := loaded[want.Name]
		if len(have) == 0 {
			missing = append(missing, want.Name)
			continue
		}
		same := false
		for _, h := range have {
			same = same || h.Query == want.Expr || x.formatted(ctx, h.Query) == x.formatted(ctx, want.Expr)
			if h.Health == "err" {
				x.fault("rules", h.Name, "rules_failing", h.LastError)
			}
		}
		if !same {
			old = append(old, want.Name)
			continue
		}
		good++
	}
	if len(missing) > 0 {
		x.fault("rules", x.o.Prometheus, "rules_missing", list(missing, len(x.o.Rules)))
	}
	if len(old) > 0 {
		x.fault("rules", x.o.Prometheus, "rules_old", list(old, len(x.o.Rules)))
	}
	if good > 0 && good == len(x.o.Rules) {
		x.ok("rules", x.o.Prometheus, fmt.Sprintf("all %d are loaded", good))
	}
}

var (
	// integerLe finds le="4", which Prometheus 3 never has: it writes "4.0".
	integerLe = regexp.MustCompile(`le\s*=\s*"[0-9]+"`)
	ours      = regexp.MustCompile(`\b(web_vitals|mobile|release|breakwater)_`)
)

// formatted is an expression as this Prometheus prints it: it shows rules in a
// form of its own, whatever the file looks like.
func (x *exam) formatted(ctx context.Context, expr string) string {
	var r struct{ Data string }
	if err := getJSON(ctx, x.client, x.o.Prometheus+"/api/v1/format_query?query="+url.QueryEscape(expr), nil, &r); err != nil {
		return expr
	}
	return r.Data
}

func (x *exam) prometheusMajor(ctx context.Context) int {
	var r struct{ Data struct{ Version string } }
	if getJSON(ctx, x.client, x.o.Prometheus+"/api/v1/status/buildinfo", nil, &r) != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.SplitN(strings.TrimPrefix(r.Data.Version, "v"), ".", 2)[0])
	return n
}

// queries runs what panels and rules ask, and names those that find nothing.
func (x *exam) queries(ctx context.Context) {
	var empty []string
	ran := 0
	for _, q := range x.o.Queries {
		s, err := x.ask(ctx, q.Expr)
		switch {
		case err != nil:
			x.fault("queries", q.Where, "prometheus_query_fails", err.Error())
			continue
		case len(s) == 0 && !q.MayBeEmpty:
			empty = append(empty, q.Where)
		}
		ran++
	}
	switch {
	case len(x.o.Queries) == 0:
	case len(empty) > 0:
		x.warn("queries", x.o.Prometheus, "query_empty", list(empty, len(x.o.Queries)))
	default:
		x.ok("queries", x.o.Prometheus, fmt.Sprintf("all %d of panels and rules find data", ran))
	}
}

// list names some of many.
func list(names []string, of int) string {
	sort.Strings(names)
	const most = 12
	n, more := len(names), ""
	if n > most {
		more = fmt.Sprintf(" and %d more", n-most)
		names = names[:most]
	}
	return fmt.Sprintf("%d of %d: %s%s", n, of, strings.Join(names, ", "), more)
}
