package vitals

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/schemas"
)

// TestADayOfPageViewsEqualsItsFinalValues plays a recorded kind of day: every
// page view reports its vitals one to five times, as the web-vitals library
// does when the page is hidden again and again. Reports are repeated, shuffled
// within the settle period, put into one beacon or several, and delayed. The
// histograms must equal those of the final values.
func TestADayOfPageViewsEqualsItsFinalValues(t *testing.T) {
	for _, c := range []struct {
		name     string
		sendTime bool
	}{{"with send time", true}, {"by value and delta", false}} {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(7, 11))
			h := newHarness(t, Config{})
			want := [webVitals]map[float64]float64{}
			for v := range want {
				want[v] = map[float64]float64{}
			}
			type arrival struct {
				at time.Time
				b  *schemas.Beacon
			}
			var arrivals []arrival
			start := h.now
			fell := 0
			for view := range 4000 {
				loaded := start.Add(time.Duration(rng.IntN(24*3600)) * time.Second)
				var reports []schemas.Vital
				var sent []time.Time
				for v := range webVitals {
					value, prev := 0.0, 0.0
					times := 1
					if specs[v].order != keepFirst {
						times += rng.IntN(5)
					}
					id := fmt.Sprintf("v6-%d-%d", view, v)
					final := 0.0
					for i := range times {
						switch {
						case v == cls:
							value += rng.ExpFloat64() * 0.03
						case v == inp && i > 0 && rng.IntN(2) == 0:
							value -= 8 * float64(rng.IntN(int(value/8)+1)/2)
						case v == inp:
							value += 8 * float64(1+rng.IntN(30))
						default:
							value += 100 + rng.ExpFloat64()*800
						}
						if value == prev && i > 0 {
							continue // the library reports changes only
						}
						if value < prev {
							fell++
						}
						e := one(specs[v].name, value, id)
						e.Delta = value - prev
						reports, sent = append(reports, e), append(sent, loaded.Add(time.Duration(i)*10*time.Second))
						prev, final = value, value
					}
					want[v][bucketOf(v, final/specs[v].div)]++
				}
				for i := range reports {
					for range 1 + rng.IntN(2) { // repeats
						b := &schemas.Beacon{Route: "/", Vitals: reports[i : i+1 : i+1]}
						if c.sendTime {
							b.SentAt = sent[i]
						}
						// All within 55 s, in any order: the settle period holds them together.
						arrivals = append(arrivals, arrival{loaded.Add(time.Duration(rng.IntN(55_000)) * time.Millisecond), b})
					}
				}
			}
			rng.Shuffle(len(arrivals), func(i, j int) { arrivals[i], arrivals[j] = arrivals[j], arrivals[i] })
			slices.SortStableFunc(arrivals, func(a, b arrival) int { return a.at.Compare(b.at) })
			for _, a := range arrivals {
				h.later(a.at.Sub(h.now))
				if h.Record(h.req, a.b) != 1 {
					t.Fatalf("%+v was not usable", a.b.Vitals)
				}
			}
			h.later(time.Hour)
			if fell < 500 {
				t.Fatalf("only %d INP reports fell: the day does not test that", fell)
			}
			for v := range webVitals {
				if got, want := h.buckets(families[v]), render(want[v]); got != want {
					t.Errorf("%s\n got %s\nwant %s", specs[v].name, got, want)
				}
			}
			if h.Pending() != 0 {
				t.Errorf("%d still wait after an hour of quiet", h.Pending())
			}
		})
	}
}

func TestINPReportsInEveryOrder(t *testing.T) {
	chains := map[string][]float64{
		"rises":      {80, 160, 240},
		"falls":      {240, 160, 80},
		"both":       {120, 480, 200, 208},
		"comes back": {200, 160, 200},
	}
	for name, chain := range chains {
		t.Run(name, func(t *testing.T) {
			permute(len(chain), func(order []int) {
				h := newHarness(t, Config{})
				for _, i := range order {
					e := one("INP", chain[i], "a")
					e.Delta = chain[i]
					if i > 0 {
						e.Delta = chain[i] - chain[i-1]
					}
					h.beacon("/", e)
				}
				h.later(time.Minute)
				final := chain[len(chain)-1] / 1000
				if got, want := h.buckets("web_vitals_inp_seconds"), render(map[float64]float64{bucketOf(inp, final): 1}); got != want {
					t.Errorf("order %v: got %s, want %s", order, got, want)
				}
			})
		})
	}
}

func permute(n int, f func([]int)) {
	order := make([]int, 0, n)
	used := make([]bool, n)
	var next func()
	next = func() {
		if len(order) == n {
			f(order)
			return
		}
		for i := range n {
			if !used[i] {
				used[i], order = true, append(order, i)
				next()
				used[i], order = false, order[:len(order)-1]
			}
		}
	}
	next()
}

func TestSettling(t *testing.T) {
	t.Run("after a minute of quiet, not before", func(t *testing.T) {
		h := newHarness(t, Config{})
		h.beacon("/", one("LCP", 1000, "a"))
		h.later(59 * time.Second)
		h.beacon("/", one("LCP", 3000, "a"))
		h.later(59 * time.Second)
		if n := h.sum("web_vitals_lcp_seconds"); n != 0 {
			t.Fatalf("%v observed while the page still reported", n)
		}
		h.later(time.Second)
		if got := h.buckets("web_vitals_lcp_seconds"); got != "3:1 " {
			t.Errorf("observed %q, want the maximum, once", got)
		}
	})
	t.Run("at the latest after ten minutes", func(t *testing.T) {
		h := newHarness(t, Config{})
		for range 20 {
			h.beacon("/", one("CLS", 0.05, "a"))
			h.later(30 * time.Second)
		}
		if n := h.sum("web_vitals_cls"); n != 1 {
			t.Errorf("%v observed after ten minutes of reports, want 1", n)
		}
	})
	t.Run("a late report is counted, not observed", func(t *testing.T) {
		h := newHarness(t, Config{})
		h.beacon("/", one("INP", 100, "a"))
		h.later(time.Minute)
		h.beacon("/", one("INP", 900, "a"))
		h.later(time.Hour)
		if n := h.sum("web_vitals_inp_seconds"); n != 1 {
			t.Errorf("%v observations, want 1", n)
		}
		if n := h.sum("web_vitals_late_updates_total", "vital", "INP"); n != 1 {
			t.Errorf("%v late updates, want 1", n)
		}
	})
	t.Run("ids are per vital and project", func(t *testing.T) {
		h := newHarness(t, Config{})
		h.beacon("/", one("FCP", 100, "a"), one("LCP", 100, "a"))
		other := *h.req
		p := *other.Project
		p.Name = "blog"
		other.Project = &p
		h.Record(&other, &schemas.Beacon{Route: "/", Vitals: []schemas.Vital{one("LCP", 100, "a")}})
		h.later(time.Minute)
		if n := h.sum("web_vitals_lcp_seconds"); n != 2 {
			t.Errorf("%v observations, want 2", n)
		}
	})
	t.Run("without an id at once", func(t *testing.T) {
		h := newHarness(t, Config{})
		h.beacon("/", one("LCP", 100, ""), one("LCP", 100, ""))
		if n := h.sum("web_vitals_lcp_seconds"); n != 2 {
			t.Errorf("%v observations, want 2", n)
		}
	})
	t.Run("a full table observes the quietest and loses none", func(t *testing.T) {
		h := newHarness(t, Config{MaxPending: 100})
		for i := range 1000 {
			h.beacon("/", one("LCP", 100, fmt.Sprint(i)))
			if h.Pending() > 100 {
				t.Fatalf("%d wait, the bound is 100", h.Pending())
			}
		}
		if n := h.sum("web_vitals_settled_early_total"); n != 900 {
			t.Errorf("%v settled early, want 900", n)
		}
		h.later(time.Minute)
		if n := h.sum("web_vitals_lcp_seconds"); n != 1000 {
			t.Errorf("%v observations, want 1000", n)
		}
	})
	t.Run("flush observes what waits", func(t *testing.T) {
		h := newHarness(t, Config{})
		h.beacon("/", one("LCP", 100, "a"), one("CLS", 0, "a"))
		h.Flush()
		h.Flush()
		if n := h.sum("web_vitals_lcp_seconds") + h.sum("web_vitals_cls"); n != 2 {
			t.Errorf("%v observations, want 2", n)
		}
	})
}

func TestGracefulRestartKeepsWhatWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vitals.json")
	a := newHarness(t, Config{})
	fall := one("INP", 300, "i")
	fall.Delta = 300
	a.beacon("/done", one("LCP", 900, "done"))
	for _, r := range []string{"shop@1", "shop@2", "shop@3", "shop@4", "shop@5", "shop@6"} {
		a.Record(a.req, &schemas.Beacon{Route: "/", Release: r, Vitals: []schemas.Vital{one("FCP", 1, "")}})
	}
	a.later(time.Minute)
	a.beacon("/p", one("LCP", 5000, "p"), fall)
	if err := a.SaveFile(path); err != nil {
		t.Fatal(err)
	}

	b := newHarness(t, Config{})
	if err := b.LoadFile(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("the snapshot is still there: a crash would count it twice")
	}
	fall = one("INP", 120, "i")
	fall.Delta = -180
	b.beacon("/p", fall, one("LCP", 6100, "p"), one("LCP", 950, "done"))
	b.later(time.Hour)
	if got := b.buckets("web_vitals_lcp_seconds"); got != "8:1 " {
		t.Errorf("LCP after the restart: %q, want the later maximum and nothing of the page that was done", got)
	}
	if got := b.buckets("web_vitals_inp_seconds"); got != "0.128:1 " {
		t.Errorf("INP after the restart: %q, want the later, lower value", got)
	}
	if n := b.sum("web_vitals_late_updates_total", "vital", "LCP"); n != 1 {
		t.Errorf("%v late updates, want 1: the observed id was forgotten", n)
	}
	for _, r := range []string{"shop@1", "shop@6"} { // one that lost its place before the restart, one that has it
		b.Record(b.req, &schemas.Beacon{Route: "/", Release: r, Vitals: []schemas.Vital{one("FCP", 1, "")}})
	}
	if old, other, last := b.sum("web_vitals_releases_total", "release", "shop@1"), b.sum("web_vitals_releases_total", "release", "__other__"), b.sum("web_vitals_releases_total", "release", "shop@6"); old != 0 || other != 1 || last != 1 {
		t.Errorf("after the restart %v under the old release, %v under __other__, %v under the newest", old, other, last)
	}
	if err := b.LoadFile(path); err != nil {
		t.Errorf("no snapshot is no error: %v", err)
	}
}

// A clock that was a day ahead and is put right at a restart delays nothing.
func TestSnapshotFromAClockThatWasAhead(t *testing.T) {
	a := newHarness(t, Config{})
	a.later(24 * time.Hour)
	a.beacon("/p", one("LCP", 5000, "p"))
	var saved bytes.Buffer
	if err := a.Save(&saved); err != nil {
		t.Fatal(err)
	}
	b := newHarness(t, Config{})
	if err := b.Load(&saved); err != nil {
		t.Fatal(err)
	}
	b.beacon("/p", one("LCP", 3000, "q"))
	b.later(time.Minute)
	if n := b.sum("web_vitals_lcp_seconds"); n != 2 {
		t.Errorf("%v of 2 page views counted after a settle period", n)
	}
}

// What waits to settle keeps nothing of the body it came in: a stranger's
// beacons of 60 KB must not be held for a minute by a word of theirs.
func TestWaitingKeepsNoBodies(t *testing.T) {
	const n, size = 2000, 60 << 10
	h := newHarness(t, Config{})
	held := func() int64 {
		var m runtime.MemStats
		runtime.GC() // what pools hold goes with the second one
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := held()
	for i := range n {
		body := fmt.Sprintf(`{"route":"cart","device":"mobile","os":"iOS","environment":"production","release":"shop@1","trace_id":"0123456789abcdef0123456789abcdef","filler":"%s","vitals":[{"name":"LCP","value":5000,"id":"v6-%d","navigationType":"navigate"},{"name":"INP","value":100,"id":"v6-%d","navigationURL":"https://shop.example/p"}]}`,
			strings.Repeat("x", size), i, i)
		b, _, err := schemas.DecodeBeacon([]byte(body), "text/plain", nil)
		if err != nil || h.Record(h.req, b) != 2 {
			t.Fatal(err)
		}
	}
	if got := held() - before; got > n*size/10 {
		t.Errorf("%d waiting entries hold %d MiB", h.Pending(), got>>20)
	}
	runtime.KeepAlive(h)
}
