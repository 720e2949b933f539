package monitoring

func gateway(x exprs) board {
	return board{
		uid: "breakwater-gateway", title: "Breakwater / Gateway",
		what:      "The gateway itself: does it answer, does it lose anything, do the upstreams take what it holds.",
		variables: []variable{projectVariable, windowVariable},
		sections: []section{
			{"Now", gatewayTiles(x)},
			{"The ledger: received = refused + ended + in the spool", ledgerPanels()},
			{"The door", doorPanels(x)},
			{"The spool", spoolPanels(x)},
			{"Upstreams", upstreamPanels(x)},
			{"Limits, storms and budgets", limitPanels()},
			{"The process", processPanels()},
		},
	}
}

// timeToFull is the recorded rule's, on the same terms.
const timeToFull = "min(instance:breakwater_spool:seconds_to_full)"

func serverErrors() string {
	all := httpRequests.rate("")
	return ratio(orZero(httpRequests.rate("", `code=~"5.."`), all), all)
}

func gatewayTiles(x exprs) []panel {
	t := func(title, what, unit, expr string, p panel) panel {
		p.kind, p.title, p.what, p.unit, p.w, p.h = tile, title, what, unit, 4, 4
		p.queries = []query{{expr: expr, name: title}}
		return p
	}
	return []panel{
		t("Gateways up", "Targets of job breakwater that Prometheus can read.", "short", up.sum(""), panel{steps: above(1, 1), alerts: []string{"BreakwaterScrapeAbsent"}}),
		t("5xx", "Share of requests answered 5xx: SDKs drop what is answered so.", "percentunit", serverErrors(), panel{steps: below(0.001, 0.01), alerts: []string{"BreakwaterServerErrors"}}),
		t("Missing from the ledger", "Items that are nowhere, the worst project. Not 0 for ten minutes: something was lost, or the counters are wrong.", "short", `max(abs(breakwater:ledger_difference{project=~"$project"}))`, panel{steps: below(1, 10), alerts: []string{"BreakwaterLedgerNotZero"}}),
		t("In the spool", "Accepted items that wait, counted for each of their destinations.", "short", spoolItems.shared(""), panel{}),
		t("Oldest item", "How long the oldest one waits.", "s", spoolOldest.max(""), panel{steps: below(300, 900), alerts: []string{"BreakwaterOldestItemTooOld"}}),
		t("Time to full", "At the pace of the last 30 minutes. Empty while the spool does not grow.", "s", timeToFull, panel{steps: above(6*3600, 24*3600), noValue: "not growing", alerts: []string{"BreakwaterSpoolFilling", "BreakwaterSpoolAlmostFull"}}),
		t("Last probe", "When doctor's watch last came through, the path that waits longest. 0 or empty: nobody probes.", "dateTimeFromNow", "1000 * min("+canarySuccess.max("path")+" > 0)", panel{noValue: "not watched", alerts: []string{"BreakwaterCanaryAbsent"}}),
		t("Requests", "Answered on the public listener.", "reqps", httpRequests.rate(""), panel{}),
		t("p99 latency", "From a request's header to the end of the answer, upload and fsync included.", "s", x.quantile("0.99", httpDuration, "$__rate_interval", ""), panel{steps: below(0.5, 2)}),
		t("Upstreams down", "Destinations whose circuit is open: nothing gets through.", "short", "count("+relayState.max("destination", `state=~"open|half_open"`)+" == 1) or vector(0)", panel{steps: below(1, 1), alerts: []string{"BreakwaterUpstreamDown"}}),
		t("Dead letters", "Refused for good and kept. Look at them in the console; retry or drop them.", "short", deadLetters.shared(""), panel{steps: below(1, 100), alerts: []string{"BreakwaterAcceptedItemsLost"}}),
		t("Last reload", "1: the last reload was good. 0: it was refused, and the next restart would fail.", "short", "min("+reloadSuccess.sel()+")", panel{steps: above(1, 1), alerts: []string{"BreakwaterConfigRejected"}}),
	}
}

func ledgerPanels() []panel {
	return []panel{
		{
			kind: stacked, title: "Received by category", what: "Items at the door, whatever became of them.", unit: "cps", w: 8, h: 8, alerts: []string{"BreakwaterTrafficAbsent"},
			queries: []query{{expr: itemsReceived.rate("category") + " > 0", name: "{{category}}"}},
		},
		{
			kind: stacked, title: "Outcomes", what: "Where items ended. accepted is left out: it is no end, those items show again as delivered, expired or dead_letter.", unit: "cps", w: 8, h: 8,
			queries: []query{{expr: itemsOutcome.rate("outcome", `outcome!="accepted"`), name: "{{outcome}}"}},
		},
		{
			title: "Difference", what: "Received, recovered and requeued, less refused, ended and in the spool. Items in motion make it flicker around 0; one side for ten minutes is loss.", unit: "short", w: 8, h: 8, alerts: []string{"BreakwaterLedgerNotZero"},
			queries: []query{{expr: `breakwater:ledger_difference{project=~"$project"}`, name: "{{project}}"}},
		},
		{
			kind: stacked, title: "Refused by reason", what: "What the door did not take, and why.", unit: "cps", w: 12, h: 8,
			queries: []query{{expr: itemsOutcome.rate("outcome, reason", `outcome=~"rate_limited|filtered|suppressed|invalid|unauthorized"`) + " > 0", name: "{{outcome}} {{reason}}"}},
		},
		{
			kind: stacked, title: "Lost after acceptance", what: "Answered 200, and not delivered. Dead letters are kept and can be retried; the others are gone.", unit: "short", w: 12, h: 8, alerts: []string{"BreakwaterAcceptedItemsLost"},
			queries: []query{{expr: itemsOutcome.increase("$window", "project, outcome", `outcome=~"dead_letter|expired"`), name: "{{project}} {{outcome}}"}},
		},
	}
}

func doorPanels(x exprs) []panel {
	return []panel{
		{
			title: "Latency by endpoint, p99", what: "From a request's header to the end of the answer: a slow client's upload counts, too.", unit: "s", w: 8, h: 8,
			queries: []query{{expr: x.quantile("0.99", httpDuration, "$__rate_interval", "endpoint"), name: "{{endpoint}}"}},
		},
		{
			title: "Latency, all endpoints", what: "Half of all requests, nine in ten, ninety-nine in a hundred.", unit: "s", w: 6, h: 8,
			queries: []query{
				{expr: x.quantile("0.5", httpDuration, "$__rate_interval", ""), name: "p50"},
				{expr: x.quantile("0.9", httpDuration, "$__rate_interval", ""), name: "p90"},
				{expr: x.quantile("0.99", httpDuration, "$__rate_interval", ""), name: "p99"},
			},
		},
		{
			kind: tile, title: "Panics", what: "Requests ended by a fault of the gateway. Any is worth a report; the log has the stack.", unit: "short", w: 4, h: 8, steps: below(1, 1), alerts: []string{"BreakwaterServerErrors"},
			queries: []query{{expr: httpPanics.increase("$__range", ""), name: "panics"}},
		},
		{
			title: "Error rate", what: "4xx are a client's fault or a limit. 5xx are ours: a full spool, disk or memory budget, or a fault.", unit: "percentunit", w: 6, h: 8, alerts: []string{"BreakwaterServerErrors"},
			queries: []query{
				{expr: ratio(orZero(httpRequests.rate("", `code=~"4.."`), httpRequests.rate("")), httpRequests.rate("")), name: "4xx"},
				{expr: serverErrors(), name: "5xx"},
			},
		},
		{
			kind: stacked, title: "Requests by status", what: "429 tells clients to wait; 503 that there is no room.", unit: "reqps", w: 8, h: 8,
			queries: []query{{expr: httpRequests.rate("code"), name: "{{code}}"}},
		},
		{
			kind: stacked, title: "Requests by endpoint", what: "Which protocols are in use.", unit: "reqps", w: 8, h: 8,
			queries: []query{{expr: httpRequests.rate("endpoint") + " > 0", name: "{{endpoint}}"}},
		},
		{
			title: "Open connections", what: "At server.max_connections further clients wait. In flight: requests being read or answered.", unit: "short", w: 4, h: 8,
			queries: []query{{expr: httpConnections.sum(""), name: "connections"}, {expr: httpInFlight.sum(""), name: "in flight"}},
		},
		{
			title: "Bodies in memory", what: "At the memory budget further requests are answered 503.", unit: "bytes", w: 4, h: 8,
			queries: []query{{expr: httpBodyBytes.sum(""), name: "bytes"}},
		},
	}
}

func spoolPanels(x exprs) []panel {
	return []panel{
		{
			title: "Queue length", what: "Items that wait for each destination. When it only grows, the upstream is down or too slow.", unit: "short", w: 8, h: 8, alerts: []string{"BreakwaterOldestItemTooOld"},
			queries: []query{{expr: spoolItems.shared("project, destination"), name: "{{project}}/{{destination}}"}},
		},
		{
			title: "Oldest item", what: "Age of the oldest record that waits. Event times are kept, so it catches up correctly.", unit: "s", w: 8, h: 8, steps: below(300, 900), alerts: []string{"BreakwaterOldestItemTooOld"},
			queries: []query{{expr: spoolOldest.max("project, destination"), name: "{{project}}/{{destination}}"}},
		},
		{
			title: "Time to full", what: "The smaller of spool and disk, at the pace of the last 30 minutes. No line while the spool does not grow.", unit: "s", w: 8, h: 8, steps: above(6*3600, 24*3600), noValue: "not growing", alerts: []string{"BreakwaterSpoolFilling"},
			queries: []query{{expr: timeToFull, name: "time to full"}},
		},
		{
			title: "Bytes by destination", what: "Bytes that wait; a record with several destinations counts for each.", unit: "bytes", w: 8, h: 8,
			queries: []query{{expr: spoolBytes.shared("project, destination"), name: "{{project}}/{{destination}}"}},
		},
		{
			title: "Room", what: "What the spool takes, may take (spool.max_size), and what its file system has left (spool.min_free is kept); a stream has none of its own.", unit: "bytes", w: 8, h: 8, alerts: []string{"BreakwaterSpoolAlmostFull"},
			queries: []query{{expr: spoolUsed.shared(""), name: "used"}, {expr: spoolCapacity.shared(""), name: "capacity"}, {expr: spoolFree.shared(""), name: "free on disk"}},
		},
		{
			title: "Durable in", what: "Append is most of a client's wait: it shares an fsync with its neighbours. A slow fsync is a slow or busy disk.", unit: "s", w: 8, h: 8,
			queries: []query{
				{expr: x.quantile("0.5", spoolAppend, "$__rate_interval", ""), name: "append p50"},
				{expr: x.quantile("0.99", spoolAppend, "$__rate_interval", ""), name: "append p99"},
				{expr: x.quantile("0.99", spoolFsync, "$__rate_interval", ""), name: "fsync p99"},
			},
		},
		{
			kind: tile, title: "Damaged records", what: "Set aside in the folder damaged since the first start. When it moves, suspect the disk.", unit: "short", w: 12, h: 4, steps: below(1, 1), alerts: []string{"BreakwaterSpoolDamaged", "BreakwaterLedgerNotZero"},
			queries: []query{{expr: spoolDamaged.sum(""), name: "damaged"}},
		},
		{
			kind: tile, title: "Dead letters given up", what: "Dropped because they were over their part of the disk.", unit: "short", w: 12, h: 4, steps: below(1, 1), alerts: []string{"BreakwaterAcceptedItemsLost"},
			queries: []query{{expr: spoolEvicted.increase("$__range", ""), name: "given up"}},
		},
	}
}

func upstreamPanels(x exprs) []panel {
	return []panel{
		{
			kind: states, title: "Circuit", what: "open and half_open: the upstream is away and only probed. held: it has no DSN.", unit: "short", w: 12, h: 8, steps: below(1, 1), alerts: []string{"BreakwaterUpstreamDown"},
			queries: []query{{expr: relayState.max("destination, state", `state!="closed"`), name: "{{destination}} {{state}}"}},
		},
		{
			kind: stacked, title: "Attempts by result", what: "delivered and partial are good; everything else names what the upstream or the way to it did.", unit: "cps", w: 12, h: 8, alerts: []string{"BreakwaterUpstreamRefusing", "BreakwaterUpstreamDown"},
			queries: []query{{expr: relayAttempts.rate("destination, result") + " > 0", name: "{{destination}} {{result}}"}},
		},
		{
			title: "Answer time of upstreams", what: "One attempt, whatever its result. Near the upstream's timeout, look at the upstream.", unit: "s", w: 8, h: 8,
			queries: []query{
				{expr: x.quantile("0.5", relayDuration, "$__rate_interval", "destination"), name: "{{destination}} p50"},
				{expr: x.quantile("0.99", relayDuration, "$__rate_interval", "destination"), name: "{{destination}} p99"},
			},
		},
		{
			title: "From receipt to delivery", what: "The wait in the spool included: how late reports arrive.", unit: "s", w: 8, h: 8,
			queries: []query{
				{expr: x.quantile("0.5", relayLatency, "$window", "destination"), name: "{{destination}} p50"},
				{expr: x.quantile("0.9", relayLatency, "$window", "destination"), name: "{{destination}} p90"},
			},
		},
		{
			title: "In flight", what: "Records being delivered. At upstreams[].concurrency all the time: the upstream is the bottleneck.", unit: "short", w: 4, h: 8,
			queries: []query{{expr: relayInFlight.sum("destination"), name: "{{destination}}"}},
		},
		{
			title: "Dead letters", what: "Refused for good and kept for a retry.", unit: "short", w: 4, h: 8, alerts: []string{"BreakwaterAcceptedItemsLost"},
			queries: []query{{expr: deadLetters.shared("destination"), name: "{{destination}}"}},
		},
		{
			title: "Limited by the upstream for", what: "How long an upstream wants nothing of a category yet; 0 when it takes it.", unit: "s", w: 12, h: 7, alerts: []string{"BreakwaterUpstreamRefusing"},
			queries: []query{{expr: "clamp_min(" + relayLimited.max("destination, category") + " - time(), 0)", name: "{{destination}} {{category}}"}},
		},
		{
			kind: states, title: "Paused by hand", what: "1 while somebody paused a destination in the console.", unit: "short", w: 12, h: 7, steps: below(1, 1),
			queries: []query{{expr: relayPaused.max("destination"), name: "{{destination}}"}},
		},
	}
}

func limitPanels() []panel {
	return []panel{
		{
			kind: stacked, title: "Rate limited by reason", what: "Items answered 429, or limited by an upstream for long (upstream_limit).", unit: "cps", w: 8, h: 8,
			queries: []query{{expr: itemsOutcome.rate("reason", `outcome="rate_limited"`), name: "{{reason}}"}},
		},
		{
			title: "Suppressed by storm control", what: "Errors not passed on because one bug floods.", unit: "cps", w: 8, h: 8, alerts: []string{"BreakwaterErrorSpike"},
			queries: []query{{expr: stormSuppressed.rate("project"), name: "{{project}}"}},
		},
		{
			title: "Series budget", what: "Label sets of vitals in use, and the limit. Over it routes become __other__.", unit: "short", w: 8, h: 8, alerts: []string{"BreakwaterVitalsBudgetFolding"},
			queries: []query{{expr: labelSets.max("project"), name: "{{project}}"}, {expr: labelSetsLimit.max(""), name: "limit"}},
		},
		{
			title: "Limit buckets", what: "Client addresses, keys and categories remembered; 16 bytes each.", unit: "short", w: 8, h: 6,
			queries: []query{{expr: limitKeys.sum(""), name: "buckets"}},
		},
		{
			title: "Limit buckets given up early", what: "More addresses send at once than are remembered: some get more than per_ip allows.", unit: "cps", w: 8, h: 6,
			queries: []query{{expr: limitEvictions.rate(""), name: "given up"}},
		},
		{
			kind: stacked, title: "Limits decided by", what: "shared: by what all gateways know. alone: Redis did not answer, and each gateway limits by itself. Empty without limits.redis.", unit: "reqps", w: 8, h: 6, alerts: []string{"BreakwaterLimitsNotShared"},
			queries: []query{{expr: limitsBy.rate("by"), name: "{{by}}"}},
		},
	}
}

func processPanels() []panel {
	return []panel{
		{
			title: "Memory", what: "Resident memory of the process.", unit: "bytes", w: 6, h: 7,
			queries: []query{{expr: "max by (instance) (" + processMemory.sel() + onGateways + ")", name: "{{instance}}"}},
		},
		{
			title: "CPU", what: "Cores in use.", unit: "short", w: 6, h: 7,
			queries: []query{{expr: "sum by (instance) (rate(" + processCPU.sel() + "[$__rate_interval])" + onGateways + ")", name: "{{instance}}"}},
		},
		{
			title: "Open files", what: "Share of the process's limit; connections and segments of the spool.", unit: "percentunit", w: 6, h: 7, steps: below(0.7, 0.9),
			queries: []query{{expr: processOpenFiles.sel() + " / " + processMaxFiles.sel() + onGateways, name: "{{instance}}"}},
		},
		{
			title: "Goroutines", what: "Follows connections. Rising without them: a leak, worth a report with a profile.", unit: "short", w: 6, h: 7,
			queries: []query{{expr: "max by (instance) (" + goroutines.sel() + onGateways + ")", name: "{{instance}}"}},
		},
		{
			kind: rows, title: "Versions and configurations", what: "Gateways that should be equal have the same version and the same hash.", unit: "short", w: 16, h: 6,
			queries: []query{
				{expr: buildInfo.max("instance, version"), name: "version is in use"},
				{expr: "1000 * " + reloadTime.max("instance"), name: "configuration loaded", unit: "dateTimeFromNow"},
			},
		},
		{
			kind: rows, title: "Configuration", what: "Hash of the configuration in force, secrets apart.", unit: "short", w: 8, h: 6,
			queries: []query{{expr: configHash.max("instance, hash"), name: "in force"}},
		},
		{
			title: "Log lines", what: "Lines of the gateway's own log, by output. One that has none while others go on is away.", unit: "cps", w: 24, h: 6, alerts: []string{"BreakwaterLogOutputDown"},
			queries: []query{{expr: logLines.rate("instance, output"), name: "{{instance}} {{output}}"}},
		},
	}
}

// Metrics that every Go process has are the gateway's where it tells its
// version under the same job and instance.
const onGateways = "\nand on (job, instance) breakwater_build_info"
