package vitals

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

// labelSets counts the distinct label sets of a project over all families the
// budget covers, as a scrape would see them.
func (h *harness) labelSets() int {
	sets := map[string]bool{}
	for _, family := range append([]string{
		"web_vitals_ratings_total", "mobile_ttid_seconds", "mobile_ttfd_seconds", "mobile_frames_total",
		"mobile_stalls_total", "mobile_stall_longest_seconds",
	}, families[:]...) {
		for _, m := range h.series(family) {
			sets[fmt.Sprintf("%q %q %q %q", label(m, "environment"), label(m, "route"), label(m, "device"), label(m, "os"))] = true
		}
	}
	return len(sets)
}

// junk is a path nobody asked for and no rule folds.
func junk(rng *rand.Rand) string {
	const letters = "ghijklmnopqrstuvwxyz"
	b := make([]byte, 0, 24)
	for range 1 + rng.IntN(3) {
		b = append(b, '/')
		for range 4 + rng.IntN(6) {
			b = append(b, letters[rng.IntN(len(letters))])
		}
	}
	return string(b)
}

var hostileWords = []string{"", "__other__", "\xff\xfe", "a\nb", "{}", `"`, "production", "staging", "prod\u00fcction"}

// flood sends n beacons with forged labels of every kind.
func (h *harness) flood(rng *rand.Rand, n int) {
	for i := range n {
		b := schemas.Beacon{
			URL: "https://" + junk(rng)[1:] + junk(rng), Device: hostileWords[rng.IntN(len(hostileWords))],
			Environment: hostileWords[rng.IntN(len(hostileWords))], Release: fmt.Sprint("forged-", i), OS: "ios",
		}
		if rng.IntN(4) == 0 {
			b.Environment = fmt.Sprint("env-", i)
		}
		if rng.IntN(4) == 0 {
			b.Device = []string{"mobile", "tablet", "desktop", "other"}[rng.IntN(4)]
		}
		name := schemas.VitalNames[rng.IntN(len(schemas.VitalNames))]
		b.Vitals = []schemas.Vital{one(name, 1+rng.Float64()*9, "")}
		h.Record(h.req, &b)
	}
}

// TestForgedLabelsStayWithinTheBudget sends 300,000 forged beacons, junk first and
// junk mixed in; BREAKWATER_LONG=1 makes it ten million.
func TestForgedLabelsStayWithinTheBudget(t *testing.T) {
	n, routes := 150_000, 20
	if os.Getenv("BREAKWATER_LONG") != "" {
		n = 5_000_000
	} else if testing.Short() {
		n = 50_000
	}
	for _, junkFirst := range []bool{true, false} {
		t.Run(fmt.Sprintf("junk first %t", junkFirst), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			h := newHarness(t, Config{})
			real := func(i int) {
				h.Record(h.req, &schemas.Beacon{
					Route: fmt.Sprintf("/page-%c", 'a'+i%routes), Device: []string{"mobile", "desktop"}[i/routes%2],
					Environment: "production", Vitals: []schemas.Vital{one("LCP", 100, "")},
				})
			}
			sent := 0
			if junkFirst {
				h.flood(rng, n)
				for sent = range 100 * routes {
					real(sent)
				}
				sent++
			} else {
				for i := range n { // one real page view among ten
					if i%10 == 0 {
						real(sent)
						sent++
					} else {
						h.flood(rng, 1)
					}
				}
			}
			if got := h.labelSets(); got > 1000 {
				t.Errorf("%d label sets, the budget is 1000", got)
			}
			if got := float64(h.labelSets()); got > h.sum("web_vitals_label_sets") {
				t.Errorf("%v label sets, the gauge says %v", got, h.sum("web_vitals_label_sets"))
			}
			for i := range routes {
				route := fmt.Sprintf("/page-%c", 'a'+i)
				if got := h.sum("web_vitals_lcp_seconds", "route", route, "environment", "production"); got < 0.6*float64(sent/routes) {
					t.Errorf("%s: %v of %d page views under its own name", route, got, sent/routes)
				}
			}
			if h.sum("web_vitals_folded_total") == 0 {
				t.Error("nothing was counted as folded")
			}
			releases := map[string]bool{}
			for _, m := range h.series("web_vitals_releases_total") {
				releases[label(m, "release")] = true
			}
			if len(releases) > 6 {
				t.Errorf("%d releases, want 5 and __other__", len(releases))
			}
		})
	}
}

func TestTinyBudgets(t *testing.T) {
	for _, limit := range []int{2, 3, 5, 10, 50} {
		rng := rand.New(rand.NewPCG(3, 4))
		h := newHarness(t, Config{SeriesPerProject: limit})
		h.flood(rng, 5000)
		if got := h.labelSets(); got > limit {
			t.Errorf("budget %d: %d label sets", limit, got)
		}
	}
}

func TestARouteThatIsShownKeepsItsPlace(t *testing.T) {
	h := newHarness(t, Config{SeriesPerProject: 40})
	h.beacon("/first", one("LCP", 100, ""))
	before := 0.0
	rng := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		h.flood(rng, 500)
		h.beacon("/first", one("LCP", 100, ""))
		now := h.sum("web_vitals_lcp_seconds", "route", "/first")
		if now < before+1 {
			t.Fatalf("the series of /first went from %v to %v", before, now)
		}
		before = now
	}
}

func TestTallyFindsHeavyRoutesAmongJunk(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	ta := newTally()
	least := 1 << 30
	for i := range 200_000 {
		if i%100 == 0 {
			if n := ta.hit("/heavy"); i > 100_000 {
				least = min(least, n)
			}
		} else if n := ta.hit(junk(rng)); n > 16 {
			t.Fatalf("a path of junk is said to be seen %d times for certain", n)
		}
	}
	if least < 20 {
		t.Errorf("a route with 1 %% of the traffic is seen only %d times", least)
	}
	if len(ta.heap) > tallySize || len(ta.index) != len(ta.heap) {
		t.Errorf("%d counters, %d in the index", len(ta.heap), len(ta.index))
	}
	for r, i := range ta.index {
		if ta.heap[i].route != r {
			t.Fatalf("index of %q points at %q", r, ta.heap[i].route)
		}
	}
}

func TestProjectsHaveBudgetsOfTheirOwn(t *testing.T) {
	h := newHarness(t, Config{SeriesPerProject: 20})
	h.flood(rand.New(rand.NewPCG(1, 1)), 5000)
	other := *h.req
	other.Project = &ingest.Project{Name: "blog"}
	h.Record(&other, &schemas.Beacon{Route: "/post", Vitals: []schemas.Vital{one("LCP", 100, "")}})
	if h.sum("web_vitals_lcp_seconds", "project", "blog", "route", "/post") != 1 {
		t.Error("one project's junk took another's place")
	}
}

func BenchmarkRecord(b *testing.B) {
	h := newHarness(b, Config{}, "/product/:id")
	beacons := make([]*schemas.Beacon, 1024)
	for i := range beacons {
		beacons[i] = &schemas.Beacon{Route: "/product/:id", Release: "shop@1", Environment: "production", Vitals: []schemas.Vital{one("LCP", 1834.2, "")}}
	}
	b.Run("without id", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			h.Record(h.req, beacons[i%1024])
		}
	})
	b.Run("settling", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			bc := *beacons[i%1024]
			bc.Vitals = []schemas.Vital{one("LCP", 1834.2, fmt.Sprint("v6-", i))}
			h.Record(h.req, &bc)
		}
	})
	b.Run("url to fold", func(b *testing.B) {
		b.ReportAllocs()
		bc := *beacons[0]
		bc.Route, bc.URL = "", "https://shop.example/user/4711/orders/3fa85f64-5717-4562-b3fc-2c963f66afa6?utm=1"
		for range b.N {
			h.Record(h.req, &bc)
		}
	})
}

// TestTopRoutesTakeThePlacesOfThoseThatAreGone fills the budget with a site's
// routes, then gives the site others.
func TestTopRoutesTakeThePlacesOfThoseThatAreGone(t *testing.T) {
	const limit = 60
	h := newHarness(t, Config{SeriesPerProject: limit})
	visit := func(site string, n, routes int, step time.Duration) {
		for i := range n {
			h.now = h.now.Add(step)
			h.beacon(fmt.Sprintf("/%s-%c%c", site, 'a'+i%routes/26, 'a'+i%routes%26), one("LCP", 100, ""))
		}
	}
	shown := func(site string) (n int) {
		for _, m := range h.series("web_vitals_lcp_seconds") {
			if strings.HasPrefix(label(m, "route"), "/"+site) {
				n++
			}
		}
		return n
	}
	visit("old", 6000, 44, 0)
	before := shown("old")
	if before < 20 {
		t.Fatalf("only %d routes have a place", before)
	}
	visit("equal", 2000, 44, time.Second)
	if got := shown("old"); got != before {
		t.Errorf("%d of %d routes kept their place beside others of like traffic", got, before)
	}
	visit("new", 60_000, 10, time.Second) // 16 hours
	if got := shown("new"); got != 10 {
		t.Errorf("%d of the 10 routes that have all the traffic are shown", got)
	}
	if got := shown("old"); got < before-11 {
		t.Errorf("%d of %d routes are left: more went than had to", got, before)
	}
	if got := h.labelSets(); got > limit {
		t.Errorf("%d label sets, the budget is %d", got, limit)
	}
	if a, b := h.sum("web_vitals_lcp_seconds"), h.sum("web_vitals_ratings_total"); a != b {
		t.Errorf("%v in the histograms, %v rated: a series of a set that lost its place is left", a, b)
	}
}

// A flood of invented heavy routes changes few places, and never the busy ones.
func TestInventedHeavyRoutesChangeFewPlaces(t *testing.T) {
	h := newHarness(t, Config{SeriesPerProject: 100})
	made := map[string]bool{}
	for i := range 60_000 { // an hour
		h.now = h.now.Add(time.Hour / 60_000)
		h.beacon(fmt.Sprintf("/true-%c", 'a'+i%20), one("LCP", 100, ""))
		word := fmt.Sprintf("/false-%c%c", 'a'+i/40%26, 'a'+i/1040%26) // each comes in a burst
		h.beacon(word, one("LCP", 100, ""))
		if i%500 == 0 {
			for _, m := range h.series("web_vitals_lcp_seconds") {
				made[label(m, "route")] = true
			}
		}
	}
	if len(made) > 100+10 {
		t.Errorf("%d routes were shown in an hour", len(made))
	}
	for i := range 20 {
		if n := h.sum("web_vitals_lcp_seconds", "route", fmt.Sprintf("/true-%c", 'a'+i)); n < 2900 {
			t.Errorf("/true-%c has %v of 3000 page views", 'a'+i, n)
		}
	}
}
