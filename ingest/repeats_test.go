package ingest_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"breakwater/ingest"
)

// The memory of what was taken has a bound in time and in number, for each
// project by itself, and says what it forgets early.
func TestRepeats(t *testing.T) {
	now := testTime
	reg := prometheus.NewRegistry()
	m, err := ingest.NewRepeatsMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	r := ingest.NewRepeats(ingest.RepeatsOptions{Endpoint: "crash", TTL: time.Hour, Max: 3, Now: func() time.Time { return now }, Metrics: m})
	r.SetProjects([]string{"shop", "app"})
	begin := func(project, key string) (ingest.Claim, ingest.Repeat) { return r.Begin(project, []byte(key)) }
	take := func(project, key string) ingest.Repeat {
		c, state := begin(project, key)
		c.Keep()
		return state
	}
	for i, step := range []struct {
		project, key string
		want         ingest.Repeat
	}{
		{"shop", "a", ingest.Fresh},
		{"shop", "a", ingest.Again},
		{"app", "a", ingest.Fresh},
		{"shop", "b", ingest.Fresh},
		{"shop", "c", ingest.Fresh},
		{"shop", "d", ingest.Fresh},
		{"shop", "a", ingest.Fresh}, // pushed out
		{"app", "a", ingest.Again},
		{"shop", "d", ingest.Again},
	} {
		if got := take(step.project, step.key); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
	if n := r.Len("shop"); n > 3 {
		t.Errorf("%d keys are held", n)
	}
	c, _ := begin("app", "x")
	if _, state := begin("app", "x"); state != ingest.Busy {
		t.Errorf("begun twice: %v", state)
	}
	c.GiveBack()
	if _, state := begin("app", "x"); state != ingest.Fresh {
		t.Errorf("given back: %v", state)
	}
	now = now.Add(time.Hour)
	if got := take("app", "a"); got != ingest.Fresh {
		t.Errorf("an hour later: %v", got)
	}
	ingest.Claim{}.Keep() // of a memory that forgets
	want := `
# HELP breakwater_idempotency_keys_dropped_total Keys forgotten before their time because a project had too many: a repeat of one would count again.
# TYPE breakwater_idempotency_keys_dropped_total counter
breakwater_idempotency_keys_dropped_total{endpoint="crash",project="app"} 0
breakwater_idempotency_keys_dropped_total{endpoint="crash",project="shop"} 3
`
	if err := testutil.CollectAndCompare(reg, strings.NewReader(want), "breakwater_idempotency_keys_dropped_total"); err != nil {
		t.Error(err)
	}
}

// Many keys that are given back cost nothing, also behind one that was kept.
func TestRepeatsForgetWhatWasGivenBack(t *testing.T) {
	r := ingest.NewRepeats(ingest.RepeatsOptions{TTL: time.Hour, Max: 10})
	kept, _ := r.Begin("shop", []byte("kept"))
	kept.Keep()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 200_000 {
		c, state := r.Begin("shop", []byte(fmt.Sprint(i)))
		if state != ingest.Fresh {
			t.Fatal(state)
		}
		c.GiveBack()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("it holds %d bytes", grown)
	}
	if _, state := r.Begin("shop", []byte("kept")); state != ingest.Again || r.Len("shop") != 1 {
		t.Errorf("%v, %d keys are held", state, r.Len("shop"))
	}
}
