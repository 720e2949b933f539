package monitoring

func mobile(x exprs) board {
	return board{
		uid: "breakwater-mobile", title: "Breakwater / Mobile",
		what: "App starts, screens, frames and stalls of mobile apps, as the React Native SDK and beacons send them.",
		variables: []variable{
			projectVariable,
			{name: "environment", label: "Environment", what: environmentVariable.what, of: appStart},
			{name: "os", label: "System", what: "ios, android, other.", of: appStart},
			{name: "route", label: "Screen", what: "Screens by name; what is over the series budget is __other__.", of: frames},
			{name: "release", label: "Release", what: "The newest releases of a project.", of: sessions},
			windowVariable, sampleVariable,
		},
		sections: []section{
			{"App starts", starts(x)},
			{"Screens", screens(x)},
			{"Frames and stalls", smoothness(x)},
			{"Crashes", mobileCrashes()},
		},
	}
}

func starts(x exprs) (list []panel) {
	for _, s := range []struct {
		name, what string
		warn, bad  float64
	}{
		{"cold", "The process starts from nothing. Good under 3 s; Android vitals call 5 s excessive.", 3, 5},
		{"warm", "The process lives, the screen is made anew. Good under 1 s; Android vitals call 2 s excessive.", 1, 2},
		{"hot", "The app comes back to the front. Android vitals call 1.5 s excessive.", 1, 1.5},
	} {
		match := `type="` + s.name + `"`
		list = append(list, panel{
			kind: tile, title: "p75 " + s.name + " start", what: lines(s.what, "Until the first frame."), unit: "s", w: 8, h: 5, noValue: tooFew, steps: below(s.warn, s.bad),
			queries: append(judged(x.quantile("0.75", appStart, "$__range", "", match), x.count(appStart, "$__range", "", match), "p75", "", nil),
				query{expr: x.count(appStart, "$__range", "", match), name: "starts", unit: "short", steps: neutral()}),
		})
	}
	for _, s := range []struct {
		name      string
		warn, bad float64
	}{{"cold", 3, 5}, {"warm", 1, 2}, {"hot", 1, 1.5}} {
		match := `type="` + s.name + `"`
		list = append(list, panel{
			title: "p75 of " + s.name + " starts by system", what: "Each point looks back $window. Starts over a minute are not counted: the system started the app for itself.", unit: "s", w: 8, h: 8, noValue: tooFew, steps: below(s.warn, s.bad),
			queries: judged(x.quantile("0.75", appStart, "$window", "os", match), x.count(appStart, "$window", "os", match), "{{os}}", "", nil),
		})
	}
	return list
}

func screens(x exprs) []panel {
	one := func(m metric, title, what string) panel {
		return panel{
			title: title, what: what, unit: "s", w: 12, h: 8, noValue: tooFew,
			queries: judged(x.quantile("0.75", m, "$window", "os"), x.count(m, "$window", "os"), "{{os}}", "", nil),
		}
	}
	seen := x.count(ttid, "$__range", "route")
	full := x.count(ttfd, "$__range", "route")
	return []panel{
		one(ttid, "p75 time to initial display", "Until a screen shows its first frame."),
		one(ttfd, "p75 time to full display", "Until a screen shows its content; apps that never say so have none."),
		{
			kind: rows, title: "Screens", what: "The busiest screens. Percentiles stand on enough samples or stay empty.", unit: "s", w: 24, h: 9, sortBy: "displays",
			queries: []query{
				{expr: "topk(25, " + seen + ")", name: "displays", unit: "short"},
				{expr: enough(x.quantile("0.75", ttid, "$__range", "route"), seen), name: "p75 initial display"},
				{expr: enough(x.quantile("0.75", ttfd, "$__range", "route"), full), name: "p75 full display"},
				{expr: ratio(frames.increase("$__range", "route", `kind="slow"`), frames.increase("$__range", "route", `kind="total"`)), name: "slow frames", unit: "percentunit"},
				{expr: ratio(frames.increase("$__range", "route", `kind="frozen"`), frames.increase("$__range", "route", `kind="total"`)), name: "frozen frames", unit: "percentunit"},
			},
		},
	}
}

func smoothness(x exprs) []panel {
	part := func(k string) string {
		return ratio(frames.increase("$window", "os", `kind="`+k+`"`), frames.increase("$window", "os", `kind="total"`))
	}
	return []panel{
		{
			title: "Slow frames", what: "Share of frames over 16 ms (scaled on faster screens).", unit: "percentunit", w: 6, h: 8, steps: below(0.05, 0.25),
			queries: []query{{expr: part("slow"), name: "{{os}}"}},
		},
		{
			title: "Frozen frames", what: "Share of frames over 700 ms: the app seems to hang.", unit: "percentunit", w: 6, h: 8, steps: below(0.001, 0.01),
			queries: []query{{expr: part("frozen"), name: "{{os}}"}},
		},
		{
			title: "Stalls", what: "Stalls of the JavaScript thread.", unit: "short", w: 6, h: 8,
			queries: []query{{expr: stalls.increase("$window", "os"), name: "{{os}}"}},
		},
		{
			title: "p90 of the longest stall", what: "The longest stall of a screen, of the worst tenth of them.", unit: "s", w: 6, h: 8, noValue: tooFew,
			queries: judged(x.quantile("0.9", stallLongest, "$window", "os"), x.count(stallLongest, "$window", "os"), "{{os}}", "", nil),
		},
	}
}

func mobileCrashes() []panel {
	free, started := crashFreeShare("$window", "release")
	one := 1.0
	return []panel{
		{
			title: "Crash-free sessions by release", what: "The line is the objective of 99.5 %. A crash is reported at the app's next start, under the release that crashed.", unit: "percentunit", w: 12, h: 8, steps: crashFree, max: &one, noValue: tooFew,
			alerts: []string{"BreakwaterCrashFreeBurnFast"}, queries: judged(free, started, "{{release}}", "", nil),
		},
		{
			kind: share, title: "Adoption", what: "Sessions started by release: how far a phased rollout is.", unit: "short", w: 12, h: 8,
			queries: []query{{expr: started, name: "{{release}}"}},
		},
	}
}
