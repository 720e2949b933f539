package limit

import (
	"path/filepath"
	"testing"

	"breakwater/ingest"
	"breakwater/schemas"
)

// ledgerOf is what the fleet does with a quota, as steps.lua does it.
type ledgerOf struct{ used, told int64 }

func (l *ledgerOf) take(o offer, n int64) int64 {
	had := max(l.told, o.told)
	l.told = max(o.told+o.fresh, had)
	l.used = max(l.used, o.known) + l.told - had + n
	return l.used
}

// What was counted alone is told once, also when the answer to it was lost or
// came behind that of a later question.
func TestCountedAloneIsToldOnce(t *testing.T) {
	q := Quota{Limit: 1000, Period: Month}
	c, redis := &counter{}, ledgerOf{used: 50} // by others
	for range 100 {
		c.reserve(q, t0, 1, 1)
	}
	ask := func(n int64, answered bool) {
		o, ok := c.offer(q, t0, n)
		if !ok {
			t.Fatal("no room")
		}
		c.learn(Month, t0, o.fresh, n, redis.take(o, n), answered)
	}
	ask(0, false) // it was late, and the fleet has counted it
	ask(0, false)
	c.reserve(q, t0, 2, 1)
	ask(1, true)
	if redis.used != 153 || c.used(Month) != 153 {
		t.Errorf("the fleet has %d, this gateway %d; want 153", redis.used, c.used(Month))
	}
	// Two questions at a time, answered in the other order.
	c.reserve(q, t0, 40, 1)
	first, _ := c.offer(q, t0, 0)
	second, _ := c.offer(q, t0, 1)
	one, two := redis.take(first, 0), redis.take(second, 1)
	c.learn(Month, t0, second.fresh, 1, two, true)
	c.learn(Month, t0, first.fresh, 0, one, true)
	ask(1, true)
	if redis.used != 195 || c.used(Month) != 195 {
		t.Errorf("the fleet has %d, this gateway %d; want 195", redis.used, c.used(Month))
	}
	if n := c.used(Day); n != 145 { // 142 alone here, 3 in answers
		t.Errorf("%d of the day, want the 145 of this gateway", n)
	}
}

// A quota that is used up is told all the same: others still give it away.
func TestUsedUpIsTold(t *testing.T) {
	q := Quota{Limit: 10, Period: Day}
	c := &counter{}
	c.reserve(q, t0, 10, 1)
	c.learn(Day, t0, 0, 0, 5, true)
	if o, ok := c.offer(q, t0, 0); !ok || o.fresh != 10 || o.known != 5 {
		t.Errorf("%+v %v, want 10 counted alone and 5 known", o, ok)
	}
	if _, ok := c.offer(q, t0, 1); ok {
		t.Error("room for one more")
	}
}

// What was counted alone is still to be told after a restart, and an answer to
// a question of a month that has ended says nothing about the running one.
func TestCountedAloneSurvives(t *testing.T) {
	file := filepath.Join(t.TempDir(), "quotas.json")
	l := quotaLimiter(t, file)
	c := l.quotas.counter("shop", "error")
	c.reserve(Quota{Limit: 1000, Period: Month}, t0, 30, 1)
	c.learn(Month, t0, 0, 0, 100, true)
	l.quotas.touched()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	q := Quota{Limit: 1000, Period: Month}
	c = quotaLimiter(t, file).quotas.counter("shop", "error")
	o, _ := c.offer(q, t0, 0)
	if o.known != 100 || o.fresh != 30 || c.used(Month) != 130 {
		t.Errorf("%+v, %d used, want 100 known, 30 counted alone", o, c.used(Month))
	}
	next := Month.end(t0)
	c.reserve(q, next, 1, 1)
	c.learn(Month, t0, o.fresh, 0, 130, false)
	if n := c.used(Month); n != 1 {
		t.Errorf("%d used in the next month, want 1", n)
	}
}

// answering is a fleet that is asked for measurements and answers as it is told.
type answering struct {
	nobody
	passed bool
	used   int64
	asked  []ingest.Step
}

func (*answering) Up() bool { return true }

func (f *answering) Ask(steps []ingest.Step) ([]ingest.Answer, bool) {
	f.asked = steps
	answers := make([]ingest.Answer, len(steps))
	for i, s := range steps {
		answers[i] = ingest.Answer{Taken: true, Passed: f.passed, ByQuota: !f.passed, Used: f.used}
		if f.passed {
			answers[i].Used += s.N
		}
	}
	return answers, true
}

// Several gateways decide on measurements together as on everything else.
func TestMeasurementsAreAskedFor(t *testing.T) {
	f := &answering{passed: true, used: 20}
	l := limiter(t, Options{Fleet: f}, Config{Quota: map[schemas.Category]Quota{"vital": {Limit: 100, Period: Month}}})
	send := func() *ingest.Batch {
		b := batch(t0)
		b.Beacons = []*schemas.Beacon{{Source: "beacon", Vitals: make([]schemas.Vital, 7)}}
		if err := (&ingest.Together{Fleet: f, Planners: []ingest.Planner{l.Items()}}).Apply(b); err != nil {
			t.Fatal(err)
		}
		apply(t, l, b)
		return b
	}
	b := send()
	if len(f.asked) != 1 || f.asked[0].Kind != ingest.StepItems || f.asked[0].Key != "shop:vital" || f.asked[0].N != 7 || f.asked[0].Quota.Limit != 100 {
		t.Fatalf("asked %+v", f.asked)
	}
	if n := l.quotas.counter("shop", "vital").used(Month); n != 27 || len(b.Limits) != 0 {
		t.Errorf("%d used, limits %+v", n, b.Limits)
	}
	f.passed, f.used = false, 100
	if b = send(); len(b.Limits) != 1 || b.Limits[0].Reason != ReasonQuota || b.Limits[0].Categories[0] != schemas.CategoryVital {
		t.Errorf("limits %+v", b.Limits)
	}
}

type nobody struct{ ingest.Fleet }

func (nobody) Up() bool   { return false }
func (nobody) Share() int { return 1 }

func quotaLimiter(t *testing.T, file string) *Limiter {
	t.Helper()
	return limiter(t, Options{QuotaFile: file, Fleet: nobody{}}, Config{})
}
