package monitoring

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// crashFree is the objective of 99.5 % and a fast burn.
var crashFree = []dashboard.Threshold{from("red"), from("orange", 0.97), from("green", 0.995)}

const severe = `level=~"error|fatal"`

func errorsAndReleases(x exprs) board {
	return board{
		uid: "breakwater-errors", title: "Breakwater / Errors & Releases",
		what: "What broke, since which release, and whether a release is fit for everybody.",
		variables: []variable{
			projectVariable,
			{name: "environment", label: "Environment", what: environmentVariable.what, of: sessions},
			{name: "release", label: "Release", what: "The newest releases of a project; the rest is __other__.", of: releaseErrors},
			windowVariable, sampleVariable,
		},
		sections: []section{
			{"Over the time shown", errorTiles()},
			{"Releases", releasePanels()},
			{"Errors", errorPanels()},
			{"What did not arrive", lossPanels()},
		},
	}
}

func crashFreeShare(window, by string) (expr, samples string) {
	samples = sessions.increase(window, by, `status="started"`)
	return "clamp_min(1 - " + sessions.increase(window, by, `status="crashed"`) + "\n/ (" + samples + " > 0), 0)", samples
}

func errorTiles() []panel {
	free, started := crashFreeShare("$__range", "")
	all := releaseErrors.increase("$__range", "")
	return []panel{
		{
			kind: tile, title: "Errors", what: "Error events of these releases, exact: counted before storm control and sampling.", unit: "short", w: 4, h: 5, alerts: []string{"BreakwaterErrorSpike"},
			queries: []query{{expr: all, name: "errors"}},
		},
		{
			kind: tile, title: "Unhandled", what: "Share of errors that nobody caught.", unit: "percentunit", w: 4, h: 5, noValue: tooFew, steps: below(0.2, 0.5),
			queries: judged(ratio(orZero(releaseErrors.increase("$__range", "", `handled="false"`), all), all), all, "unhandled", "", nil),
		},
		{
			kind: tile, title: "Crash-free sessions", what: "Objective: 99.5 %. Browser SDKs open a session per page by default, apps one per use.", unit: "percentunit", w: 4, h: 5, noValue: tooFew, steps: crashFree,
			alerts: []string{"BreakwaterCrashFreeBurnFast", "BreakwaterCrashFreeBurnSlow"}, queries: judged(free, started, "crash-free", "", nil),
		},
		{
			kind: tile, title: "Crash-free users", what: "Of today (UTC), the worst of the releases chosen; estimated to about 1 %.", unit: "percentunit", w: 4, h: 5, noValue: tooFew, steps: crashFree,
			queries: judged("min(clamp_min(1 - "+crashedUsers.max("project, environment, release")+"\n/ ("+users.max("project, environment, release")+" > 0), 0))", "max("+users.max("project, environment, release")+")", "crash-free", "", nil),
		},
		{
			kind: tile, title: "Suppressed by storm control", what: "Errors that were answered 200 and not passed on, because their fingerprint came too often. They are in all counts here.", unit: "short", w: 4, h: 5,
			queries: []query{{expr: stormSuppressed.increase("$__range", ""), name: "suppressed"}},
		},
		{
			kind: tile, title: "Dropped by SDKs", what: "What SDKs say they dropped before sending: it never came here.", unit: "short", w: 4, h: 5,
			queries: []query{{expr: clientDiscarded.increase("$__range", ""), name: "dropped"}},
		},
	}
}

func releasePanels() []panel {
	free, started := crashFreeShare("$window", "release")
	rangeFree, rangeStarted := crashFreeShare("$__range", "project, release")
	one := 1.0
	perSession := ratio(orZero(releaseErrors.increase("$window", "release", severe), started), started)
	return []panel{
		{
			kind: rows, title: "Releases", what: "Newest first. Crash-free rates stand on enough sessions or stay empty.", unit: "short", w: 24, h: 8, sortBy: "first seen",
			queries: []query{
				{expr: "1000 * " + firstSeenExpr, name: "first seen", unit: "dateTimeFromNow"},
				{expr: rangeStarted, name: "sessions"},
				{expr: enough(rangeFree, rangeStarted), name: "crash-free sessions", unit: "percentunit", steps: crashFree},
				{expr: enough("clamp_min(1 - "+crashedUsers.max("project, release")+"\n/ ("+users.max("project, release")+" > 0), 0)", users.max("project, release")), name: "crash-free users today", unit: "percentunit", steps: crashFree},
				{expr: releaseErrors.increase("$__range", "project, release"), name: "errors"},
			},
		},
		{
			title: "Crash-free sessions by release", what: "The line is the objective of 99.5 %. Grey stands on too few sessions.", unit: "percentunit", w: 8, h: 9, steps: crashFree, max: &one, noValue: tooFew,
			alerts: []string{"BreakwaterCrashFreeBurnFast"}, queries: judged(free, started, "{{release}}", "", nil),
		},
		{
			title: "Errors per session by release", what: "Compare the newest release with the others in the same minutes. Levels error and fatal.", unit: "none", w: 8, h: 9, noValue: tooFew,
			alerts: []string{"BreakwaterNewestReleaseErrors"}, queries: judged(perSession, started, "{{release}}", "", nil),
		},
		{
			kind: share, title: "Adoption", what: "Sessions started by release: who has the new one.", unit: "short", w: 8, h: 9,
			queries: []query{{expr: started, name: "{{release}}"}},
		},
	}
}

func errorPanels() []panel {
	return []panel{
		{
			kind: stacked, title: "Errors by release", what: "Exact, before storm control.", unit: "short", w: 8, h: 8, alerts: []string{"BreakwaterErrorSpike"},
			queries: []query{{expr: releaseErrors.increase("$window", "release"), name: "{{release}}"}},
		},
		{
			kind: stacked, title: "Handled and unhandled", what: "Unhandled errors are crashes to the person in front of them.", unit: "short", w: 8, h: 8,
			queries: []query{{expr: releaseErrors.increase("$window", "handled"), name: "handled: {{handled}}"}},
		},
		{
			kind: stacked, title: "By level", what: "As the SDK sends it; events without one are errors.", unit: "short", w: 8, h: 8,
			queries: []query{{expr: releaseErrors.increase("$window", "level"), name: "{{level}}"}},
		},
		{
			kind: stacked, title: "Sessions by status", what: "started counts each session once; the others what became of it.", unit: "short", w: 8, h: 8,
			queries: []query{{expr: sessions.increase("$window", "status"), name: "{{status}}"}},
		},
		{
			title: "Storms", what: "Errors suppressed in a second, and summaries of storms that ended. The console lists the fingerprints.", unit: "short", w: 8, h: 8,
			queries: []query{{expr: stormSuppressed.rate("project"), name: "{{project}} suppressed/s"}, {expr: stormSummaries.increase("$window", "project"), name: "{{project}} storms ended"}},
		},
		{
			title: "Error groups remembered", what: "Fingerprints in memory. At storm.max_fingerprints the rarest are forgotten.", unit: "short", w: 8, h: 8,
			queries: []query{{expr: stormPrints.sum("project"), name: "{{project}}"}},
		},
	}
}

func lossPanels() []panel {
	out := func(by string, matchers ...string) string { return itemsOutcome.increase("$window", by, matchers...) }
	return []panel{
		{
			kind: stacked, title: "Lost before us", what: "Dropped by the SDKs, by their own reports. ratelimit_backoff follows our limits; network_error: clients could not reach the gateway.", unit: "short", w: 8, h: 8,
			queries: []query{{expr: clientDiscarded.increase("$window", "reason"), name: "{{reason}}"}},
		},
		{
			kind: stacked, title: "Refused by us", what: "Filtered, suppressed, limited, not valid, without a right to send.", unit: "short", w: 8, h: 8,
			queries: []query{
				{expr: out("outcome", `outcome=~"filtered|suppressed|invalid|unauthorized"`), name: "{{outcome}}"},
				{expr: out("outcome", `outcome="rate_limited"`, `reason!="upstream_limit"`), name: "{{outcome}}"},
			},
		},
		{
			kind: stacked, title: "Lost after us", what: "Accepted, and then refused by the upstream, limited by it for long, or too old. Dead letters are kept for a retry.", unit: "short", w: 8, h: 8, alerts: []string{"BreakwaterAcceptedItemsLost"},
			queries: []query{{expr: out("outcome", `outcome=~"dead_letter|expired"`), name: "{{outcome}}"}, {expr: out("reason", `outcome="rate_limited"`, `reason="upstream_limit"`), name: "{{reason}}"}},
		},
		{
			kind: stacked, title: "Scrubbed by rule", what: "Values taken out before anything left. A rise after a release: it began to send what it should not.", unit: "short", w: 12, h: 8,
			queries: []query{{expr: scrubbed.increase("$window", "rule"), name: "{{rule}}"}},
		},
		{
			kind: stacked, title: "Sessions not counted", what: "Not readable, without a valid release, older than five days, or from the future.", unit: "short", w: 12, h: 8,
			queries: []query{{expr: sessionsIgnored.increase("$window", "reason"), name: "{{reason}}"}},
		},
	}
}
