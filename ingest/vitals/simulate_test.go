package vitals

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSimulateRoutes(t *testing.T) {
	var in strings.Builder
	for i := range 200 {
		fmt.Fprintf(&in, "10.0.0.1 - - [23/Nov/2026:21:43:00 +0000] \"GET /blog/some-story-%s?utm=%d HTTP/1.1\" 200 512 \"-\" \"Mozilla/5.0\"\n", word(i), i)
		fmt.Fprintf(&in, "https://shop.example/product/%d?ref=mail\n", i)
		fmt.Fprintf(&in, "/docs/%s/intro\n", word(i))
	}
	in.WriteString("10.0.0.1 - - [x] \"POST /cart HTTP/1.1\" 200 1\n10.0.0.1 - - [x] \"GET /assets/app.js HTTP/1.1\" 200 1\nnothing here\n\n")
	for range 50 {
		in.WriteString("/pricing\n")
	}
	rep, err := SimulateRoutes([]string{"/docs/*"}, strings.NewReader(in.String()))
	if err != nil {
		t.Fatal(err)
	}
	if rep.Lines != 654 || rep.Pages != 650 || rep.Skipped != 4 {
		t.Errorf("lines %d, pages %d, skipped %d", rep.Lines, rep.Pages, rep.Skipped)
	}
	found := map[string]RouteCount{}
	for _, r := range rep.Routes {
		found[r.Route] = r
	}
	if found["/product/:id"].Count != 200 || found["/docs/*"] != (RouteCount{"/docs/*", 200, true}) || found["/pricing"].Count != 50 {
		t.Errorf("routes %+v", rep.Routes[:5])
	}
	if len(rep.Proposals) != 1 || rep.Proposals[0].Template != "/blog/:slug" || rep.Proposals[0].Routes != 200 || rep.Proposals[0].Count != 200 {
		t.Errorf("proposals %+v", rep.Proposals)
	}
	if rep.Bill.Routes != 203 || rep.BillWithProposals.Routes != 4 || rep.BillWithProposals.LabelSets != 12 || rep.Bill.Series <= rep.Bill.LabelSets*100 {
		t.Errorf("bills %+v and %+v", rep.Bill, rep.BillWithProposals)
	}

	again, err := SimulateRoutes([]string{"/docs/*", rep.Proposals[0].Template}, strings.NewReader(in.String()))
	if err != nil || len(again.Proposals) != 0 || again.Bill != rep.BillWithProposals {
		t.Errorf("with the proposal configured: %+v, %v", again.Bill, err)
	}
	if _, err := SimulateRoutes([]string{"no slash"}, strings.NewReader("")); err == nil {
		t.Error("a bad template was taken")
	}
}

// A line longer than any server writes is skipped, and costs no other line.
func TestSimulateRoutesPastLongLines(t *testing.T) {
	long := "/" + strings.Repeat("x", 3*maxLogLine)
	for name, in := range map[string]string{"between": "/a\n" + long + "\n/b\n", "last": "/a\n/b\n" + long} {
		rep, err := SimulateRoutes(nil, strings.NewReader(in))
		if err != nil || rep.Lines != 3 || rep.Pages != 2 || rep.Skipped != 1 {
			t.Errorf("%s: %v, lines %d, pages %d, skipped %d", name, err, rep.Lines, rep.Pages, rep.Skipped)
		}
	}
}

func TestSimulateRoutesPastAByteOrderMark(t *testing.T) {
	rep, err := SimulateRoutes(nil, strings.NewReader("\ufeff/a\r\n/b\r\n"))
	if err != nil || rep.Pages != 2 || len(rep.Routes) != 2 || rep.Routes[0].Route != "/a" {
		t.Errorf("%v, pages %d, routes %v", err, rep.Pages, rep.Routes)
	}
}

func TestSimulateRoutesKnowsPages(t *testing.T) {
	for line, want := range map[string]string{
		`h - - [t] "GET /a HTTP/1.1" 200 1`:       "/a",
		`h - - [t] "GET /a HTTP/1.1" 304 -`:       "/a",
		`h - - [t] "GET /a HTTP/1.1"`:             "/a",
		`h - - [t] "GET /a HTTP/1.1" 301 1`:       "",
		`h - - [t] "GET /.env HTTP/1.1" 404 1`:    "",
		`h - - [t] "POST /a HTTP/1.1" 200 1`:      "",
		`h - - [t] "GET /a.CSS?v=1 HTTP/1.1" 200`: "",
		`https://shop.example/a?x=1`:              "https://shop.example/a?x=1",
		`2026-11-23 /a`:                           "/a",
		`nothing`:                                 "",
	} {
		if got := pageOfLine(line); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestSimulatedProposalsBelowAMergedPlace(t *testing.T) {
	var in strings.Builder
	for i := range 100 {
		fmt.Fprintf(&in, "/u/%s\n", word(i))
		if i%2 == 0 {
			fmt.Fprintf(&in, "/u/%s/orders\n", word(i))
		}
	}
	rep, err := SimulateRoutes(nil, strings.NewReader(in.String()))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, p := range rep.Proposals {
		got[p.Template] = p.Routes
	}
	if got["/u/:slug"] != 100 || got["/u/:slug/orders"] != 50 || rep.BillWithProposals.Routes != 2 {
		t.Errorf("proposals %+v, bill %+v", rep.Proposals, rep.BillWithProposals)
	}
}

// Logs come from anybody's requests. Each line is counted once; labels are
// labels; what is proposed can be configured, and costs no more than before.
func FuzzSimulateRoutes(f *testing.F) {
	for _, line := range []string{
		`10.0.0.1 - - [23/Nov/2026:21:43:00 +0000] "GET /blog/WORD?utm=1 HTTP/1.1" 200 512 "-" "Mozilla/5.0"`,
		`h - - [t] "GET http://shop.example/a/WORD/b HTTP/1.1"`, `{"request":"GET /WORD"}`, "https://shop.example/u/WORD/orders", "/*/WORD", "/a/WORD/*",
		`"GET `, `"" "`, "\x00\r\n/WORD", "/:id/WORD/" + strings.Repeat("x/", 40), "/%2f/WORD", "2026-11-23 //WORD", "://WORD", strings.Repeat("/WORD", 9),
	} {
		f.Add(line, "/docs/*")
	}
	f.Fuzz(func(t *testing.T, line, template string) {
		var in strings.Builder
		for i := range 2 * manyChildren {
			in.WriteString(strings.ReplaceAll(line, "WORD", word(i)) + "\n")
		}
		templates := []string{template}
		if ValidateRoute(template) != nil {
			templates = nil
		}
		rep, err := SimulateRoutes(templates, strings.NewReader(in.String()))
		if err != nil || rep.Lines != rep.Pages+rep.Skipped {
			t.Fatalf("%d lines, %d pages, %d skipped: %v", rep.Lines, rep.Pages, rep.Skipped, err)
		}
		pages := rep.Uncounted
		for _, r := range rep.Routes {
			pages += r.Count
			if r.Route == "" || len(r.Route) > maxRoute || !utf8.ValidString(r.Route) || hasControl(r.Route) {
				t.Fatalf("%q is no label", r.Route)
			}
		}
		if pages != rep.Pages {
			t.Fatalf("%d pages, %d of them in routes", rep.Pages, pages)
		}
		for _, p := range rep.Proposals {
			if err := ValidateRoute(p.Template); err != nil {
				t.Fatalf("proposed: %v", err)
			}
			if templates = append(templates, p.Template); p.Routes < 1 || p.Count < 1 || len(p.Examples) == 0 {
				t.Fatalf("proposed %+v", p)
			}
		}
		if n := rep.BillWithProposals.Routes; n > rep.Bill.Routes || n < 1 && rep.Bill.Routes > 0 {
			t.Fatalf("%d routes, %d with the proposals", rep.Bill.Routes, n)
		}
		again, err := SimulateRoutes(templates, strings.NewReader(in.String()))
		if err != nil || again.Pages != rep.Pages || again.Bill.Routes > rep.Bill.Routes {
			t.Fatalf("with the proposals configured: %d routes, before %d; %v", again.Bill.Routes, rep.Bill.Routes, err)
		}
	})
}

// word is a different word of letters for every i.
func word(i int) string {
	return string([]byte{'g' + byte(i%17), 'g' + byte(i/17%17), 'x', 'q'})
}
