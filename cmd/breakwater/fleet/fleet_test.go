package fleet

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"breakwater/cmd/breakwater/redistest"
	"breakwater/ingest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits; the machine may be busy. It is also the fleets'
// deadline where a test is not about deadlines.
const patience = 30 * time.Second

// join is one gateway of a fleet, which Redis answers.
func join(t *testing.T, s *redistest.Server, change ...func(*Options)) *Fleet {
	t.Helper()
	o := Options{URL: s.URL(), Timeout: patience, Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)}
	for _, c := range change {
		c(&o)
	}
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Start()
	t.Cleanup(func() { _ = f.Close() })
	until(t, "Redis answers", f.Up)
	return f
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func ask(t *testing.T, f *Fleet, steps ...ingest.Step) []ingest.Answer {
	t.Helper()
	answers, ok := f.Ask(steps)
	if !ok {
		t.Fatal("no answer")
	}
	return answers
}

func bucket(key string, n int64, rate float64, burst int64) ingest.Step {
	return ingest.Step{Kind: ingest.StepBucket, After: ingest.Always, Key: key, N: n, Rate: rate, Burst: burst}
}

// Three gateways and many clients at once: what passes is the burst, and what
// came back in the time it took.
func TestBucketsHoldOverGateways(t *testing.T) {
	s := redistest.Start(t)
	fleets := []*Fleet{join(t, s), join(t, s), join(t, s)}
	const burst, rate = 500, 20.0
	var passed atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for i := range 24 {
		all.Go(func() {
			for range 100 {
				answers, ok := fleets[i%3].Ask([]ingest.Step{bucket("k", 1, rate, burst)})
				if !ok {
					t.Error("no answer")
				} else if answers[0].Passed {
					passed.Add(1)
				}
			}
		})
	}
	all.Wait()
	most := burst + rate*time.Since(began).Seconds() + 1
	if n := float64(passed.Load()); n < burst || n > most {
		t.Errorf("%v passed, want %d to %.0f", n, burst, most)
	}
}

// The arithmetic is redis_rate's: the same sequence, the same answers.
func TestBucketsAreThoseOfTheLibrary(t *testing.T) {
	s := redistest.Start(t)
	f := join(t, s)
	own := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer own.Close()
	lib := redis_rate.NewLimiter(own)
	for i, n := range []int64{1, 3, 5, 1, 1, 2, 9, 4, 1} {
		mine := ask(t, f, bucket("same", n, 1, 10))[0]
		theirs, err := lib.AllowN(t.Context(), "same", redis_rate.Limit{Rate: 1, Burst: 10, Period: time.Second}, int(n))
		if err != nil {
			t.Fatal(err)
		}
		if mine.Passed != (theirs.Allowed > 0) {
			t.Errorf("step %d of %d tokens: %v, the library allows %d", i, n, mine.Passed, theirs.Allowed)
		}
		if !mine.Passed && (mine.Wait-theirs.RetryAfter).Abs() > time.Second {
			t.Errorf("step %d: wait %s, the library says %s", i, mine.Wait, theirs.RetryAfter)
		}
	}
}

// More than a bucket holds is given once it is full, and paid back.
func TestMoreThanABucketHolds(t *testing.T) {
	f := join(t, redistest.Start(t))
	if !ask(t, f, bucket("b", 500, 10, 100))[0].Passed {
		t.Error("500 tokens of a full bucket of 100 were refused for ever")
	}
	if a := ask(t, f, bucket("b", 1, 10, 100))[0]; a.Passed || a.Wait < 35*time.Second || a.Wait > 41*time.Second {
		t.Errorf("then one more: %+v, want a wait of about 40 s", a)
	}
}

// A step whose condition failed has taken nothing.
func TestConditions(t *testing.T) {
	f := join(t, redistest.Start(t))
	steps := []ingest.Step{
		bucket("gate", 1, 0.001, 1),
		{Kind: ingest.StepItems, After: 0, Key: "p:error", N: 1, Rate: 0.001, Burst: 2},
	}
	if a := ask(t, f, steps...); !a[0].Passed || !a[1].Passed {
		t.Fatalf("%+v", a)
	}
	if a := ask(t, f, steps...); a[0].Passed || a[1].Taken || a[1].Passed {
		t.Fatalf("behind a shut gate: %+v", a)
	}
	steps[1].After = ingest.Always
	if a := ask(t, f, steps[1]); !a[0].Passed {
		t.Errorf("the refused request cost a token: %+v", a)
	}
	if a := ask(t, f, steps[1]); a[0].Passed || a[0].ByQuota {
		t.Errorf("the bucket holds two: %+v", a)
	}
}

func quota(limit, known, fresh int64) ingest.Step {
	return ingest.Step{Kind: ingest.StepItems, After: ingest.Always, Key: "p:error", N: 1, Quota: ingest.StepQuota{
		Key: "p:error:month:2026-11-01", Limit: limit, Known: known, New: fresh, Until: time.Now().Add(time.Hour),
	}}
}

// A quota is exact over gateways, and goes on where it was when Redis has
// forgotten everything.
func TestQuotas(t *testing.T) {
	s := redistest.Start(t)
	a, b := join(t, s), join(t, s)
	for i := range 6 {
		f := []*Fleet{a, b}[i%2]
		got := ask(t, f, quota(5, 0, 0))[0]
		if want := i < 5; got.Passed != want || got.ByQuota == want || got.Used != int64(min(i+1, 5)) {
			t.Errorf("item %d of a quota of 5: %+v", i+1, got)
		}
	}
	s.Say("FLUSHALL")
	if got := ask(t, a, quota(10, 5, 2))[0]; !got.Passed || got.Used != 8 {
		t.Errorf("after a flush, with 5 known and 2 counted alone: %+v, want 8 used", got)
	}
	if got := ask(t, b, quota(10, 5, 1))[0]; !got.Passed || got.Used != 10 {
		t.Errorf("another one counted 1 alone: %+v, want 10 used", got)
	}
	if got := ask(t, b, quota(10, 10, 0))[0]; got.Passed || !got.ByQuota {
		t.Errorf("used up: %+v", got)
	}
}

// What a gateway tells again, because the answer never reached it, counts once;
// so does what comes late, behind the second try.
func TestToldAgain(t *testing.T) {
	f := join(t, redistest.Start(t))
	again := func(fresh, told int64) ingest.Step {
		s := quota(100, 0, fresh)
		s.N, s.Quota.Told = 0, told
		return s
	}
	for i, step := range []ingest.Step{again(10, 0), again(10, 0), again(12, 0), again(10, 0), again(0, 12), again(3, 12)} {
		if got, want := ask(t, f, step)[0].Used, []int64{10, 10, 12, 12, 12, 15}[i]; got != want {
			t.Errorf("question %d: %d used, want %d", i+1, got, want)
		}
	}
}

// The quota of what its bucket refuses stays.
func TestQuotaAndBucketAreOne(t *testing.T) {
	f := join(t, redistest.Start(t))
	step := quota(10, 0, 0)
	step.Rate, step.Burst = 0.001, 1
	ask(t, f, step)
	if a := ask(t, f, step)[0]; a.Passed || a.ByQuota || a.Used != 1 {
		t.Errorf("refused by the bucket: %+v, want 1 used", a)
	}
}

// Claims are taken once, given back to whoever asks next, and kept.
func TestClaims(t *testing.T) {
	s := redistest.Start(t)
	a, b := join(t, s), join(t, s)
	claim := ingest.Step{Kind: ingest.StepClaim, After: ingest.Always, Key: "crash:shop:1"}
	if got := ask(t, a, claim)[0]; !got.Passed {
		t.Fatalf("first: %+v", got)
	}
	if got := ask(t, b, claim)[0]; got.Passed || !got.Pending {
		t.Errorf("while it is decided on: %+v", got)
	}
	b.Release("crash:shop:1") // which it does not hold
	a.Release("crash:shop:1")
	until(t, "a claim that was given back is free", func() bool { return ask(t, b, claim)[0].Passed })
	b.Keep("crash:shop:1", time.Hour)
	until(t, "a claim that was kept is taken", func() bool { got := ask(t, a, claim)[0]; return !got.Passed && !got.Pending })
}

// Every key of a busy hour has an end, and none holds an address.
func TestNothingStaysForEver(t *testing.T) {
	s := redistest.Start(t)
	f := join(t, s)
	private := bucket("203.0.113.77/", 1, 1, 10)
	private.Private = true
	storm := stormStep("fp", 1, 2)
	for range 5 {
		ask(t, f, private, quota(10, 0, 0), storm, ingest.Step{Kind: ingest.StepClaim, After: ingest.Always, Key: "c"},
			ingest.Step{Kind: ingest.StepOwner, After: ingest.Always, Key: "o"}, bucket("k", 1, 1, 10))
	}
	f.Announce([]Limit{{Scope: "organization o", Until: time.Now().Add(time.Hour)}})
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer rdb.Close()
	ctx := context.Background()
	until(t, "the upstream's limit is there", func() bool { return rdb.Exists(ctx, "breakwater:upstreams").Val() == 1 })
	keys := rdb.Keys(ctx, "*").Val()
	if len(keys) < 9 {
		t.Errorf("only %q", keys)
	}
	for _, k := range keys {
		if ttl := rdb.TTL(ctx, k).Val(); ttl <= 0 {
			t.Errorf("%s has no end: %v", k, ttl)
		}
		dump := k + fmt.Sprint(rdb.Get(ctx, k).Val(), rdb.HGetAll(ctx, k).Val())
		if containsAddress(dump) {
			t.Errorf("%s holds an address", k)
		}
	}
	// The same address is the same bucket on every gateway, by the salt they share.
	if a, b := f.private("203.0.113.77"), join(t, s).private("203.0.113.77"); a != b {
		t.Errorf("hashes differ: %s, %s", a, b)
	}
	if a, b := f.private("203.0.113.77"), join(t, s, func(o *Options) { o.Salt = "another salt of ours" }).private("203.0.113.77"); a == b {
		t.Error("the salt does not matter")
	}
}

func containsAddress(s string) bool {
	for i := 0; i+11 <= len(s); i++ {
		if s[i:i+11] == "203.0.113.7" {
			return true
		}
	}
	return false
}

// Requests that ask at the same time share round trips, and one alone costs one.
func TestRoundTrips(t *testing.T) {
	f := join(t, redistest.Start(t))
	trips := func() float64 { return testutil.ToFloat64(f.metrics.trips) }
	before := trips()
	for range 50 {
		ask(t, f, bucket("a", 1, 1e6, 1000), stormStep("fp", 10, 10), quota(1000, 0, 0), bucket("b", 1, 1e6, 1000))
	}
	if n := trips() - before; n != 50 {
		t.Errorf("50 requests one after the other took %v round trips", n)
	}
	before = trips()
	var all sync.WaitGroup
	for range 128 {
		all.Go(func() {
			for range 50 {
				ask(t, f, bucket("a", 1, 1e6, 1000))
			}
		})
	}
	all.Wait()
	if n := trips() - before; n > 6400/2 {
		t.Errorf("6400 requests of 128 at once took %v round trips", n)
	} else {
		t.Logf("6400 requests of 128 at once: %.0f round trips, %.3f each", n, n/6400)
	}
}
