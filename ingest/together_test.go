package ingest

import (
	"strconv"
	"testing"
	"time"

	"breakwater/schemas"
)

// countingFleet notes how many steps each request asked.
type countingFleet struct {
	Fleet
	up    bool
	asked []int
}

func (f *countingFleet) Up() bool { return f.up }

func (f *countingFleet) Ask(steps []Step) ([]Answer, bool) {
	f.asked = append(f.asked, len(steps))
	return make([]Answer, len(steps)), f.up
}

// keptFleet notes for how long it is to remember claims.
type keptFleet struct {
	Fleet
	ttl []time.Duration
}

func (f *keptFleet) Keep(_ string, ttl time.Duration) { f.ttl = append(f.ttl, ttl) }

// New ids without end take no more room in the fleet than here: what came first
// is held its full time, the rest as long as this gateway would hold it.
func TestClaimsOfTheFleetAreBounded(t *testing.T) {
	f, now := &keptFleet{}, time.Unix(1, 0)
	r := NewRepeats(RepeatsOptions{Endpoint: "crash", TTL: 72 * time.Hour, Max: 100, Now: func() time.Time { return now }, Fleet: f})
	for i := range 1000 {
		c, state := r.Begin("shop", []byte(strconv.Itoa(i)))
		if state != Fresh {
			t.Fatal(state)
		}
		c.Keep()
		now = now.Add(2 * time.Second)
	}
	if first, last := f.ttl[0], f.ttl[999]; first != 72*time.Hour || last != 198*time.Second {
		t.Errorf("held for %s and %s, want 72 h, and what 100 ids cover", first, last)
	}
	held := 0
	for i, ttl := range f.ttl {
		if i >= 100 && ttl > 2*time.Second*time.Duration(1000-i) {
			held++
		}
	}
	if held > 100 {
		t.Errorf("the fleet holds %d beside the first 100", held)
	}
}

// manySteps asks more than any request may.
type manySteps struct{}

func (manySteps) Plan(_ *Batch, q *Ballot) {
	for i := range 10 * maxSteps {
		q.Add(i, Step{Kind: StepBucket, After: Always, Key: "k", N: 1})
	}
}

// What one request may ask is bounded, and one that is decided alone is counted
// while nobody can be asked.
func TestTogetherIsBoundedAndCounted(t *testing.T) {
	f := &countingFleet{up: true}
	stage := &Together{Fleet: f, Planners: []Planner{manySteps{}}}
	apply := func() *Request {
		req := &Request{Project: &Project{ID: 1, Name: "shop"}, ReceivedAt: time.Unix(1, 0)}
		if err := stage.Apply(&Batch{Request: req, Header: schemas.EmptyHeader()}); err != nil {
			t.Fatal(err)
		}
		return req
	}
	if req := apply(); len(f.asked) != 1 || f.asked[0] != maxSteps || req.Ballot() == nil {
		t.Errorf("asked %v, want %d steps once", f.asked, maxSteps)
	}
	f.up = false
	if req := apply(); len(f.asked) != 2 || f.asked[1] != 0 || req.Ballot() != nil {
		t.Errorf("while it is away: asked %v, want nothing, once", f.asked)
	}
}
