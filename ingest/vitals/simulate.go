package vitals

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// Report is what SimulateRoutes found.
type Report struct {
	// Lines were read; Pages of them named a page, Skipped did not (assets,
	// other methods, redirects, errors, nothing like a path).
	Lines   int `json:"lines"`
	Pages   int `json:"pages"`
	Skipped int `json:"skipped"`
	// Routes are the labels the pages would get, the busiest first.
	Routes []RouteCount `json:"routes"`
	// Uncounted pages came after MaxSimulatedRoutes different routes.
	Uncounted int `json:"uncounted,omitempty"`
	// Proposals are templates worth configuring: places in the paths where many
	// different words, each rare, stand for one thing.
	Proposals []Proposal `json:"proposals"`
	// Bill is what the routes cost as they are, BillWithProposals with the
	// proposals configured.
	Bill              Bill `json:"bill"`
	BillWithProposals Bill `json:"bill_with_proposals"`
}

// RouteCount is one route label and how many page views it got.
type RouteCount struct {
	Route string `json:"route"`
	Count int    `json:"count"`
	// Configured tells that a configured template made it.
	Configured bool `json:"configured"`
}

// Proposal is a template that would gather Routes labels in one.
type Proposal struct {
	Template string   `json:"template"`
	Routes   int      `json:"routes"`
	Count    int      `json:"count"`
	Examples []string `json:"examples"`
}

// Bill is the cost of a number of routes on three devices in one environment.
type Bill struct {
	Routes    int `json:"routes"`
	LabelSets int `json:"label_sets"`
	Series    int `json:"series"`
}

// Bounds of a simulation.
const (
	// MaxSimulatedRoutes is how many different routes are told apart.
	MaxSimulatedRoutes = 200_000
	maxLogLine         = 64 << 10
	// A place with more than manyChildren different rare words is a parameter.
	manyChildren = 30
)

// SimulateRoutes reads URLs, paths or access log lines (common and combined
// format), one a line, and reports the route labels they would get with the
// templates, templates worth adding, and the number of series. Nothing is kept
// of queries. Errors are those of the templates and of reading.
func SimulateRoutes(templates []string, r io.Reader) (Report, error) {
	for _, t := range templates {
		if err := ValidateRoute(t); err != nil {
			return Report{}, err
		}
	}
	configured := map[string]bool{}
	for _, t := range templates {
		configured[t] = true
	}
	rep, counts, router := Report{Routes: []RouteCount{}, Proposals: []Proposal{}}, map[string]int{}, newRouter(templates)
	lines := bufio.NewReaderSize(r, maxLogLine)
	for {
		line, whole, err := nextLine(lines)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return rep, fmt.Errorf("reading line %d: %w", rep.Lines+1, err)
		}
		if rep.Lines++; rep.Lines == 1 {
			line = strings.TrimPrefix(line, "\ufeff") // what some editors begin a file with
		}
		page := ""
		if whole {
			page = pageOfLine(line)
		}
		if page == "" {
			rep.Skipped++
			continue
		}
		rep.Pages++
		route := router.route(page)
		if _, ok := counts[route]; !ok && len(counts) >= MaxSimulatedRoutes {
			rep.Uncounted++
			continue
		}
		counts[route]++
	}
	tree := &branch{}
	for route, n := range counts {
		rep.Routes = append(rep.Routes, RouteCount{route, n, configured[route]})
		if !configured[route] && strings.HasPrefix(route, "/") {
			tree.add(splitPath(route), n)
		}
	}
	slices.SortFunc(rep.Routes, func(a, b RouteCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Route, b.Route))
	})
	tree.propose("", &rep.Proposals)
	// A path may hold a * of its own, or be as long as a label may be already.
	rep.Proposals = slices.DeleteFunc(rep.Proposals, func(p Proposal) bool { return ValidateRoute(p.Template) != nil })
	slices.SortFunc(rep.Proposals, func(a, b Proposal) int {
		return cmp.Or(cmp.Compare(b.Routes, a.Routes), strings.Compare(a.Template, b.Template))
	})
	rep.Bill = bill(len(counts))
	saved := 0
	for _, p := range rep.Proposals {
		saved += p.Routes - 1
	}
	rep.BillWithProposals = bill(len(counts) - saved)
	return rep, nil
}

// nextLine reads one line; whole is false for one longer than maxLogLine, which
// is read past. The error is io.EOF after the last line.
func nextLine(r *bufio.Reader) (line string, whole bool, err error) {
	b, more, err := r.ReadLine()
	if err != nil || !more {
		return string(b), err == nil, err
	}
	for more && err == nil {
		_, more, err = r.ReadLine()
	}
	if errors.Is(err, io.EOF) { // the cut line was the last one
		err = nil
	}
	return "", false, err
}

// bill counts the series of every web vital: the classic buckets, +Inf, sum and
// count of the histogram, and three ratings.
func bill(routes int) Bill {
	perSet := 0
	for v := range webVitals {
		perSet += len(specs[v].buckets) + 3 + len(ratings)
	}
	sets := routes * 3
	return Bill{Routes: routes, LabelSets: sets, Series: sets * perSet}
}

// assets are the endings of what a page loads and is none itself.
var assets = map[string]bool{}

func init() {
	for _, e := range strings.Fields(".js .mjs .css .map .png .jpg .jpeg .gif .webp .avif .svg .ico .woff .woff2 .ttf .eot .mp4 .webm .json .xml .txt .wasm") {
		assets[e] = true
	}
}

// pageOfLine finds the page a line is about, "" when it is about none.
func pageOfLine(line string) string {
	line = strings.TrimSpace(line)
	target := ""
	if i := strings.IndexByte(line, '"'); i >= 0 { // an access log: … "GET /path HTTP/1.1" …
		request, after, _ := strings.Cut(line[i+1:], `"`)
		method, rest, ok := strings.Cut(request, " ")
		if !ok || method != "GET" || !showsPage(after) {
			return ""
		}
		target, _, _ = strings.Cut(rest, " ")
	} else {
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "/") || strings.Contains(word, "://") {
				target = word
				break
			}
		}
	}
	if p := pathOf(target); p == "" || p[0] != '/' || assets[strings.ToLower(path.Ext(p))] {
		return ""
	}
	return target
}

// showsPage tells from what follows the request in an access log, the status
// first, whether a browser had a page to measure: redirects lead to a line of
// their own, and who probes for holes runs no script.
func showsPage(after string) bool {
	status, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	return len(status) != 3 || status < "300" || status == "304"
}

// branch is one place in the tree of folded paths.
type branch struct {
	count    int // page views of this very path
	routes   int // routes that were merged into it
	total    int // with everything below
	children map[string]*branch
}

func (b *branch) add(segments []string, n int) {
	b.total += n
	if len(segments) == 0 {
		b.count += n
		b.routes++
		return
	}
	if b.children == nil {
		b.children = map[string]*branch{}
	}
	child := b.children[segments[0]]
	if child == nil {
		child = &branch{}
		b.children[segments[0]] = child
	}
	child.add(segments[1:], n)
}

// propose gathers the rare children of every place that has many of them into
// one, and reports the templates that come of it.
func (b *branch) propose(prefix string, out *[]Proposal) {
	var rare []string
	for word, child := range b.children {
		if !strings.Contains(word, ":") && word != "*" && child.total*50 < b.total+50 {
			rare = append(rare, word)
		}
	}
	merged := &branch{}
	if len(rare) > manyChildren {
		slices.Sort(rare)
		for _, word := range rare {
			merged.merge(b.children[word])
			delete(b.children, word)
		}
		merged.report(prefix+"/:slug", rare, out)
	}
	for word, child := range b.children {
		child.propose(prefix+"/"+word, out)
	}
}

func (b *branch) merge(o *branch) {
	b.count += o.count
	b.routes += o.routes
	b.total += o.total
	for word, child := range o.children {
		if b.children == nil {
			b.children = map[string]*branch{}
		}
		if mine := b.children[word]; mine != nil {
			mine.merge(child)
		} else {
			b.children[word] = child
		}
	}
}

// report writes a proposal for the merged place and for each path below it.
func (b *branch) report(template string, examples []string, out *[]Proposal) {
	examples = examples[:min(3, len(examples))]
	if b.count > 0 {
		*out = append(*out, Proposal{Template: template, Routes: b.routes, Count: b.count, Examples: examples})
	}
	if len(b.children) > manyChildren {
		*out = append(*out, Proposal{Template: template + "/*", Routes: b.below(), Count: b.total - b.count, Examples: examples})
		return
	}
	for word, child := range b.children {
		child.report(template+"/"+word, examples, out)
	}
}

// below is how many routes lie under a place.
func (b *branch) below() (n int) {
	for _, child := range b.children {
		n += child.routes + child.below()
	}
	return n
}
