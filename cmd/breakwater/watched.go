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

// watchedQueries are the expressions that panels and rules ask of Prometheus.
// An alert finds nothing as long as all is well.
func watchedQueries() (list []doctor.Query) {
	for _, r := range monitoring.Loaded() {
		list = append(list, doctor.Query{Where: "rule " + r.Name(), Expr: r.Expr, MayBeEmpty: r.Alert != ""})
	}
	return list
}
