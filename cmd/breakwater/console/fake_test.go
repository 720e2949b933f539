package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/relay"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

// fake is a gateway behind the console: a spool of made-up records, one
// destination, some state. It counts every question.
type fake struct {
	calls atomic.Int64
	now   atomic.Int64 // unix seconds

	mu     sync.Mutex
	dead   []spool.Entry
	event  string // payload of every record
	paused bool
	did    []string
}

func newFake(dead int) *fake {
	f := &fake{event: `{"exception":{"values":[{"type":"TypeError","value":"x is undefined"}]}}`}
	f.now.Store(1_790_000_000)
	for i := range dead {
		f.dead = append(f.dead, spool.Entry{
			Meta: schemas.Meta{
				ID: fmt.Sprintf("01K%023d", i+1), Project: "shop", ReceivedAt: f.clock().Add(-time.Hour), EventID: fmt.Sprintf("%032x", i+1), Release: "shop@1",
				Counts: []schemas.Count{{Category: schemas.CategoryError, Quantity: 1}}, Destinations: []string{"sentry"},
			},
			Destination: spool.Destination{Project: "shop", Name: "sentry"}, Size: 700, Dead: true, Reason: "rejected",
		})
	}
	return f
}

func (f *fake) clock() time.Time { return time.Unix(f.now.Load(), 0).UTC() }

func (f *fake) Stats() spool.Stats {
	f.calls.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	return spool.Stats{
		Capacity: 1000, Used: 100, Free: 5000, Growth: 1, Records: int64(len(f.dead)) + 3,
		Queues:   []spool.Queue{{Destination: spool.Destination{Project: "shop", Name: "sentry"}, Records: 3, Items: 4, Bytes: 2100, Oldest: f.clock().Add(-time.Minute), Dead: int64(len(f.dead))}},
		Projects: []spool.ProjectUse{{Project: "shop", Bytes: 100, Limit: 500}},
	}
}

func (f *fake) List(q spool.Query, fn func(spool.Entry) bool) error {
	f.calls.Add(1)
	f.mu.Lock()
	list := f.dead
	f.mu.Unlock()
	n := 0
	for _, e := range list {
		if !q.Dead || e.Meta.ID <= q.After || q.EventID != "" && q.EventID != e.Meta.EventID || q.Project != "" && q.Project != "shop" || len(q.IDs) > 0 && q.IDs[0] != e.Meta.ID {
			continue
		}
		if n++; q.Limit > 0 && n > q.Limit || !fn(e) {
			return nil
		}
	}
	return nil
}

func (f *fake) Open(id string) (*schemas.Record, error) {
	f.calls.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.dead {
		if e.Meta.ID == id {
			return &schemas.Record{Meta: e.Meta, Envelope: schemas.Envelope{
				Header: schemas.EmptyHeader(),
				Items: []schemas.Item{
					{Header: schemas.NewItemHeader("event"), Payload: schemas.Bytes(f.event)},
					{Header: schemas.NewItemHeader("attachment", "filename", "secret.bin"), Payload: schemas.Bytes("unscrubbed bytes")},
				},
			}}, nil
		}
	}
	return nil, fmt.Errorf("record %q: %w", id, spool.ErrNotFound)
}

func (f *fake) do(what string, q spool.Query) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did = append(f.did, fmt.Sprintf("%s %s/%s ids=%d event=%s dead=%v", what, q.Project, q.Destination, len(q.IDs), q.EventID, q.Dead))
	if !q.Dead {
		return 0, nil
	}
	var left []spool.Entry
	n := 0
	for _, e := range f.dead {
		if len(q.IDs) > 0 && q.IDs[0] != e.Meta.ID {
			left = append(left, e)
			continue
		}
		n++
	}
	f.dead = left
	return n, nil
}

func (f *fake) Retry(q spool.Query) (int, error) { return f.do("retry", q) }
func (f *fake) Drop(q spool.Query) (int, error)  { return f.do("drop", q) }

func (f *fake) Status() []relay.Status {
	f.calls.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	return []relay.Status{{
		Destination: spool.Destination{Project: "shop", Name: "sentry"}, Target: "https://sentry.example/7", State: relay.Open, Paused: f.paused,
		Concurrency: 8, Attempts: 20, Failures: 5, Last: "timeout", LastAt: f.clock(), LastError: "dial: <b>timeout</b>", LastErrorAt: f.clock(),
		DownSince: f.clock().Add(-time.Minute), NextRetry: f.clock().Add(20 * time.Second),
		Limits: []schemas.RateLimit{{Categories: []schemas.Category{"error"}, Until: f.clock().Add(time.Minute)}},
	}}
}

func (f *fake) pause(d spool.Destination, on bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.String() != "shop/sentry" {
		return false
	}
	f.paused = on
	return true
}

func (f *fake) Pause(d spool.Destination) bool  { return f.pause(d, true) }
func (f *fake) Resume(d spool.Destination) bool { return f.pause(d, false) }

func (f *fake) Projects() []string { return []string{"shop", "app"} }

const fakePrint = "0123456789abcdef0123456789abcdef"

func (f *fake) Groups(project, _ string, _ int) []Group {
	f.calls.Add(1)
	g, _ := f.Group(project, fakePrint)
	return []Group{g}
}

func (f *fake) Group(project, fingerprint string) (Group, bool) {
	return Group{
		Project: project, Fingerprint: fakePrint, Title: "TypeError: x is undefined", Count: 1234, Recent: 12, Forwarded: 60, Suppressed: 1174, Storming: true,
		FirstSeen: f.clock().Add(-time.Hour), LastSeen: f.clock(), FirstRelease: "shop@1.4.2", Releases: []string{"shop@1.4.2"},
	}, fingerprint == fakePrint
}

func (f *fake) Sample(string, string) *Sample {
	return &Sample{EventID: "e", Release: "shop@1.4.2", At: f.clock(), Type: "TypeError", Value: "x is undefined", Frames: []string{"pay (app.js:1:2)"}}
}

func (f *fake) Releases() []Release {
	f.calls.Add(1)
	return []Release{{Project: "shop", Environment: "production", Release: "shop@1.4.2", Sessions: 200, Crashed: 10, Adoption: 0.4, Users: 90, CrashedUsers: 4, FirstSeen: f.clock(), LastSeen: f.clock()}}
}

func (f *fake) Vitals() []Vital {
	f.calls.Add(1)
	return []Vital{{
		Project: "shop", Vital: "LCP", Device: "mobile", GoodUpTo: 2.5, PoorOver: 4, Samples: 300, Good: 200, Poor: 40, P75: 3.1,
		Points: []VitalPoint{{At: f.clock(), Samples: 300, Good: 200, Poor: 40, P75: 3.1}, {At: f.clock()}},
	}}
}

func (f *fake) Outcomes() []Ledger {
	f.calls.Add(1)
	return []Ledger{{Project: "shop", Received: 10, Recovered: 2, InSpool: 3, ClientDiscarded: 5, Outcomes: []OutcomeCount{
		{Category: "error", Outcome: schemas.Accepted, Items: 8},
		{Category: "error", Outcome: schemas.Filtered, Reason: "localhost", Items: 2},
		{Category: "error", Outcome: schemas.Delivered, Items: 6},
		{Category: "error", Outcome: schemas.DeadLetter, Reason: "rejected", Items: 1},
	}}}
}

func (f *fake) Limited() []Limited {
	f.calls.Add(1)
	return []Limited{{Project: "shop", Reason: "per_ip", Subject: "203.0.113.0/24", Refused: 99, First: f.clock(), Last: f.clock(), Until: f.clock().Add(time.Minute)}}
}

func (f *fake) Quotas() []Quota {
	f.calls.Add(1)
	return []Quota{{Project: "shop", Category: "error", Period: "month", Limit: 100, Used: 95, Resets: f.clock().Add(time.Hour)}}
}

func (f *fake) Config() Config {
	f.calls.Add(1)
	return Config{Hash: "abc", YAML: "server:\n  admin_token: \"***\"\n", Warnings: []Warning{{"a", "b", "c"}}}
}

const token = "a-token-of-many-letters"

// handler is the console before a fake gateway; fields of o that are not set
// get what most tests want.
func handler(o Options) http.Handler {
	if o.Token == nil {
		o.Token = func() string { return token }
	}
	if o.Ready == nil {
		o.Ready = func() error { return nil }
	}
	if o.Reload == nil {
		o.Reload = func() error { return nil }
	}
	if o.Status == nil {
		o.Status = func() any { return map[string]string{"state": "<well>"} }
	}
	if o.Spool == nil {
		f := newFake(3)
		o.Spool, o.Relay, o.State, o.Now = f, f, f, f.clock
	}
	o.Gatherer, o.Logger = prometheus.NewRegistry(), zerolog.Nop()
	return New(o)
}

// on is the console before the given fake, without a token.
func on(f *fake) http.Handler {
	return handler(Options{Token: func() string { return "" }, Spool: f, Relay: f, State: f, Now: f.clock})
}

// call asks; set changes the request.
func call(h http.Handler, method, path, body string, set ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:8081"+path, strings.NewReader(body))
	for _, s := range set {
		s(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func html(r *http.Request) { r.Header.Set("Accept", "text/html") }

func form(r *http.Request) {
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Origin", "http://127.0.0.1:8081")
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func destOf(project, name string) spool.Destination {
	return spool.Destination{Project: project, Name: name}
}
