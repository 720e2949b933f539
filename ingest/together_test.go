package ingest

import (
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
