package main

import (
	"breakwater/cmd/breakwater/doctor"
	"breakwater/cmd/breakwater/monitoring"
)

// ownRules are the rules that Prometheus should have loaded.
func ownRules() (list []doctor.Rule) {
	for _, r := range monitoring.Loaded() {
		list = append(list, doctor.Rule{Name: r.Name(), Expr: r.Expr})
	}
	return list
}

// watchedWindow is the length of time that panels are asked over.
const watchedWindow = "1h"

// watchedQueries are the questions of all panels and rules.
func watchedQueries() (list []doctor.Query) {
	for _, q := range monitoring.Queries(monitoring.Options{}) {
		where := "rule " + q.From
		if q.Panel != "" {
			where = q.From + ": " + q.Panel
		}
		list = append(list, doctor.Query{Where: where, Expr: monitoring.Expand(q.Expr, watchedWindow), MayBeEmpty: q.Optional})
	}
	return list
}
