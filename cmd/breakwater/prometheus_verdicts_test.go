package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"breakwater/ingest"
	"breakwater/ingest/vitals"
	"breakwater/schemas"
)

// thresholds of "good", in the unit of the wire.
var thresholds = map[string]float64{"LCP": 2500, "INP": 200, "CLS": 0.1, "FCP": 1800, "TTFB": 800}

// verdictKey is one distribution: a vital of a route.
type verdictKey struct{ route, vital string }

// exposeDistributions records routes × 5 random distributions and serves what a
// gateway would. The verdicts are the exact ones: the 75th percentile by
// nearest rank is at most the threshold.
func exposeDistributions(t *testing.T, rng *rand.Rand, routes int) (addr string, exact map[verdictKey]bool) {
	t.Helper()
	reg := prometheus.NewRegistry()
	v := vitals.New(vitals.Config{SeriesPerProject: 4*routes + 100}, reg)
	v.SetProjects([]vitals.Project{{Name: "shop"}})
	req := visitor()
	exact = map[verdictKey]bool{}
	for r := range routes {
		route := fmt.Sprintf("/shop/%c%c%c", 'a'+r/676%26, 'a'+r/26%26, 'a'+r%26)
		for vital, good := range thresholds {
			values := distribution(rng, good)
			for i, x := range values {
				if vital == "CLS" {
					values[i] = min(x, 9)
				}
				b := &schemas.Beacon{Route: route, Vitals: []schemas.Vital{{Name: vital, Value: values[i], HasValue: true, NavigationType: "navigate"}}}
				if v.Record(req, b) != 1 {
					t.Fatalf("%s %v was not usable", vital, values[i])
				}
			}
			slices.Sort(values)
			exact[verdictKey{route, vital}] = values[(3*len(values)+3)/4-1] <= good
		}
	}
	srv := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://"), exact
}

// distribution draws 1 to 200 values around a threshold: log-normal, uniform,
// two humps, or all but exactly a quarter at the threshold itself.
func distribution(rng *rand.Rand, good float64) []float64 {
	values := make([]float64, 1+rng.IntN(200))
	shape, centre, width := rng.IntN(5), good*(0.6+0.7*rng.Float64()), 0.05+rng.Float64()
	poor := len(values)/4 + rng.IntN(2)
	for i := range values {
		switch shape {
		case 0, 1:
			values[i] = centre * math.Exp(width*rng.NormFloat64())
		case 2:
			values[i] = centre * 2 * rng.Float64()
		case 3:
			values[i] = good * (0.3 + 0.2*rng.Float64() + 1.2*float64(rng.IntN(4)/3))
		default:
			values[i] = good
			if i < poor {
				values[i] = math.Nextafter(good, math.Inf(1)) * (1 + rng.Float64()*float64(rng.IntN(2)))
			}
		}
		if rng.IntN(20) == 0 {
			values[i] = good
		}
		values[i] = min(max(values[i], good/1000), good*20)
	}
	return values
}

// verdicts asks Prometheus for "p75 is good" of every distribution, once from
// the bucket at the threshold, once from the ratings.
func (p *promServer) verdicts() (buckets, ratings map[verdictKey]bool, err error) {
	buckets, ratings = map[verdictKey]bool{}, map[verdictKey]bool{}
	for vital, family := range webFamilies {
		le := strconv.FormatFloat(thresholds[vital]/1000, 'g', -1, 64)
		if vital == "CLS" {
			le = "0.1"
		}
		list, err := p.query(fmt.Sprintf("sum by (route) (%s_bucket{le=%q}) / sum by (route) (%s_count) >= bool 0.75", family, le, family))
		if err != nil {
			return nil, nil, err
		}
		for _, s := range list {
			buckets[verdictKey{s.Labels["route"], vital}] = s.Value == 1
		}
	}
	list, err := p.query(`sum by (route, vital) (web_vitals_ratings_total{rating="good"}) / sum by (route, vital) (web_vitals_ratings_total) >= bool 0.75`)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range list {
		ratings[verdictKey{s.Labels["route"], s.Labels["vital"]}] = s.Value == 1
	}
	return buckets, ratings, nil
}

// TestVerdictsInPrometheus: for many random distributions the verdict that a
// real Prometheus gives is the exact one, every time, by both ways of asking.
// BREAKWATER_LONG=1 makes it 10,000.
func TestVerdictsInPrometheus(t *testing.T) {
	routes, rounds := 200, 1
	if os.Getenv("BREAKWATER_LONG") != "" {
		routes, rounds = 400, 5
	}
	checkVerdicts(t, debianPrometheus(t), "", routes, rounds)
}

func checkVerdicts(t *testing.T, binary, scrape string, routes, rounds int, flags ...string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(75, 28))
	good, total := 0, 0
	for range rounds {
		addr, exact := exposeDistributions(t, rng, routes)
		prom := startPrometheus(t, binary, scrape, []string{addr}, flags...)
		var buckets, ratings map[verdictKey]bool
		eventually(t, 3*time.Minute, func() (err error) {
			if buckets, ratings, err = prom.verdicts(); err == nil && (len(buckets) < len(exact) || len(ratings) < len(exact)) {
				err = fmt.Errorf("%d and %d verdicts of %d", len(buckets), len(ratings), len(exact))
			}
			return err
		})
		for k, want := range exact {
			if buckets[k] != want || ratings[k] != want {
				t.Errorf("%v: good is %t from the buckets, %t from the ratings, exactly %t", k, buckets[k], ratings[k], want)
			}
			if total++; want {
				good++
			}
		}
		prom.stop()
	}
	if good < total/5 || good > total*4/5 {
		t.Fatalf("%d of %d are good: the distributions are too tame", good, total)
	}
	t.Logf("%d distributions, %d of them good, each verdict exact", total, good)
}

// TestNativeHistograms scrapes a gateway with native histograms on: p75 comes
// from one series without buckets, and is within a bucket's width (10 %) of the
// truth. What is installed here keeps only the native series then; newer ones
// can keep both, see TestPrometheus3.
func TestNativeHistograms(t *testing.T) {
	addr, p75 := exposeKnown(t)
	prom := startPrometheus(t, debianPrometheus(t), "", []string{addr}, "--enable-feature=native-histograms")
	checkNative(t, prom, p75)
}

// TestPrometheus3 does the same with a Prometheus 3 at PROMETHEUS3, with classic
// buckets beside the native ones, where verdicts must stay exact.
func TestPrometheus3(t *testing.T) {
	binary := os.Getenv("PROMETHEUS3")
	if binary == "" {
		t.Skip("PROMETHEUS3 does not name a Prometheus 3 binary; `make native` builds one (some minutes) and runs this test")
	}
	const both = "    scrape_native_histograms: true\n    always_scrape_classic_histograms: true\n"
	t.Run("native", func(t *testing.T) {
		addr, p75 := exposeKnown(t)
		checkNative(t, startPrometheus(t, binary, both, []string{addr}), p75)
	})
	t.Run("shapes", func(t *testing.T) { checkShapes(t, binary, both) })
	t.Run("verdicts", func(t *testing.T) { checkVerdicts(t, binary, both, 200, 1) })
	t.Run("dashboards", func(t *testing.T) { checkDashboards(t, binary, both, false, true) })
}

// exposeKnown serves one project's vitals, 1000 samples each of a known p75.
func exposeKnown(t *testing.T) (addr string, p75 map[string]float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 5))
	reg := prometheus.NewRegistry()
	v := vitals.New(vitals.Config{}, reg)
	p75 = map[string]float64{}
	for vital, good := range thresholds {
		values := make([]float64, 1000)
		for i := range values {
			values[i] = good * math.Exp(0.5*rng.NormFloat64())
			v.Record(visitor(), &schemas.Beacon{Route: "/", Vitals: []schemas.Vital{{Name: vital, Value: values[i], HasValue: true, NavigationType: "navigate"}}})
		}
		slices.Sort(values)
		p75[vital] = values[749]
		if vital != "CLS" {
			p75[vital] /= 1000
		}
	}
	srv := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://"), p75
}

func checkNative(t *testing.T, prom *promServer, p75 map[string]float64) {
	t.Helper()
	for vital, want := range p75 {
		prom.expect(t, fmt.Sprintf("histogram_quantile(0.75, sum by (project) (%s))", webFamilies[vital]), func(v float64) bool { return math.Abs(v-want) < 0.1*want })
		prom.expect(t, fmt.Sprintf("histogram_count(sum by (project) (%s))", webFamilies[vital]), func(v float64) bool { return v == 1000 })
	}
}

// visitor is a person's request to project shop.
func visitor() *ingest.Request {
	return &ingest.Request{
		Project: &ingest.Project{Name: "shop"}, Header: http.Header{},
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
	}
}
