package monitoring

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// known is what the gateway exposes, written by its own test of names: name,
// kind, labels.
func known(t *testing.T) map[string]metric {
	t.Helper()
	raw, err := os.ReadFile("../testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]metric{}
	for _, m := range regexp.MustCompile(`(?m)^(\S+) (\S+) \{(.*)\}$`).FindAllStringSubmatch(string(raw), -1) {
		list[m[1]] = metric{name: m[1], kind: m[2], labels: strings.Split(m[3], ", ")}
	}
	if len(list) < 50 {
		t.Fatalf("only %d families in metrics.txt", len(list))
	}
	return list
}

// foreign series are made by Prometheus and by every Go process.
var foreign = map[string][]string{
	"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate"},
	"process_cpu_seconds_total": nil, "process_resident_memory_bytes": nil, "process_open_fds": nil, "process_max_fds": nil, "go_goroutines": nil,
	"prometheus_notifications_errors_total": nil,
}

// recordLabels are the labels of a recorded series: its level.
func recordLabels(name string) []string {
	level, _, _ := strings.Cut(name, ":")
	if level == "breakwater" { // the ledger's difference
		level = "project"
	}
	return labelsOfLevel(level)
}

// labelsOfLevel takes a level apart: navigation_type is the only label with an underscore.
func labelsOfLevel(level string) []string {
	return strings.Split(strings.ReplaceAll(level, "destination", "destination_project"), "_")
}

// ask checks one expression: it is PromQL, every metric in it is emitted or
// recorded, every label it matches or groups by is one that the metric has.
func ask(t *testing.T, from, expr string) {
	t.Helper()
	e, err := parser.ParseExpr(Expand(expr, "5m"))
	if err != nil {
		t.Errorf("%s: %v\n%s", from, err, expr)
		return
	}
	families, recorded := known(t), map[string]bool{}
	for _, r := range parsedRules() {
		recorded[r.Record] = true
	}
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		v, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		name, labels := v.Name, []string(nil)
		for _, suffix := range []string{"", "_bucket", "_count", "_sum"} {
			if m, ok := families[strings.TrimSuffix(name, suffix)]; ok && (suffix == "" || m.kind == "histogram") {
				labels = append(slices.Clone(m.labels), "job", "instance", "le")
				break
			}
		}
		switch {
		case labels != nil:
		case recorded[name]:
			labels = recordLabels(name)
		default:
			more, ok := foreign[name]
			if !ok {
				t.Errorf("%s asks for %s, which nobody emits:\n%s", from, name, expr)
				return nil
			}
			labels = append(slices.Clone(more), "job", "instance")
		}
		for _, m := range v.LabelMatchers {
			if m.Name == "le" && m.Value != "" {
				t.Errorf("%s names a bucket, whose writing depends on Prometheus's version:\n%s", from, expr)
			}
			if m.Name != "__name__" && !slices.Contains(labels, m.Name) {
				t.Errorf("%s: %s has no label %s:\n%s", from, name, m.Name, expr)
			}
		}
		return nil
	})
}

// A panel or rule that asks for what nobody emits is an empty panel at 3 a.m.
func TestEveryQueryAsksForWhatIsEmitted(t *testing.T) {
	for _, native := range []bool{false, true} {
		for _, q := range Queries(Options{Native: native}) {
			ask(t, q.From+" / "+q.Panel, q.Expr)
		}
	}
	for _, a := range Alerts() {
		ask(t, a.Alert, a.Expr)
	}
	for _, b := range Runbooks() {
		n := 0
		for _, m := range regexp.MustCompile(`(?m)^promtool query instant \S+ '(.*)'$`).FindAllStringSubmatch(b.Markdown, -1) {
			ask(t, "runbook of "+b.Name, m[1])
			n++
		}
		for _, m := range regexp.MustCompile(`breakwater_[a-z_]+[a-z]`).FindAllString(strings.ReplaceAll(b.Markdown, "`breakwater dashboards", ""), -1) {
			ok := false
			for name := range known(t) {
				ok = ok || strings.HasPrefix(name, strings.TrimSuffix(m, "_bucket"))
			}
			if !ok && !strings.Contains(b.Markdown, ":"+m) {
				t.Errorf("runbook of %s names %s, which nobody emits", b.Name, m)
			}
		}
		if n == 0 && b.Name != "BreakwaterConfigRejected" {
			t.Errorf("runbook of %s asks Prometheus nothing", b.Name)
		}
	}
}

// The list of metrics is what the gateway has: no name, kind or label is made up.
func TestCatalogue(t *testing.T) {
	families := known(t)
	for _, m := range []metric{
		ratings, navigations, vitalReleases, vitalsRejected, vitalsLate, vitalsFolded, vitalsTraffic, vitalsBiased, vitalsPending, labelSets, labelSetsLimit, settledEarly,
		lcp, inp, cls, fcp, ttfb, appStart, ttid, ttfd, stallLongest, frames, stalls, sessions, sessionsIgnored, releaseErrors, users, crashedUsers, firstSeen,
		itemsReceived, itemsOutcome, itemsInSpool, clientDiscarded, stormSuppressed, stormSummaries, stormPrints, scrubbed, httpRequests, httpDuration, httpInFlight,
		httpConnections, httpBodyBytes, httpPanics, limitKeys, limitEvictions, limitsBy, redisUp, spoolItems, spoolBytes, spoolOldest, spoolCapacity, spoolUsed, spoolFree, spoolDamaged,
		spoolEvicted, spoolAppend, spoolFsync, relayAttempts, relayDuration, relayLatency, relayState, relayPaused, relayInFlight, relayLimited, deadLetters,
		reloadSuccess, reloadTime, configHash, buildInfo, canarySuccess,
	} {
		have, ok := families[m.name]
		want, labels := slices.Sorted(slices.Values(have.labels)), slices.Sorted(slices.Values(m.labels))
		if len(want) == 1 && want[0] == "" {
			want = nil
		}
		if !ok || have.kind != m.kind || !slices.Equal(want, labels) {
			t.Errorf("%s is here %s %v, in the gateway %s %v", m.name, m.kind, labels, have.kind, want)
		}
	}
	if !panics(func() { lcp.sel(`release="1"`) }) {
		t.Error("a label that a metric has not was taken")
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

// rendered is what the rules below need of a dashboard's JSON.
type rendered struct {
	UID, Title, Description string
	SchemaVersion           int
	GraphTooltip            int
	Tags                    []string
	Links                   []struct{ Title, URL string }
	Templating              struct {
		List []struct{ Name, Type string }
	}
	Panels []struct {
		ID                       int
		Type, Title, Description string
		Datasource               struct{ UID string }
		GridPos                  struct{ X, Y, W, H int }
		FieldConfig              struct {
			Defaults struct {
				Unit       string
				Thresholds struct{ Steps []any }
			}
		}
		Links   []struct{ URL string }
		Targets []struct {
			Expr, LegendFormat, RefID string
			Datasource                struct{ UID string }
		}
	}
}

func render(t *testing.T, o Options) []rendered {
	t.Helper()
	list, err := Dashboards(o)
	if err != nil {
		t.Fatal(err)
	}
	var out []rendered
	for _, d := range list {
		var r rendered
		if err := json.Unmarshal(d.JSON, &r); err != nil {
			t.Fatal(err)
		}
		if r.UID != d.UID || r.Title != d.Title {
			t.Errorf("%s %s renders as %s %s", d.UID, d.Title, r.UID, r.Title)
		}
		out = append(out, r)
	}
	return out
}

// Our linter: what every panel must have, and what none may.
func TestDashboardsLint(t *testing.T) {
	alerts := map[string]bool{}
	for _, a := range Alerts() {
		alerts[a.Alert] = true
	}
	want := []string{"breakwater-web-vitals", "breakwater-errors", "breakwater-mobile", "breakwater-gateway"}
	for _, native := range []bool{false, true} {
		boards := render(t, Options{Native: native})
		for i, d := range boards {
			if i >= len(want) || d.UID != want[i] || len(d.UID) > 40 {
				t.Errorf("dashboard %d has the uid %s; links name %v", i, d.UID, want)
			}
			if d.Description == "" || d.SchemaVersion != 39 || d.GraphTooltip != 1 || !slices.Contains(d.Tags, "breakwater") || len(d.Links) != 3 {
				t.Errorf("%s: %+v", d.Title, d)
			}
			variables := map[string]bool{}
			for _, v := range d.Templating.List {
				variables[v.Name] = true
			}
			if !variables["datasource"] || !variables["project"] {
				t.Errorf("%s: variables %v", d.Title, variables)
			}
			ids, titles := map[int]bool{}, map[string]bool{}
			for _, p := range d.Panels {
				at := d.Title + " / " + p.Title
				if ids[p.ID] || p.ID == 0 {
					t.Errorf("%s: id %d is taken", at, p.ID)
				}
				ids[p.ID] = true
				if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 || p.GridPos.H == 0 {
					t.Errorf("%s: place %+v", at, p.GridPos)
				}
				for _, o := range d.Panels {
					if o.ID != p.ID && p.GridPos.X < o.GridPos.X+o.GridPos.W && o.GridPos.X < p.GridPos.X+p.GridPos.W && p.GridPos.Y < o.GridPos.Y+o.GridPos.H && o.GridPos.Y < p.GridPos.Y+p.GridPos.H {
						t.Errorf("%s lies on %s", at, o.Title)
					}
				}
				if p.Type == "row" {
					continue
				}
				if titles[p.Type+p.Title] {
					t.Errorf("%s: two panels of one kind and title", at)
				}
				titles[p.Type+p.Title] = true
				if p.Title == "" || p.Description == "" || p.Datasource.UID != "$datasource" || len(p.FieldConfig.Defaults.Thresholds.Steps) == 0 {
					t.Errorf("%s is not complete: %+v", at, p)
				}
				for _, l := range p.Links {
					if name, ok := strings.CutPrefix(l.URL, consoleURL+"/help/alerts/"); !ok || !alerts[name] {
						t.Errorf("%s links %s, which is no runbook", at, l.URL)
					}
				}
				for _, q := range p.Targets {
					unit := p.FieldConfig.Defaults.Unit
					if unit == "" && !strings.Contains(q.LegendFormat, "good") && !strings.Contains(q.LegendFormat, "p75") && q.LegendFormat != "page loads" {
						t.Errorf("%s: %s has no unit", at, q.RefID)
					}
					if q.Datasource.UID != "$datasource" || q.LegendFormat == "" {
						t.Errorf("%s: query %s: %+v", at, q.RefID, q)
					}
					for _, v := range regexp.MustCompile(`\$\{?([a-z]\w*)`).FindAllStringSubmatch(q.Expr, -1) {
						if !variables[v[1]] {
							t.Errorf("%s uses $%s, which the dashboard has not", at, v[1])
						}
					}
					if regexp.MustCompile(`[^_]rate\([^[]*\[\d|\[\$__interval\]`).MatchString(q.Expr) {
						t.Errorf("%s: a fixed or too short window: %s", at, q.Expr)
					}
					asksPercentile := strings.Contains(q.Expr, "0.75, ")
					if asksPercentile && !strings.Contains(q.Expr, "$min_samples") {
						t.Errorf("%s: a p75 of any number of samples: %s", at, q.Expr)
					}
					classic := strings.Contains(q.Expr, "web_vitals_lcp_seconds_bucket")
					if native && classic {
						t.Errorf("%s: classic buckets in the native variant: %s", at, q.Expr)
					}
				}
			}
		}
		if len(boards) != len(want) {
			t.Errorf("%d dashboards", len(boards))
		}
	}
}

// The dashboards that alerts lead to exist, and so do the variables they set.
func TestAlertsLeadToDashboards(t *testing.T) {
	boards := render(t, Options{})
	for _, a := range Alerts() {
		url := strings.TrimPrefix(a.Annotations["dashboard_url"], grafanaURL+"/d/")
		uid, query, _ := strings.Cut(url, "?")
		i := slices.IndexFunc(boards, func(d rendered) bool { return d.UID == uid })
		if i < 0 {
			t.Errorf("%s leads to %s, which is not there", a.Alert, url)
			continue
		}
		for _, m := range regexp.MustCompile(`var-(\w+)=`).FindAllStringSubmatch(query, -1) {
			if !slices.ContainsFunc(boards[i].Templating.List, func(v struct{ Name, Type string }) bool { return v.Name == m[1] }) {
				t.Errorf("%s sets %s, which %s has not", a.Alert, m[1], uid)
			}
		}
	}
}

// The same version writes the same bytes, links and addresses are the operator's.
func TestTree(t *testing.T) {
	x := Export{
		Options: Options{Links: Links{Console: "https://console.example", Grafana: "https://grafana.example/"}}, Target: "gateway:8081",
		Prometheus: "http://prometheus:9090/", Alertmanager: "alertmanager:9093", Dashboards: "/srv/dashboards",
	}
	first, err := Tree(x)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Tree(x)
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for i, f := range first {
		if f.Path != again[i].Path || !bytes.Equal(f.Data, again[i].Data) {
			t.Errorf("%s is not the same twice", f.Path)
		}
		if i > 0 && first[i-1].Path >= f.Path {
			t.Errorf("%s is not in order", f.Path)
		}
		if bad := regexp.MustCompile(`127\.0\.0\.1:(8081|9090|3000|9093)`).FindString(string(f.Data)); bad != "" && !strings.HasPrefix(f.Path, "runbooks/") {
			t.Errorf("%s still names %s", f.Path, bad)
		}
		all += f.Path + "\n" + string(f.Data)
	}
	for _, want := range []string{
		`targets: ["gateway:8081"]`, `targets: ["alertmanager:9093"]`, "url: http://prometheus:9090\n", "path: /srv/dashboards\n",
		"https://console.example/help/alerts/BreakwaterUpstreamDown", "https://grafana.example/d/breakwater-errors", "# scrape_native_histograms: true",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is nowhere", want)
		}
	}
	x.Native = true
	native, err := Tree(x)
	if err != nil {
		t.Fatal(err)
	}
	changed := []string{}
	for i, f := range native {
		if !bytes.Equal(f.Data, first[i].Data) {
			changed = append(changed, f.Path)
		}
	}
	if got := fmt.Sprint(changed); got != "[grafana/dashboards/breakwater-gateway.json grafana/dashboards/breakwater-mobile.json grafana/dashboards/breakwater-web-vitals.json prometheus/prometheus.yml]" {
		t.Errorf("native histograms change %s", got)
	}
}
