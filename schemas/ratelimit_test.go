package schemas

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var limitNow = time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)

func inSecs(n int) time.Time { return limitNow.Add(time.Duration(n) * time.Second) }

func TestParseRateLimits(t *testing.T) {
	all := func(secs int) []RateLimit { return []RateLimit{{Scope: "key", Reason: "generic", Until: inSecs(secs)}} }
	one := func(secs int, scope, reason string, c ...Category) []RateLimit {
		return []RateLimit{{Categories: c, Scope: scope, Reason: reason, Until: inSecs(secs)}}
	}
	tests := []struct {
		name   string
		status int
		limits []string // X-Sentry-Rate-Limits, one per header line
		after  string   // Retry-After
		want   []RateLimit
	}{
		{name: "nothing on 200", status: 200},
		{name: "Retry-After on 200 is not a limit", status: 200, after: "5"},
		{name: "documented example", status: 429, limits: []string{"60:transaction;error:organization:quota_exceeded, 2700:metric_bucket:project:reason:custom"}, want: []RateLimit{
			{Categories: []Category{CategoryError, CategoryTransaction}, Scope: "organization", Reason: "quota_exceeded", Until: inSecs(60)},
			{Categories: []Category{CategoryMetricBucket}, Scope: "project", Reason: "reason", Until: inSecs(2700)},
		}},
		{name: "on a 200", status: 200, limits: []string{"2:error:project:quota_exceeded"}, want: one(2, "project", "quota_exceeded", CategoryError)},
		{name: "all categories", status: 429, limits: []string{"60::organization"}, want: one(60, "organization", "")},
		{name: "only seconds and colon", status: 429, limits: []string{"60:"}, want: one(60, "key", "")},
		{name: "no spaces between limits", status: 429, limits: []string{"1:error,2:session"}, want: append(one(1, "key", "", CategoryError), one(2, "key", "", CategorySession)...)},
		{name: "two header lines", status: 429, limits: []string{"1:error", "2:session"}, want: append(one(1, "key", "", CategoryError), one(2, "key", "", CategorySession)...)},
		{name: "float is rounded up", status: 429, limits: []string{"1.2:error"}, want: one(2, "key", "", CategoryError)},
		{name: "negative is over", status: 429, limits: []string{"-5:error"}, want: one(0, "key", "", CategoryError)},
		{name: "infinite is over", status: 429, limits: []string{"inf:error"}, want: one(0, "key", "", CategoryError)},
		{name: "no number is a minute", status: 429, limits: []string{"soon:error"}, want: one(60, "key", "", CategoryError)},
		{name: "beyond a float is over", status: 429, limits: []string{"1e999:error"}, want: one(0, "key", "", CategoryError)},
		{name: "very long is cut at three years", status: 429, limits: []string{"1e30:error"}, want: one(1e8, "key", "", CategoryError)},
		{name: "unknown scope is key", status: 429, limits: []string{"60:error:galaxy"}, want: one(60, "key", "", CategoryError)},
		{name: "unknown names are skipped", status: 429, limits: []string{"60:seer_autofix;error"}, want: one(60, "key", "", CategoryError)},
		{name: "only unknown names are no limit on all", status: 429, limits: []string{"60:seer_autofix;uptime:organization"}},
		{name: "only unknown names, Retry-After beside", status: 429, limits: []string{"60:seer_autofix:organization"}, after: "90"},
		{name: "aliases", status: 429, limits: []string{"60:metric;trace_metric"}, want: one(60, "key", "", CategoryTraceMetric)},
		{name: "upper case and spaces", status: 429, limits: []string{" 60 : Error ; SESSION : project "}, want: one(60, "project", "", CategoryError, CategorySession)},
		{name: "empty list falls back", status: 429, limits: []string{""}, after: "7", want: all(7)},
		{name: "garbage falls back", status: 429, limits: []string{"garbage"}, after: "7", want: all(7)},
		{name: "comma alone falls back", status: 429, limits: []string{" , ,"}, want: all(60)},
		{name: "Retry-After seconds", status: 429, after: "13", want: all(13)},
		{name: "Retry-After float", status: 429, after: "1.5", want: all(2)},
		{name: "Retry-After date", status: 429, after: "Tue, 03 Nov 2026 12:01:30 GMT", want: all(90)},
		{name: "Retry-After in the past", status: 429, after: "Tue, 03 Nov 2026 11:00:00 GMT", want: all(60)},
		{name: "Retry-After zero", status: 429, after: "0", want: all(60)},
		{name: "Retry-After nonsense", status: 429, after: "soon", want: all(60)},
		{name: "Retry-After NaN", status: 429, after: "NaN", want: all(60)},
		{name: "bare 429", status: 429, want: all(60)},
		{name: "bare 503", status: 503},
		{name: "namespaces without custom are not for us", status: 429, limits: []string{"60:metric_bucket:project:quota:spans"}},
		{name: "namespaces with custom", status: 429, limits: []string{"60:metric_bucket:project:quota:spans;custom"}, want: one(60, "project", "quota", CategoryMetricBucket)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			for _, l := range tt.limits {
				h.Add("X-Sentry-Rate-Limits", l)
			}
			if tt.after != "" {
				h.Set("Retry-After", tt.after)
			}
			if diff := cmp.Diff(tt.want, ParseRateLimits(tt.status, h, limitNow)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRateLimitCovers(t *testing.T) {
	l := RateLimit{Categories: []Category{CategoryError}, Until: inSecs(10)}
	everything := RateLimit{Until: inSecs(10)}
	for _, tt := range []struct {
		name string
		l    RateLimit
		c    Category
		now  time.Time
		want bool
	}{
		{"its category", l, CategoryError, limitNow, true},
		{"another", l, CategorySession, limitNow, false},
		{"at its end", l, CategoryError, inSecs(10), false},
		{"all", everything, CategoryReplay, limitNow, true},
		{"client reports never", everything, CategoryInternal, limitNow, false},
	} {
		if got := tt.l.Covers(tt.c, tt.now); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestFormatRateLimits(t *testing.T) {
	header, after := FormatRateLimits([]RateLimit{
		{Categories: []Category{CategoryError, CategoryTraceMetric}, Scope: "project", Reason: "quota", Until: limitNow.Add(1500 * time.Millisecond)},
		{Categories: []Category{CategorySession}, Scope: "key", Until: limitNow},
		{Scope: "key", Until: inSecs(60)},
	}, limitNow)
	if want := "2:error;trace_metric;metric:project:quota, 60::key"; header != want || after != 60 {
		t.Errorf("got %q, %d; want %q", header, after, want)
	}
	if header, after := FormatRateLimits(nil, limitNow); header != "" || after != 0 {
		t.Errorf("no limits: %q, %d", header, after)
	}
	// What we write we read, whatever the words.
	for _, c := range Categories {
		in := []RateLimit{{Categories: []Category{c}, Scope: "project", Reason: "a, b:c;d\r\n", Until: inSecs(5)}}
		header, _ := FormatRateLimits(in, limitNow)
		out := ParseRateLimits(200, http.Header{"X-Sentry-Rate-Limits": {header}}, limitNow)
		if len(out) != 1 || !out[0].Covers(c, limitNow) && c != CategoryInternal || strings.ContainsAny(header, "\r\n") {
			t.Errorf("%s: %q reads as %v", c, header, out)
		}
	}
}

func TestMergeRateLimits(t *testing.T) {
	lim := func(secs int, scope string, c ...Category) RateLimit {
		return RateLimit{Categories: c, Scope: scope, Until: inSecs(secs)}
	}
	got := MergeRateLimits(
		[]RateLimit{lim(60, "key", CategoryError), lim(5, "project", CategoryError), lim(0, "key", CategorySession)},
		[]RateLimit{lim(10, "key", CategoryError), lim(30, "project", CategoryError), lim(9, "key")}, limitNow)
	want := []RateLimit{lim(60, "key", CategoryError), lim(30, "project", CategoryError), lim(9, "key")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzRateLimits(f *testing.F) {
	f.Add(429, "60:transaction;error:organization:quota_exceeded, 2700:metric_bucket:project:reason:custom", "13")
	f.Add(200, "2:error:project:quota_exceeded", "")
	f.Add(429, "", "Tue, 03 Nov 2026 12:01:30 GMT")
	f.Add(429, "1e999:::::", "-1")
	f.Fuzz(func(t *testing.T, status int, limits, after string) {
		h := http.Header{"X-Sentry-Rate-Limits": {limits}, "Retry-After": {after}}
		got := ParseRateLimits(status, h, limitNow)
		for _, l := range got {
			if l.Until.Before(limitNow) || l.Until.Sub(limitNow) > 1e8*time.Second {
				t.Fatalf("until %v", l.Until)
			}
		}
		merged := MergeRateLimits(got, got, limitNow)
		header, _ := FormatRateLimits(merged, limitNow)
		back := MergeRateLimits(ParseRateLimits(200, http.Header{"X-Sentry-Rate-Limits": {header}}, limitNow), nil, limitNow)
		for _, c := range Categories {
			var a, b time.Time
			for _, l := range merged {
				if l.Covers(c, limitNow) && l.Until.After(a) {
					a = l.Until
				}
			}
			for _, l := range back {
				if l.Covers(c, limitNow) && l.Until.After(b) {
					b = l.Until
				}
			}
			if a.After(b) { // announced under more names it may only cover more
				t.Fatalf("%s: %v is announced as %q and read as %v", c, a, header, b)
			}
		}
	})
}
