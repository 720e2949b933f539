package relay_test

import (
	"context"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

func lint(t *testing.T, reg *prometheus.Registry) {
	t.Helper()
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// limited is an upstream that answers 429 with these limits while they hold
// and something of the record is under them.
type limited struct {
	mu     sync.Mutex
	secret []schemas.RateLimit // what it enforces
	told   []schemas.RateLimit // what it has announced
	sent   [][]string          // types of each delivered record
	tries  int
}

func (l *limited) Limits(now time.Time) []schemas.RateLimit {
	l.mu.Lock()
	defer l.mu.Unlock()
	return schemas.MergeRateLimits(l.told, nil, now)
}

func (l *limited) Deliver(_ context.Context, m *schemas.Meta, env *schemas.Envelope) ([]schemas.Final, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tries++
	now := time.Now()
	for _, c := range m.Counts {
		for _, rl := range l.secret {
			if rl.Covers(c.Category, now) {
				l.told = schemas.MergeRateLimits(l.told, l.secret, now)
				return nil, &relay.DeliverError{Class: relay.Held, Reason: "rate_limited", Status: 429, Until: now.Add(time.Minute)}
			}
		}
	}
	var types []string
	for i := range env.Items {
		types = append(types, env.Items[i].Header.Type)
	}
	l.sent = append(l.sent, types)
	return nil, nil
}

func limit(d time.Duration, c ...schemas.Category) schemas.RateLimit {
	return schemas.RateLimit{Categories: c, Scope: "key", Until: time.Now().Add(d)}
}

const (
	errorOnly   = "{}\n{\"type\":\"event\"}\n{}"
	sessionOnly = "{}\n{\"type\":\"session\"}\n{}"
	reportOnly  = "{}\n{\"type\":\"client_report\"}\n{}"
	mixed       = "{}\n{\"type\":\"event\"}\n{}\n{\"type\":\"attachment\",\"length\":1}\nx\n{\"type\":\"session\"}\n{}\n{\"type\":\"client_report\"}\n{}"
)

func (b *bench) put(text string) string {
	rec := relaytest.MustRecord(text)
	rec.Meta.ReceivedAt = time.Time{}
	return b.src.Add(rec)
}

// Under a short limit records of the category wait, without blocking others
// and without counting attempts.
func TestShortLimitHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limited{secret: []schemas.RateLimit{limit(time.Minute, "error")}}
		c := to(l)
		c.MaxAttempts = 1
		b := newBench(t, relay.Config{}, c)
		var errors, sessions []string
		for range 50 {
			errors = append(errors, b.put(errorOnly))
			sessions = append(sessions, b.put(sessionOnly))
		}
		synctest.Wait()
		for _, id := range sessions {
			if len(b.src.Ends(up, id)) != 1 {
				t.Fatal("a session waits behind limited errors")
			}
		}
		if l.tries > 50+8 {
			t.Errorf("%d requests: limited records were sent", l.tries)
		}
		if got := b.metric("breakwater_relay_upstream_limited_until_seconds", "shop/up", "error"); got != float64(l.secret[0].Until.Unix()) {
			t.Errorf("limited until %v in metrics", got)
		}
		time.Sleep(59 * time.Second)
		if n := b.src.Ended(up); n != 50 {
			t.Errorf("%d records ended before the limit did", n)
		}
		time.Sleep(2 * time.Second)
		for _, id := range errors {
			if ends := b.src.Ends(up, id); len(ends) != 1 || ends[0].Buried != "" || ends[0].Finals[0].Outcome != schemas.Delivered {
				t.Fatalf("an error ended as %v after the limit", ends)
			}
		}
		b.stop()
	})
}

// Under a long limit the limited items go, the others are delivered.
func TestLongLimitDrops(t *testing.T) {
	dropped := schemas.Final{Outcome: schemas.RateLimited, Reason: relay.UpstreamLimit}
	sent := schemas.Final{Outcome: schemas.Delivered}
	for name, tc := range map[string]struct {
		categories []schemas.Category
		finals     []schemas.Final
		types      []string
	}{
		"errors, and what depends on them": {[]schemas.Category{"error"}, []schemas.Final{dropped, dropped, sent, sent}, []string{"session", "client_report"}},
		"sessions":                         {[]schemas.Category{"session"}, []schemas.Final{sent, sent, dropped, sent}, []string{"event", "attachment", "client_report"}},
		"all":                              {nil, []schemas.Final{dropped, dropped, dropped, sent}, []string{"client_report"}},
	} {
		for _, known := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", known before", false: ", learned from the answer"}[known], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := &limited{secret: []schemas.RateLimit{limit(time.Hour, tc.categories...)}}
					if known {
						l.told = l.secret
					}
					b := newBench(t, relay.Config{}, to(l))
					id := b.put(mixed)
					synctest.Wait()
					ends := b.src.Ends(up, id)
					if len(ends) != 1 || !reflect.DeepEqual(ends[0].Finals, tc.finals) {
						t.Fatalf("ended as %v, want %v", ends, tc.finals)
					}
					if !reflect.DeepEqual(l.sent, [][]string{tc.types}) {
						t.Errorf("delivered %v, want %v", l.sent, tc.types)
					}
					b.stop()
				})
			})
		}
	}
}

// A short limit over everything pauses the destination: the backlog is not
// turned over. Client reports wait, but are never dropped.
func TestLimitOverAllPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limited{secret: []schemas.RateLimit{limit(time.Minute)}}
		b := newBench(t, relay.Config{}, to(l))
		for range 1000 {
			b.put(errorOnly)
		}
		report := b.put(reportOnly)
		time.Sleep(59 * time.Second)
		if n := b.src.Claims(up); n > 16 {
			t.Errorf("%d claims under a limit over all categories", n)
		}
		time.Sleep(2 * time.Second)
		if n := b.src.Ended(up); n != 1001 {
			t.Errorf("%d of 1001 records ended after the limit", n)
		}
		if ends := b.src.Ends(up, report); len(ends) != 1 || ends[0].Finals[0].Outcome != schemas.Delivered {
			t.Errorf("the client report ended as %v", ends)
		}
		b.stop()
	})
}

func TestLongLimitNeverDropsClientReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limited{}
		l.told = []schemas.RateLimit{limit(time.Hour), limit(time.Hour, schemas.CategoryInternal)}
		b := newBench(t, relay.Config{}, to(l))
		id := b.put(reportOnly)
		synctest.Wait()
		if ends := b.src.Ends(up, id); len(ends) != 1 || ends[0].Finals[0].Outcome != schemas.Delivered {
			t.Errorf("ended as %v", ends)
		}
		b.stop()
	})
}

// An upstream that asks for quiet but tells no limits is left alone whole.
func TestHeldWithoutLimitsQuietsTheDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries int
		var mu sync.Mutex
		until := time.Now().Add(90 * time.Second)
		b := newBench(t, relay.Config{}, to(relaytest.Func(func(context.Context, *schemas.Meta, *schemas.Envelope) ([]schemas.Final, error) {
			mu.Lock()
			defer mu.Unlock()
			tries++
			if time.Now().Before(until) {
				return nil, &relay.DeliverError{Class: relay.Held, Reason: "rate_limited", Status: 429, Until: until}
			}
			return nil, nil
		})))
		b.add(100)
		time.Sleep(89 * time.Second)
		mu.Lock()
		if tries > 8 {
			t.Errorf("%d requests while it asked for quiet", tries)
		}
		mu.Unlock()
		time.Sleep(2 * time.Second)
		if n := b.src.Ended(up); n != 100 {
			t.Errorf("%d of 100 records arrived afterwards", n)
		}
		b.stop()
	})
}
