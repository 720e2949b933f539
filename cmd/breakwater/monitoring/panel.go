package monitoring

import (
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// kind is how a panel shows its data.
type kind int

const (
	series kind = iota // lines over time
	stacked
	share // stacked to 100 %
	tile  // the last value, large
	rows  // a table, one column for each query
	states
)

// query is one of a panel.
type query struct {
	expr string
	// name is the legend; in a table, the column.
	name string
	// few marks values of too few samples: grey, and dashed where it is a line.
	few bool
	// unit and steps differ from the panel's where they are set.
	unit  string
	steps []dashboard.Threshold
}

// panel is one rectangle of a dashboard, at 24 columns.
type panel struct {
	kind        kind
	title, what string
	unit        string
	w, h        uint32
	steps       []dashboard.Threshold
	queries     []query
	// noValue is shown where a query has no data.
	noValue string
	// min and max fix the axis; nil lets it fit.
	min, max *float64
	// alerts have their runbooks linked from the panel's corner.
	alerts []string
	// sortBy is the column of a table, the greatest first.
	sortBy string
}

const tooFew = "not enough samples"

var datasource = common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("$datasource")}

// from is a threshold's color from a value on; the first has no value.
func from(color string, values ...float64) dashboard.Threshold {
	if len(values) == 0 {
		return dashboard.Threshold{Color: color}
	}
	return dashboard.Threshold{Color: color, Value: &values[0]}
}

// steps for what is good low, and for what is good high.
func below(warn, bad float64) []dashboard.Threshold {
	return []dashboard.Threshold{from("green"), from("orange", warn), from("red", bad)}
}

func above(bad, warn float64) []dashboard.Threshold {
	return []dashboard.Threshold{from("red"), from("orange", bad), from("green", warn)}
}

// neutral has no opinion.
func neutral() []dashboard.Threshold { return []dashboard.Threshold{from("blue")} }

// targets are the panel's queries as Grafana stores them.
func (p panel) targets() []cog.Builder[variants.Dataquery] {
	var list []cog.Builder[variants.Dataquery]
	for i, q := range p.queries {
		b := prometheus.NewDataqueryBuilder().Expr(q.expr).RefId(refID(i)).Datasource(datasource).
			LegendFormat(q.name).EditorMode(prometheus.QueryEditorModeCode)
		switch p.kind {
		case tile:
			b.Instant()
		case rows:
			b.Instant().Format(prometheus.PromQueryFormatTable)
		default:
			b.Range()
		}
		list = append(list, b)
	}
	return list
}

func refID(i int) string { return string(rune('A' + i)) }

// property is one setting of an override.
func property(id string, value any) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: id, Value: value}
}

// overrides are what single queries have of their own.
func (p panel) overrides(q query) []dashboard.DynamicConfigValue {
	var list []dashboard.DynamicConfigValue
	if q.unit != "" {
		list = append(list, property("unit", q.unit))
	}
	if q.steps != nil {
		list = append(list, property("thresholds", map[string]any{"mode": "absolute", "steps": q.steps}))
	}
	if q.few {
		list = append(list, property("color", map[string]any{"mode": "fixed", "fixedColor": "#8e8e8e"}))
		if p.kind != tile {
			list = append(list, property("custom.lineStyle", map[string]any{"fill": "dash", "dash": []int{4, 6}}))
		}
	}
	return list
}

// base is what all kinds of panels have in common: each type of the SDK has
// these methods, and each its own of them.
type base[B any] interface {
	Title(string) B
	Description(string) B
	Datasource(common.DataSourceRef) B
	Unit(string) B
	NoValue(string) B
	Thresholds(cog.Builder[dashboard.ThresholdsConfig]) B
	Targets([]cog.Builder[variants.Dataquery]) B
	OverrideByQuery(string, []dashboard.DynamicConfigValue) B
	Links([]cog.Builder[dashboard.DashboardLink]) B
	Min(float64) B
	Max(float64) B
	GridPos(dashboard.GridPos) B
	Id(uint32) B
	cog.Builder[dashboard.Panel]
}

func fill[B base[B]](p panel, b B, l Links, id uint32, at dashboard.GridPos) (dashboard.Panel, error) {
	b.Title(p.title).Description(p.what).Datasource(datasource).Id(id).GridPos(at).Targets(p.targets()).
		Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(p.steps))
	if p.unit != "" {
		b.Unit(p.unit)
	}
	if p.noValue != "" {
		b.NoValue(p.noValue)
	}
	if p.min != nil {
		b.Min(*p.min)
	}
	if p.max != nil {
		b.Max(*p.max)
	}
	if p.kind != rows {
		for i, q := range p.queries {
			if o := p.overrides(q); o != nil {
				b.OverrideByQuery(refID(i), o)
			}
		}
	}
	console, _ := l.withDefaults()
	var links []cog.Builder[dashboard.DashboardLink]
	for _, a := range p.alerts {
		links = append(links, dashboard.NewDashboardLinkBuilder("Runbook: "+a).Type(dashboard.DashboardLinkTypeLink).
			Url(console+"/help/alerts/"+a).TargetBlank(true))
	}
	if links != nil {
		b.Links(links)
	}
	return b.Build()
}

// build makes the panel of Grafana's type.
func (p panel) build(l Links, id uint32, at dashboard.GridPos) (dashboard.Panel, error) {
	if p.what == "" || len(p.queries) == 0 {
		return dashboard.Panel{}, fmt.Errorf("panel %q has no description or no query", p.title)
	}
	if p.steps == nil {
		p.steps = neutral()
	}
	switch p.kind {
	case tile:
		b := stat.NewPanelBuilder().ColorMode(common.BigValueColorModeBackground).GraphMode(common.BigValueGraphModeNone).
			ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}))
		if len(p.queries) > 1 {
			b.TextMode(common.BigValueTextModeValueAndName)
		}
		return fill(p, b, l, id, at)
	case rows:
		return fill(p, p.table(), l, id, at)
	case states:
		b := statetimeline.NewPanelBuilder().MergeValues(true).ShowValue(common.VisibilityModeNever)
		return fill(p, b, l, id, at)
	}
	b := timeseries.NewPanelBuilder().LineWidth(1).FillOpacity(8).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	if len(p.steps) > 1 {
		b.ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
	}
	switch p.kind {
	case stacked:
		b.FillOpacity(50).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
	case share:
		b.FillOpacity(50).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModePercent).Group("A"))
	}
	return fill(p, b, l, id, at)
}

// table joins the queries by their labels, one row each, and names the columns.
func (p panel) table() *table.PanelBuilder {
	rename, hide := map[string]any{}, map[string]any{"Time": true}
	b := table.NewPanelBuilder()
	for i, q := range p.queries {
		rename["Value #"+refID(i)] = q.name
		if o := p.overrides(q); o != nil {
			b.OverrideByName(q.name, o)
		}
	}
	b.WithTransformation(dashboard.DataTransformerConfig{Id: "merge", Options: map[string]any{}}).
		WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{"excludeByName": hide, "renameByName": rename}})
	if p.sortBy != "" {
		b.SortBy([]cog.Builder[common.TableSortByFieldState]{common.NewTableSortByFieldStateBuilder().DisplayName(p.sortBy).Desc(true)})
	}
	return b
}

// lines joins sentences of a description.
func lines(parts ...string) string { return strings.Join(parts, " ") }
