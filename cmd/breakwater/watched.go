package main

import "breakwater/cmd/breakwater/doctor"

// watchedQueries are the expressions that panels and rules ask of Prometheus.
func watchedQueries() []doctor.Query { return nil }

// ownRules are the rules that Prometheus should have loaded.
func ownRules() []doctor.Rule { return nil }
