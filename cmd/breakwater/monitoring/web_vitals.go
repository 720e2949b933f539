package monitoring

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// vital is a metric with the published thresholds.
type vital struct {
	name, long string
	m          metric
	unit       string
	good, poor float64
}

var vitals = []vital{
	{"LCP", "Largest Contentful Paint: when the main content is there.", lcp, "s", 2.5, 4},
	{"INP", "Interaction to Next Paint: how long the page takes to answer a click or a key.", inp, "s", 0.2, 0.5},
	{"CLS", "Cumulative Layout Shift: how much content jumps.", cls, "none", 0.1, 0.25},
	{"FCP", "First Contentful Paint: when anything is there.", fcp, "s", 1.8, 3},
	{"TTFB", "Time to First Byte: server, network and redirects.", ttfb, "s", 0.8, 1.8},
}

func (v vital) steps() []dashboard.Threshold { return below(v.good, v.poor) }

// goodShare is the verdict in numbers: p75 is good when it is 0.75 or more.
var goodShare = above(0.5, 0.75)

const exact = "Exact: every measurement is rated by the gateway. p75 is good when three in four are; its number is an estimate inside a bucket."

func webVitals(x exprs) board {
	return board{
		uid: "breakwater-web-vitals", title: "Breakwater / Web Vitals",
		what: "What visitors feel: Web Vitals by page, device and release, judged by the published thresholds. Soft navigations are apart.",
		variables: []variable{
			projectVariable, environmentVariable,
			{name: "device", label: "Device", what: "mobile, tablet, desktop, other: by the user agent.", of: ratings},
			{name: "route", label: "Route", what: "Route templates; what is over the series budget is __other__.", of: ratings},
			{name: "release", label: "Release", what: "The newest releases of a project.", of: vitalReleases},
			{name: "vital", label: "Vital", what: "For the panels of one vital.", values: []string{"LCP", "INP", "CLS", "FCP", "TTFB"}},
			windowVariable, sampleVariable,
		},
		sections: []section{
			{"Verdict over the time shown", verdicts(x)},
			{"p75 over time", trends(x)},
			{"$vital in detail", oneVital()},
			{"Can the numbers be trusted?", trust()},
		},
	}
}

func verdicts(x exprs) (list []panel) {
	for i, v := range vitals {
		samples := ratings.increase("$__range", "", `vital="`+v.name+`"`)
		good := ratio(orZero(ratings.increase("$__range", "", `vital="`+v.name+`"`, `rating="good"`), samples), samples)
		p := panel{
			kind: tile, title: v.name, what: lines(v.long, "Share of good page loads, p75 and number of page loads.", exact), w: 5, h: 6, noValue: tooFew,
			alerts: []string{"BreakwaterVitalsBurnFast", "BreakwaterVitalsBurnSlow"},
		}
		if i == 4 {
			p.w = 4
		}
		p.queries = append(p.queries, judged(good, samples, "good", "percentunit", goodShare)...)
		p.queries = append(p.queries, judged(x.quantile("0.75", v.m, "$__range", ""), x.count(v.m, "$__range", ""), "p75", v.unit, v.steps())...)
		p.queries = append(p.queries, query{expr: samples, name: "page loads", unit: "short", steps: neutral()})
		list = append(list, p)
	}
	return list
}

func trends(x exprs) (list []panel) {
	zero := 0.0
	for i, v := range vitals {
		p := panel{
			title: v.name + " p75 by device", what: lines(v.long, "Each point looks back $window. The dashed lines are the thresholds; grey points stand on too few samples."),
			unit: v.unit, w: 8, h: 8, steps: v.steps(), min: &zero, noValue: tooFew,
			queries: judged(x.quantile("0.75", v.m, "$window", "device"), x.count(v.m, "$window", "device"), "{{device}}", "", nil),
		}
		if i >= 3 {
			p.w = 12
		}
		list = append(list, p)
	}
	return list
}

func oneVital() []panel {
	one := func(by, window string, more ...string) string {
		return ratings.increase(window, by, append([]string{`vital="$vital"`}, more...)...)
	}
	share1 := func(m metric, by, window string) (string, string) {
		samples := m.increase(window, by, `vital="$vital"`)
		return ratio(orZero(m.increase(window, by, `vital="$vital"`, `rating="good"`), samples), samples), samples
	}
	byDevice, devices := share1(ratings, "device", "$window")
	byRelease, releases := share1(vitalReleases, "release", "$window")
	routes := one("route", "$__range")
	one01 := 1.0
	zero := 0.0
	return []panel{
		{
			kind: share, title: "Ratings", what: "Page loads by rating.", unit: "short", w: 8, h: 8,
			queries: []query{{expr: one("rating", "$window"), name: "{{rating}}"}},
		},
		{
			title: "Share of good by device", what: lines("Mobile and desktop apart: the verdict is given for each.", exact), unit: "percentunit", w: 8, h: 8, steps: goodShare, min: &zero, max: &one01, noValue: tooFew,
			queries: judged(byDevice, devices, "{{device}}", "", nil), alerts: []string{"BreakwaterVitalsWorseThanLastWeek"},
		},
		{
			title: "Share of good by release", what: lines("A new release beside the one before it, in the same minutes. All devices and routes.", exact), unit: "percentunit", w: 8, h: 8, steps: goodShare, min: &zero, max: &one01, noValue: tooFew,
			queries: judged(byRelease, releases, "{{release}}", "", nil),
		},
		{
			kind: rows, title: "Routes by bad page loads", what: "Where work pays off most: traffic times the share of page loads that are not good.", unit: "short", w: 16, h: 10, sortBy: "bad page loads",
			queries: []query{
				{expr: "topk(25, " + one("route", "$__range", `rating!="good"`) + ")", name: "bad page loads"},
				{expr: routes, name: "page loads"},
				{expr: enough(ratio(orZero(one("route", "$__range", `rating="good"`), routes), routes), routes), name: "share of good", unit: "percentunit", steps: goodShare},
			},
		},
		{
			title: "By navigation type", what: "How the page was entered. Soft navigations are only here, never in shares and percentiles: they would make a page look faster than it loads.", unit: "short", kind: stacked, w: 8, h: 10,
			queries: []query{{expr: navigations.increase("$window", "navigation_type", `vital="$vital"`), name: "{{navigation_type}}"}},
		},
	}
}

func trust() []panel {
	return []panel{
		{
			kind: stacked, title: "Rejected by reason", what: "Measurements that were not counted. A rise after a release of the site means that its measuring code is broken.", unit: "short", w: 8, h: 8,
			queries: []query{{expr: vitalsRejected.increase("$window", "reason"), name: "{{reason}}"}},
		},
		{
			kind: share, title: "Who sent them", what: "Robots are kept out of the histograms and counted here.", unit: "short", w: 8, h: 8,
			queries: []query{{expr: vitalsTraffic.increase("$window", "traffic"), name: "{{traffic}}"}},
		},
		{
			title: "Late updates", what: "Share of reports for a page load that was already counted. High: vitals.settle is too short for this site.", unit: "percentunit", w: 8, h: 8, steps: below(0.01, 0.05),
			queries: []query{{expr: ratio(vitalsLate.increase("$window", "project"), vitalsTraffic.increase("$window", "project")), name: "{{project}}"}},
		},
		{
			title: "Series budget used", what: "Label sets in use of those that vitals.series_per_project allows.", unit: "percentunit", w: 8, h: 7, steps: below(0.8, 1), alerts: []string{"BreakwaterVitalsBudgetFolding"},
			queries: []query{{expr: labelSets.max("project") + "\n/ on () group_left () " + labelSetsLimit.max(""), name: "{{project}}"}},
		},
		{
			title: "Folded into __other__", what: "Measurements whose route lost its name to the budget. Add route templates when it rises.", unit: "short", w: 8, h: 7, alerts: []string{"BreakwaterVitalsBudgetFolding"},
			queries: []query{{expr: vitalsFolded.increase("$window", "project"), name: "{{project}}"}},
		},
		{
			kind: tile, title: "Waiting to settle", what: "Page loads that may still report again. They are counted once they are quiet.", unit: "short", w: 4, h: 7,
			queries: []query{{expr: vitalsPending.sum(""), name: "pending"}, {expr: settledEarly.increase("$__range", ""), name: "counted early", steps: below(1, 1000)}},
		},
		{
			kind: tile, title: "Only bad values", what: "Projects whose client reports poor values only: their shares and percentiles mean nothing, and their alerts are muted.", unit: "short", w: 4, h: 7, steps: below(1, 1),
			queries: []query{{expr: vitalsBiased.sum(""), name: "projects"}},
		},
	}
}
