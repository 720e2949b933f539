package monitoring

import "strings"

// Query is one question that a dashboard or a rule asks Prometheus.
type Query struct {
	// From is the dashboard's title or the rule's name, Panel the panel's title
	// and "" for a rule.
	From, Panel string
	// Expr is PromQL; that of a panel still holds Grafana's variables.
	Expr string
	// Optional tells that no data may be good news: the question is about
	// something that does not happen all the time.
	Optional bool
}

// Queries are all questions of all dashboards and rules, for a check that each
// has data.
func Queries(o Options) []Query {
	var list []Query
	for _, b := range boards(o) {
		for _, s := range b.sections {
			for _, p := range s.panels {
				for _, q := range p.queries {
					list = append(list, Query{From: b.title, Panel: p.title, Expr: q.expr, Optional: q.few || p.noValue != ""})
				}
			}
		}
	}
	for _, r := range parsedRules() {
		if r.Record != "" {
			list = append(list, Query{From: r.Record, Expr: r.Expr, Optional: true})
		}
	}
	return list
}

// Expand puts values in the place of Grafana's variables: all projects,
// environments and so on, and the given window for every length of time.
func Expand(expr, window string) string {
	return strings.NewReplacer(
		"$__rate_interval", window, "$__range", window, "$window", window, "$min_samples", "1", "$vital", "LCP",
		"$project", ".*", "$environment", ".*", "$release", ".*", "$device", ".*", "$route", ".*", "$os", ".*",
	).Replace(expr)
}
