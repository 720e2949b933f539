package sentry_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/relay/sentry"
	"breakwater/schemas"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func dsn(t *testing.T, s string) schemas.DSN {
	t.Helper()
	d, err := schemas.ParseDSN(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// show writes limits as a table would: seconds left, categories, scope.
func show(limits []schemas.RateLimit, now time.Time) string {
	var list []string
	for _, l := range limits {
		var cats []string
		for _, c := range l.Categories {
			cats = append(cats, string(c))
		}
		list = append(list, fmt.Sprintf("%d:%s:%s:%s", int(l.Until.Sub(now).Seconds()), strings.Join(cats, ";"), l.Scope, l.Reason))
	}
	return strings.Join(list, ", ")
}

func TestLimitsByScope(t *testing.T) {
	from := "https://a@o1.ingest.example/1"
	for name, tc := range map[string]struct {
		scope string
		dsn   string
		seen  bool
	}{
		"organization: the same DSN":              {"organization", from, true},
		"organization: another project":           {"organization", "https://b@o1.ingest.example/2", true},
		"organization: another organization":      {"organization", "https://a@o2.ingest.example/1", false},
		"organization: another host":              {"organization", "https://a@other.example/1", false},
		"project: another key":                    {"project", "https://b@o1.ingest.example/1", true},
		"project: another project":                {"project", "https://a@o1.ingest.example/2", false},
		"project: the same number below a prefix": {"project", "https://a@o1.ingest.example/x/1", false},
		"key: the same DSN":                       {"key", from, true},
		"key: another key":                        {"key", "https://b@o1.ingest.example/1", false},
		"key: the same key elsewhere":             {"key", "https://a@o1.ingest.example/2", false},
		"key: the host in capitals":               {"key", "https://a@O1.INGEST.example/1", true},
	} {
		t.Run(name, func(t *testing.T) {
			l := sentry.NewLimits()
			l.Learn(dsn(t, from), []schemas.RateLimit{{Scope: tc.scope, Until: t0.Add(time.Minute)}}, t0)
			if got := len(l.Active(dsn(t, tc.dsn), t0)) > 0; got != tc.seen {
				t.Errorf("limit in force: %v, want %v", got, tc.seen)
			}
		})
	}
}

func TestLimitsAreNeverShortened(t *testing.T) {
	d := dsn(t, "https://a@h.example/1")
	cat := func(secs int, scope, reason string, c ...schemas.Category) schemas.RateLimit {
		return schemas.RateLimit{Categories: c, Scope: scope, Reason: reason, Until: t0.Add(time.Duration(secs) * time.Second)}
	}
	for name, tc := range map[string]struct {
		learn []schemas.RateLimit
		after int
		want  string
	}{
		"longer first":              {[]schemas.RateLimit{cat(60, "key", "a", "error"), cat(10, "key", "b", "error")}, 0, "60:error:key:a"},
		"shorter first":             {[]schemas.RateLimit{cat(10, "key", "a", "error"), cat(60, "key", "b", "error")}, 0, "60:error:key:b"},
		"in another company":        {[]schemas.RateLimit{cat(60, "key", "a", "error", "session"), cat(90, "key", "b", "error")}, 0, "90:error:key:b, 60:session:key:a"},
		"scopes stand apart":        {[]schemas.RateLimit{cat(60, "key", "a", "error"), cat(10, "project", "b", "error")}, 0, "60:error:key:a, 10:error:project:b"},
		"all is not a category":     {[]schemas.RateLimit{cat(60, "key", "a"), cat(90, "key", "b", "error")}, 0, "90:error:key:b, 60::key:a"},
		"they end":                  {[]schemas.RateLimit{cat(60, "key", "a", "error"), cat(90, "key", "a", "session")}, 60, "30:session:key:a"},
		"one that has ended":        {[]schemas.RateLimit{cat(0, "key", "a", "error"), cat(-5, "key", "a")}, 0, ""},
		"three years are a day":     {[]schemas.RateLimit{cat(100_000_000, "organization", "a")}, 0, "86400::organization:a"},
		"a reason that is no word":  {[]schemas.RateLimit{cat(60, "key", "a\r\nX: 1", "error")}, 0, "60:error:key:"},
		"an unknown scope is a key": {[]schemas.RateLimit{cat(60, "galaxy", "a", "error")}, 0, "60:error:key:a"},
	} {
		t.Run(name, func(t *testing.T) {
			l := sentry.NewLimits()
			for _, rl := range tc.learn {
				l.Learn(d, []schemas.RateLimit{rl}, t0)
			}
			now := t0.Add(time.Duration(tc.after) * time.Second)
			if got := show(l.Active(d, now), now); got != tc.want {
				t.Errorf("active %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLimitsAreLearnedFromEveryAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		step  relaytest.Step
		class relay.Class
		want  string
	}{
		"a 200":                    {relaytest.Status(200, "X-Sentry-Rate-Limits", "60:error;transaction:organization:quota"), -1, "60:error;transaction:organization:quota"},
		"a 500":                    {relaytest.Status(500, "X-Sentry-Rate-Limits", "60:replay:project"), relay.Bounded, "60:replay:project:"},
		"a 429":                    {relaytest.Status(429, "X-Sentry-Rate-Limits", "60:error:key, 2700:session:organization"), relay.Held, "2700:session:organization:, 60:error:key:"},
		"two lines":                {relaytest.Step{Status: 429, Header: map[string][]string{"X-Sentry-Rate-Limits": {"60:error:key", "90:session:key"}}}, relay.Held, "90:session:key:, 60:error:key:"},
		"a bare 429":               {relaytest.Status(429), relay.Held, "60::key:generic"},
		"a 429 with Retry-After":   {relaytest.Status(429, "Retry-After", "17"), relay.Held, "17::key:generic"},
		"only unknown categories":  {relaytest.Status(429, "X-Sentry-Rate-Limits", "60:prevent_user:key"), relay.Held, ""},
		"a 503 with Retry-After":   {relaytest.Status(503, "Retry-After", "17"), relay.Temporary, ""},
		"a 200 without any":        {relaytest.Status(200), -1, ""},
		"names only SDKs look for": {relaytest.Status(200, "X-Sentry-Rate-Limits", "60:metric;profile_chunk_ui:key"), -1, "60:profile_chunk;trace_metric:key:"},
	} {
		t.Run(name, func(t *testing.T) {
			up := start(t, relaytest.Options{})
			up.Always(tc.step)
			d := make1(t, sentry.Config{DSN: up.DSN("1"), Now: func() time.Time { return t0 }})
			rec := relaytest.SampleRecord()
			_, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
			if (err == nil) != (tc.class < 0) || err != nil && relay.AsDeliverError(err).Class != tc.class {
				t.Errorf("error %v", err)
			}
			if got := show(d.Limits(t0), t0); got != tc.want {
				t.Errorf("limits %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLimitsAreShared(t *testing.T) {
	up := start(t, relaytest.Options{})
	up.Script(relaytest.Status(429, "X-Sentry-Rate-Limits", "60:error:organization"))
	shared := sentry.NewLimits()
	now := func() time.Time { return t0 }
	a := make1(t, sentry.Config{DSN: up.DSN("1"), Limits: shared, Now: now})
	b := make1(t, sentry.Config{DSN: up.DSN("2"), Limits: shared, Now: now})
	alone := make1(t, sentry.Config{DSN: up.DSN("2"), Now: now})
	rec := relaytest.SampleRecord()
	if _, err := a.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err == nil {
		t.Fatal("a 429 counts as delivered")
	}
	if len(b.Limits(t0)) != 1 || len(alone.Limits(t0)) != 0 {
		t.Errorf("limits of b %v, of one with its own registry %v", b.Limits(t0), alone.Limits(t0))
	}
}
