package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"breakwater/ingest/vitals"
)

// accessLog is what a shop's web server writes in the combined format: pages
// of the kinds shops have, assets, calls of the API, crawlers, a scanner and a
// few lines that are cut or odd. The same log every time.
func accessLog() string {
	rng := rand.New(rand.NewPCG(2026, 11))
	words := strings.Fields("harbour rope anchor lantern buoy winch sail mast keel compass chart tide gale pier crate barrel net hook oar deck")
	slug := func() string {
		return words[rng.IntN(len(words))] + "-" + words[rng.IntN(len(words))] + "-" + words[rng.IntN(len(words))]
	}
	agents := []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
	}
	var b strings.Builder
	line := func(method, target string, status int) {
		fmt.Fprintf(&b, "203.0.113.%d - - [23/Nov/2026:%02d:%02d:%02d +0000] \"%s %s HTTP/2.0\" %d %d \"https://shop.example/\" \"%s\"\n",
			rng.IntN(250), rng.IntN(24), rng.IntN(60), rng.IntN(60), method, target, status, rng.IntN(90_000), agents[rng.IntN(len(agents))])
	}
	for range 12_000 {
		switch n := rng.IntN(100); {
		case n < 12:
			line("GET", []string{"/", "/?utm_source=mail&utm_campaign=" + slug(), "/pricing", "/about/"}[rng.IntN(4)], 200)
		case n < 30:
			line("GET", fmt.Sprintf("/product/%d?ref=%s", 1+rng.IntN(5000), slug()), 200)
		case n < 40:
			line("GET", "/blog/"+slug(), 200)
		case n < 46:
			line("GET", fmt.Sprintf("/%s/category/%s?page=%d", []string{"en", "de-DE"}[rng.IntN(2)], words[rng.IntN(6)], rng.IntN(9)), 200)
		case n < 50:
			line("GET", fmt.Sprintf("/account/orders/%08x-%04x-4%03x-a%03x-%012x", rng.Uint32(), rng.IntN(1<<16), rng.IntN(1<<12), rng.IntN(1<<12), rng.Uint64()>>16), 200)
		case n < 53:
			line("GET", "/search?q="+slug(), 200)
		case n < 56:
			line("POST", "/api/cart", 201)
		case n < 97:
			line("GET", fmt.Sprintf("/assets/%s-%08x.%s", words[rng.IntN(len(words))], rng.Uint32(), []string{"js", "css", "woff2", "webp"}[rng.IntN(4)]), 200)
		default:
			line("GET", []string{"/wp-login.php", "/.env", "/cgi-bin/luci;stok=/locale"}[rng.IntN(3)], 404)
		}
	}
	b.WriteString("203.0.113.9 - - [23/Nov/2026:21:43:00 +0000] \"GET /prod\n\n\x16\x03\x01\x02\n")
	return b.String()
}

func TestRoutesSimulate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	if err := os.WriteFile(path, []byte(accessLog()), 0o600); err != nil {
		t.Fatal(err)
	}
	simulate := func(t *testing.T, args ...string) (sim simulation) {
		t.Helper()
		var out, faults bytes.Buffer
		if code := run(append([]string{"routes", "simulate"}, args...), &out, &faults); code != exitGood {
			t.Fatalf("exit code %d: %s", code, faults.String())
		}
		if err := json.Unmarshal(out.Bytes(), &sim); err != nil {
			t.Fatalf("what a pipe gets is not JSON: %v\n%s", err, out.String())
		}
		return sim
	}
	sim := simulate(t, path)
	var bare bytes.Buffer
	if code := run([]string{"routes", "simulate", path}, &bare, &bytes.Buffer{}); code != exitGood || !strings.Contains(bare.String(), `"templates": []`) {
		t.Errorf("no templates are no empty list: %.200s", bare.String())
	}
	var empty bytes.Buffer
	if code := run([]string{"routes", "simulate", os.DevNull}, &empty, &bytes.Buffer{}); code != exitGood || strings.Contains(empty.String(), "null") {
		t.Errorf("nothing is no empty list: %s", empty.String())
	}
	if got := (&simulation{Report: vitals.Report{Lines: 3, Skipped: 3}}).render(20); !strings.Contains(got, "common or combined format") {
		t.Errorf("a file of another kind is not told what is read: %s", got)
	}
	count := func(s simulation, route string) (n int, configured bool) {
		for _, r := range s.Routes {
			if r.Route == route {
				return r.Count, r.Configured
			}
		}
		return 0, false
	}
	if sim.Lines != 12_003 || sim.Pages+sim.Skipped != sim.Lines || sim.Pages < 5000 {
		t.Errorf("%d lines, %d pages, %d skipped", sim.Lines, sim.Pages, sim.Skipped)
	}
	for route, least := range map[string]int{"/": 600, "/product/:id": 2000, "/account/orders/:id": 400, "/search": 300, "/pricing": 300} {
		if n, _ := count(sim, route); n < least {
			t.Errorf("%s has %d page views, want %d at least", route, n, least)
		}
	}
	for _, r := range sim.Routes {
		if strings.Contains(r.Route, "?") || strings.Contains(r.Route, ".js") || strings.Contains(r.Route, "/api/cart") || strings.Contains(r.Route, "wp-login") {
			t.Errorf("%q is no page", r.Route)
		}
	}
	if len(sim.Proposals) != 1 || sim.Proposals[0].Template != "/blog/:slug" || sim.Proposals[0].Routes < 500 {
		t.Errorf("proposals %+v, want /blog/:slug", sim.Proposals)
	}
	if sim.Budget != 1000 || sim.Bill.LabelSets <= sim.Budget || sim.BillWithProposals.LabelSets > 100 {
		t.Errorf("budget %d, bill %+v, with proposals %+v", sim.Budget, sim.Bill, sim.BillWithProposals)
	}

	t.Run("with the proposal", func(t *testing.T) {
		again := simulate(t, "--templates", "/blog/:slug,/:lang/category/:name", path)
		if n, configured := count(again, "/blog/:slug"); n != sim.Proposals[0].Count || !configured {
			t.Errorf("/blog/:slug has %d page views, want %d", n, sim.Proposals[0].Count)
		}
		if n, _ := count(again, "/:lang/category/:name"); n < 500 || len(again.Proposals) != 0 || again.Bill.LabelSets > 100 {
			t.Errorf("%d in categories, proposals %+v, bill %+v", n, again.Proposals, again.Bill)
		}
	})
	t.Run("templates of the configuration", func(t *testing.T) {
		file := filepath.Join(dir, "breakwater.yml")
		text := "vitals: {series_per_project: 50}\nprojects:\n  - {id: 1, name: other, keys: [{public: " + testKey + "}]}\n" +
			"  - {id: 2, name: shop, keys: [{public: " + browserKey + "}], vitals: {routes: [\"/blog/:story\"]}}\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		sim := simulate(t, "--config", file, "--project", "shop", path)
		if n, configured := count(sim, "/blog/:story"); n == 0 || !configured || sim.Budget != 50 {
			t.Errorf("/blog/:story has %d page views, configured %t, budget %d", n, configured, sim.Budget)
		}
		var out, faults bytes.Buffer
		if code := run([]string{"routes", "simulate", "--config", file, "--project", "none", path}, &out, &faults); code != exitFault || !strings.Contains(faults.String(), `"none"`) {
			t.Errorf("an unknown project: code %d, %s", code, faults.String())
		}
	})
	t.Run("for people", func(t *testing.T) {
		text := sim.render(8)
		for _, want := range []string{"/product/:id", "/blog/:slug", "series", "more", "budget", "__other__", "page views"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in:\n%s", want, text)
			}
		}
		t.Logf("\n%s", text)
	})
	t.Run("an empty log", func(t *testing.T) {
		empty := simulation{Report: vitals.Report{Lines: 1, Skipped: 1}}
		if text := empty.render(8); !strings.Contains(text, "0 page views") {
			t.Errorf("got %s", text)
		}
	})
	t.Run("a bad template", func(t *testing.T) {
		var out, faults bytes.Buffer
		if code := run([]string{"routes", "simulate", "--templates", "blog", path}, &out, &faults); code != exitFault || !strings.Contains(faults.String(), "must start with /") {
			t.Errorf("code %d, %s", code, faults.String())
		}
	})
}
