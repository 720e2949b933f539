package limit

import (
	"testing"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

func TestApplyDropsTogether(t *testing.T) {
	none := Quota{Limit: 0, Period: Month}
	limited := func(cats ...schemas.Category) Config {
		c := Config{Quota: map[schemas.Category]Quota{}}
		for _, cat := range cats {
			c.Quota[cat] = none
		}
		return c
	}
	for _, tc := range []struct {
		name   string
		config Config
		items  []string
		want   string
	}{
		{
			"an error takes what depends on it, nothing else", limited("error"),
			[]string{"attachment", "event", "user_report", "session", "client_report", "log", "profile"},
			"attachment:rate_limited/quota event:rate_limited/quota user_report:rate_limited/quota session client_report log profile:rate_limited/quota",
		},
		{
			"attachments alone", limited("attachment"),
			[]string{"event", "attachment", "minidump"},
			"event attachment:rate_limited/quota attachment",
		},
		{
			"a crash without an event item", limited("error"),
			[]string{"attachment", "minidump", "session"},
			"attachment:rate_limited/quota attachment:rate_limited/quota session",
		},
		{
			"a crash with an event item", limited("error"),
			[]string{"event", "minidump", "attachment"},
			"event:rate_limited/quota attachment:rate_limited/quota attachment:rate_limited/quota",
		},
		{
			"a transaction and its profile", limited("transaction"),
			[]string{"transaction", "profile"},
			"transaction:rate_limited/quota profile:rate_limited/quota",
		},
		{"a profile only", limited("profile"), []string{"transaction", "profile"}, "transaction profile:rate_limited/quota"},
		{"sessions only", limited("session"), []string{"event", "session", "sessions"}, "event session:rate_limited/quota sessions:rate_limited/quota"},
		{"a replay goes whole", limited("replay"), []string{"replay_event", "replay_recording"}, "replay_event:rate_limited/quota replay_recording:rate_limited/quota"},
		{"client reports always pass", limited("error", "default", "unknown"), []string{"client_report"}, "client_report"},
		{"nothing configured", Config{}, []string{"event", "session"}, "event session"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := batch(t0, tc.items...)
			apply(t, limiter(t, Options{}, tc.config), b)
			if got := fate(b); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// A list of events is charged as many, so that it is no way around a limit.
func TestManyEventsAreChargedOneByOne(t *testing.T) {
	b := batch(t0, "event", "event", "event", "log")
	b.Many = true
	apply(t, limiter(t, Options{}, Config{Categories: map[schemas.Category]Rate{"error": {PerSecond: 1, Burst: 2}}}), b)
	if got, want := fate(b), "event event event:rate_limited/category log"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Measurements are charged by their number, all of a request or none; what was
// made of them for the upstreams goes with them, what stands beside them does not.
func TestMeasurementsAreLimited(t *testing.T) {
	beacon := func(source string, n int, items ...string) *ingest.Batch {
		b := batch(t0, items...)
		b.Beacons = []*schemas.Beacon{{Source: source, Vitals: make([]schemas.Vital, n)}}
		return b
	}
	vital := func(b *ingest.Batch) string {
		if len(b.Limits) == 0 {
			return ""
		}
		return string(b.Limits[0].Categories[0]) + "/" + b.Limits[0].Reason
	}
	for name, c := range map[string]Config{
		"category": {Categories: map[schemas.Category]Rate{"vital": {PerSecond: 1, Burst: 5}}},
		"quota":    {Quota: map[schemas.Category]Quota{"vital": {Limit: 5, Period: Month}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := limiter(t, Options{}, c)
			for i, n := range []int{3, 2} {
				b := beacon("beacon", n, "span")
				if apply(t, l, b); fate(b) != "span" || vital(b) != "" {
					t.Fatalf("beacon %d: %s, limits %+v", i, fate(b), b.Limits)
				}
			}
			b := beacon("beacon", 1, "span")
			if apply(t, l, b); fate(b) != "span:rate_limited/"+name || vital(b) != "vital/"+name {
				t.Errorf("over the limit: %s, limits %+v", fate(b), b.Limits)
			}
			b = beacon("faro", 1, "event", "log")
			if apply(t, l, b); fate(b) != "event log" || vital(b) != "vital/"+name {
				t.Errorf("beside other items: %s, limits %+v", fate(b), b.Limits)
			}
			b = beacon(ingest.SourceSentry, 9, "transaction")
			if apply(t, l, b); fate(b) != "transaction" || vital(b) != "" {
				t.Errorf("read out of an item: %s, limits %+v", fate(b), b.Limits)
			}
		})
	}
	t.Run("an upstream has no say", func(t *testing.T) {
		up := fixedUpstream{{Scope: "key", Reason: "generic", Until: t0.Add(time.Hour)}}
		l := limiter(t, Options{Upstream: up}, Config{Categories: map[schemas.Category]Rate{"vital": {PerSecond: 1, Burst: 1}}})
		b := beacon("beacon", 1)
		if apply(t, l, b); len(l.Limited(t0)) != 0 {
			t.Errorf("limited: %+v", l.Limited(t0))
		}
	})
}

func TestClientReportsCannotBeConfiguredAway(t *testing.T) {
	l := limiter(t, Options{Upstream: fixedUpstream{{Scope: "key", Reason: "generic", Until: t0.Add(time.Hour)}}}, Config{})
	b := batch(t0, "client_report", "event")
	apply(t, l, b)
	if got, want := fate(b), "client_report event:rate_limited/upstream"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	err := l.Configure(map[string]Config{"shop": {Categories: map[schemas.Category]Rate{schemas.CategoryInternal: {PerSecond: 1}}}})
	if err == nil {
		t.Error("a limit of client reports was accepted")
	}
}

func TestApplyChargesOnce(t *testing.T) {
	c := Config{Categories: map[schemas.Category]Rate{
		schemas.CategoryError:  {PerSecond: 1, Burst: 1},
		schemas.CategoryReplay: {PerSecond: 1, Burst: 2},
		schemas.CategoryLog:    {PerSecond: 10, Burst: 100},
	}}
	l := limiter(t, Options{}, c)
	b := batch(t0, "event", "minidump", "replay_event", "replay_recording")
	apply(t, l, b)
	if got, want := fate(b), "event attachment replay_event replay_recording"; got != want {
		t.Errorf("a native crash is one error, a replay's two items fit a burst of two:\ngot  %s\nwant %s", got, want)
	}
	b = batch(t0)
	b.Items = append(b.Items, item("log", 60), item("log", 60))
	apply(t, l, b)
	if got, want := fate(b), "log log:rate_limited/category"; got != want {
		t.Errorf("containers count their members:\ngot  %s\nwant %s", got, want)
	}
	if len(b.Limits) != 1 || b.Limits[0].Until.Sub(t0) != 2*time.Second {
		t.Errorf("limits %+v, want one of 2s: 20 logs at 10/s", b.Limits)
	}
}

func TestRefusedAttachmentsAreNotCharged(t *testing.T) {
	c := Config{
		Categories: map[schemas.Category]Rate{schemas.CategoryAttachment: {PerSecond: 0.01, Burst: 1}},
		Quota:      map[schemas.Category]Quota{schemas.CategoryError: {Limit: 0, Period: Month}},
	}
	l := limiter(t, Options{}, c)
	apply(t, l, batch(t0, "attachment", "event"))
	b := batch(t0, "attachment")
	apply(t, l, b)
	if got := fate(b); got != "attachment" {
		t.Errorf("got %s: the dropped event's attachment had taken the token", got)
	}
}

func TestRetryHints(t *testing.T) {
	for _, tc := range []struct {
		name   string
		config Config
		sends  int
		want   string
	}{
		{"a quick rate says a second", Config{Categories: map[schemas.Category]Rate{"error": {PerSecond: 100, Burst: 1}}}, 2, "1:error:project:category"},
		{"a slow rate says a minute", Config{Categories: map[schemas.Category]Rate{"error": {PerSecond: 0.001, Burst: 1}}}, 2, "60:error:project:category"},
		{"between the two the exact time", Config{Categories: map[schemas.Category]Rate{"error": {PerSecond: 0.1, Burst: 1}}}, 2, "10:error:project:category"},
		{"a quota says the month's end", Config{Quota: map[schemas.Category]Quota{"error": {Limit: 1, Period: Month}}}, 2, "1857600:error:project:quota"},
		{"a quota of a day", Config{Quota: map[schemas.Category]Quota{"error": {Limit: 1, Period: Day}}}, 2, "43200:error:project:quota"},
		{"a quota of none says a minute", Config{Quota: map[schemas.Category]Quota{"error": {Limit: 0, Period: Month}}}, 1, "60:error:project:quota"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := limiter(t, Options{}, tc.config)
			var got string
			for range tc.sends {
				b := batch(t0, "event", "session")
				apply(t, l, b)
				got, _ = schemas.FormatRateLimits(b.Limits, t0)
				if !b.Items[1].Alive() {
					t.Error("the session went with the event")
				}
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestUpstreamLimitsAreMergedAndNeverShortened(t *testing.T) {
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	for _, tc := range []struct {
		name     string
		upstream fixedUpstream
		want     string
		fate     string
	}{
		{
			"a longer one of the same category wins",
			fixedUpstream{{Categories: []schemas.Category{"error"}, Scope: "project", Reason: "spike", Until: at(300)}},
			"300:error:project:spike", "event:rate_limited/upstream session",
		},
		{
			"the longer one stands last, as SDKs let it overwrite",
			fixedUpstream{
				{Categories: []schemas.Category{"error"}, Scope: "organization", Reason: "long", Until: at(300)},
				{Categories: []schemas.Category{"error"}, Scope: "key", Reason: "short", Until: at(20)},
			},
			"20:error:key:short, 300:error:organization:long", "event:rate_limited/upstream session",
		},
		{
			"a short category does not hide a long all",
			fixedUpstream{
				{Categories: []schemas.Category{"error"}, Scope: "key", Reason: "short", Until: at(20)},
				{Scope: "organization", Reason: "all", Until: at(300)},
			},
			"300::organization:all", "event:rate_limited/upstream session:rate_limited/upstream",
		},
		{"one that ended says nothing", fixedUpstream{{Scope: "key", Until: at(-1)}}, "60:error:project:category", "event:rate_limited/category session"},
		{
			"another category is announced too",
			fixedUpstream{{Categories: []schemas.Category{"replay"}, Scope: "key", Reason: "r", Until: at(5)}},
			"5:replay:key:r, 60:error:project:category", "event:rate_limited/category session",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := limiter(t, Options{}, Config{Categories: map[schemas.Category]Rate{"error": {PerSecond: 0.001, Burst: 1}}})
			apply(t, l, batch(t0, "event")) // the bucket is empty now
			l.opts.Upstream = tc.upstream
			b := batch(t0, "event", "session")
			apply(t, l, b)
			if got, _ := schemas.FormatRateLimits(b.Limits, t0); got != tc.want {
				t.Errorf("limits %q, want %q", got, tc.want)
			}
			if got := fate(b); got != tc.fate {
				t.Errorf("fate %q, want %q", got, tc.fate)
			}
		})
	}
}

func TestRateRefusalGivesTheQuotaBack(t *testing.T) {
	l := limiter(t, Options{}, Config{
		Categories: map[schemas.Category]Rate{"error": {PerSecond: 0.001, Burst: 1}},
		Quota:      map[schemas.Category]Quota{"error": {Limit: 10, Period: Month}},
	})
	for range 5 {
		apply(t, l, batch(t0, "event"))
	}
	if got := l.Quotas(t0)[0].Used; got != 1 {
		t.Errorf("quota used %d, want 1", got)
	}
}

func TestLimitsOfEarlierStagesStay(t *testing.T) {
	l := limiter(t, Options{}, Config{Quota: map[schemas.Category]Quota{"session": {Limit: 0, Period: Month}}})
	b := batch(t0, "session")
	b.Limits = []schemas.RateLimit{{Categories: []schemas.Category{"error"}, Scope: "key", Reason: "storm", Until: t0.Add(60 * time.Second)}}
	apply(t, l, b)
	if got, _ := schemas.FormatRateLimits(b.Limits, t0); got != "60:error:key:storm, 60:session:project:quota" {
		t.Errorf("limits %q", got)
	}
}
