package monitoring

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// MinSamples is how many measurements a percentile or a share needs to mean
// something: with 200 the 90 % range of a p75 is about 11 % to either side.
const MinSamples = 200

// Options are how dashboards are rendered.
type Options struct {
	Links Links
	// Native asks for native histograms where the gateway has both kinds; the
	// rest of the queries stays the same. Prometheus must scrape them
	// (scrape_native_histograms in 3.8 and later).
	Native bool
}

// Dashboard is one dashboard as Grafana 11 and later reads it.
type Dashboard struct {
	// UID never changes: links and the annotations of alerts name it.
	UID   string
	Title string
	JSON  []byte
}

// board is a dashboard before it is Grafana's.
type board struct {
	uid, title, what string
	variables        []variable
	sections         []section
}

type section struct {
	title  string
	panels []panel
}

// schemaVersion is Grafana 11's; later ones migrate it when they load it.
const schemaVersion = 39

// Dashboards renders all of them, always in the same bytes.
func Dashboards(o Options) ([]Dashboard, error) {
	var list []Dashboard
	for _, b := range boards(o) {
		raw, err := b.render(o)
		if err != nil {
			return nil, fmt.Errorf("dashboard %s: %w", b.title, err)
		}
		list = append(list, Dashboard{UID: b.uid, Title: b.title, JSON: raw})
	}
	return list, nil
}

func boards(o Options) []board {
	x := exprs{native: o.Native}
	return []board{webVitals(x), errorsAndReleases(x), mobile(x), gateway(x)}
}

func (b board) render(o Options) ([]byte, error) {
	console, _ := o.Links.withDefaults()
	link := func(title, url string) *dashboard.DashboardLinkBuilder {
		return dashboard.NewDashboardLinkBuilder(title).Type(dashboard.DashboardLinkTypeLink).Icon("external link").Url(url).TargetBlank(true)
	}
	//nolint:staticcheck // its successor needs Grafana 12; these files are for 11 too
	d := dashboard.NewDashboardBuilder(b.title).Uid(b.uid).Description(b.what).Tags([]string{"breakwater"}).
		Tooltip(dashboard.DashboardCursorSyncCrosshair).Time("now-6h", "now").Refresh("1m").Timezone("browser").Editable().
		Link(dashboard.NewDashboardLinkBuilder("Breakwater").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{"breakwater"}).AsDropdown(true).IncludeVars(true).KeepTime(true)).
		Link(link("Console", console+"/")).Link(link("Runbooks", console+"/help/alerts/")).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus").
			Current(option("Prometheus", "prometheus")))
	for _, v := range b.variables {
		d.WithVariable(v.build(o.Native))
	}
	d.Annotation(dashboard.NewAnnotationQueryBuilder().Name("New releases").Datasource(datasource).Enable(true).IconColor("blue").
		Expr("1000 * " + firstSeenExpr).UseValueForTime(true).TitleFormat("{{release}}").TextFormat("{{project}}: seen first"))
	d.Annotation(dashboard.NewAnnotationQueryBuilder().Name("Alerts").Datasource(datasource).Enable(true).IconColor("red").
		Expr(`ALERTS{alertname=~"Breakwater.+", alertname!="BreakwaterWatchdog", alertstate="firing"}`).
		TitleFormat("{{alertname}}").TextFormat("{{project}} {{destination}} {{instance}}"))
	built, err := d.Build()
	if err != nil {
		return nil, err
	}
	built.SchemaVersion = schemaVersion
	if built.Panels, err = b.layout(o.Links); err != nil {
		return nil, err
	}
	raw, err := json.MarshalIndent(built, "", "  ")
	// The SDK's own encoders write > as an escape, and a diff of PromQL should be read.
	raw = []byte(strings.NewReplacer(`\u003e`, ">", `\u003c`, "<", `\u0026`, "&").Replace(string(raw)))
	return append(raw, '\n'), err
}

var firstSeenExpr = "min by (project, release) (" + firstSeen.sel() + ")"

// layout puts panels side by side, 24 columns wide, a heading above each section.
func (b board) layout(l Links) ([]dashboard.PanelOrRowPanel, error) {
	var list []dashboard.PanelOrRowPanel
	var y, id uint32
	for _, s := range b.sections {
		id++
		row, err := dashboard.NewRowBuilder(s.title).Id(id).GridPos(dashboard.GridPos{X: 0, Y: y, W: 24, H: 1}).Build()
		if err != nil {
			return nil, err
		}
		list = append(list, dashboard.PanelOrRowPanel{RowPanel: &row})
		y++
		var x, tallest uint32
		for _, p := range s.panels {
			if x+p.w > 24 {
				x, y, tallest = 0, y+tallest, 0
			}
			id++
			built, err := p.build(l, id, dashboard.GridPos{X: x, Y: y, W: p.w, H: p.h})
			if err != nil {
				return nil, err
			}
			list = append(list, dashboard.PanelOrRowPanel{Panel: &built})
			x, tallest = x+p.w, max(tallest, p.h)
		}
		y += tallest
	}
	return list, nil
}

// variable is a choice at the top of a dashboard.
type variable struct {
	name, label, what string
	// of lists a label's values of a metric; values are a closed list instead,
	// the first of them chosen.
	of     metric
	values []string
}

func option(text, value string) dashboard.VariableOption {
	return dashboard.VariableOption{
		Selected: cog.ToPtr(true), Text: dashboard.StringOrArrayOfString{String: &text}, Value: dashboard.StringOrArrayOfString{String: &value},
	}
}

func (v variable) build(native bool) cog.Builder[dashboard.VariableModel] {
	if v.values != nil {
		var options []dashboard.VariableOption
		query := ""
		for i, text := range v.values {
			o := option(text, text)
			o.Selected = cog.ToPtr(i == 0)
			options = append(options, o)
			if i > 0 {
				query += ","
			}
			query += text
		}
		return dashboard.NewCustomVariableBuilder(v.name).Label(v.label).Description(v.what).
			Values(dashboard.StringOrMap{String: &query}).Options(options).Current(options[0])
	}
	series := v.of.name
	if v.of.kind == "histogram" && !(native && v.of.native) {
		series += "_count" // a classic histogram has no series of its own name
	}
	q := "label_values(" + series + ", " + v.name + ")"
	if v.name != "project" && v.of.has("project") {
		q = "label_values(" + series + `{project=~"$project"}, ` + v.name + ")"
	}
	return dashboard.NewQueryVariableBuilder(v.name).Label(v.label).Description(v.what).Datasource(common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("$datasource")}).
		Definition(q).Query(dashboard.StringOrMap{Map: map[string]any{"query": q, "refId": "variable"}}).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(true).IncludeAll(true).AllValue(".*").Current(option("All", "$__all"))
}

var (
	projectVariable     = variable{name: "project", label: "Project", what: "Projects by their configured names.", of: itemsReceived}
	environmentVariable = variable{name: "environment", label: "Environment", what: "As the SDKs send it; the first ten by name, the rest __other__.", of: ratings}
	sampleVariable      = variable{name: "min_samples", label: "Enough samples", what: "Percentiles and shares of fewer measurements are grey.", values: []string{fmt.Sprint(MinSamples), "1", "50", "1000"}}
	windowVariable      = variable{name: "window", label: "Window", what: "How far each point of a trend looks back.", values: []string{"1h", "5m", "30m", "6h", "1d"}}
)

// exprs writes what is asked in either kind of histogram.
type exprs struct{ native bool }

// quantile of a histogram over a window, for each value of the labels by.
func (x exprs) quantile(q string, m metric, window, by string, matchers ...string) string {
	if x.native && m.native {
		return "histogram_quantile(" + q + ", " + agg("sum", by, "rate("+m.sel(matchers...)+"["+window+"])") + ")"
	}
	le := "le"
	if by != "" {
		le += ", " + by
	}
	return "histogram_quantile(" + q + ", " + agg("sum", le, "rate("+m.series("_bucket", matchers)+"["+window+"])") + ")"
}

// count of a histogram's observations over a window.
func (x exprs) count(m metric, window, by string, matchers ...string) string {
	if x.native && m.native {
		return "histogram_count(" + agg("sum", by, "increase("+m.sel(matchers...)+"["+window+"])") + ")"
	}
	return agg("sum", by, "increase("+m.series("_count", matchers)+"["+window+"])")
}

// enough keeps the values that stand on enough samples, few the others.
func enough(expr, samples string) string { return expr + "\nand (" + samples + " >= $min_samples)" }
func few(expr, samples string) string    { return expr + "\nand (" + samples + " < $min_samples)" }

// judged is a value twice: in color when there are enough samples, grey when not.
func judged(expr, samples, name, unit string, steps []dashboard.Threshold) []query {
	return []query{
		{expr: enough(expr, samples), name: name, unit: unit, steps: steps},
		{expr: few(expr, samples), name: name + " (" + tooFew + ")", unit: unit, few: true},
	}
}
