package storm

import (
	"context"
	"errors"
	"testing"
	"time"

	"breakwater/ingest"
)

// A storm that all gateways decide on together, but for a few events whose
// answer came late: the summary of this gateway tells of those few only, so that
// the sum over all summaries is what was sent.
func TestSummaryOfAGatewayThatWasAloneForAMoment(t *testing.T) {
	p := core(Config{First: 50, ThenOneIn: 100})
	o := occurrence{id: anID(1)}
	redis := int64(0)
	for i := range 300 {
		if i%100 == 99 { // three times nobody answers
			p.decide(&o, t0, 1, nil)
			continue
		}
		redis++
		over := redis - 50
		p.decide(&o, t0, 1, &ingest.Answer{Taken: true, Passed: over <= 0 || over%100 == 0, Count: redis})
	}
	ended := p.sweep(t0.Add(time.Minute), false)
	if len(ended) != 1 || ended[0].seen != 3 || ended[0].forwarded != 0 {
		t.Fatalf("%d summaries: %+v, want one that tells of 3 events, none forwarded", len(ended), ended)
	}
	// Nothing decided alone: the others sum it up.
	for i := range int64(100) {
		p.decide(&o, t0.Add(time.Hour), 1, &ingest.Answer{Taken: true, Passed: i < 50, Count: i + 1})
	}
	if ended := p.sweep(t0.Add(2*time.Hour), true); len(ended) != 0 {
		t.Errorf("summed up beside the fleet: %+v", ended[0])
	}
}

// Two storms that touch count no event twice: what passed between them belongs
// to the first as long as that one runs.
func TestStormsThatTouchCountEachEventOnce(t *testing.T) {
	p := core(Config{First: 10, ThenOneIn: 100, Window: time.Minute})
	o := occurrence{id: anID(1)}
	sent, told := 0, uint64(0)
	for _, s := range []int{0, 55, 65, 116, 124} { // windows begin at 0 and 65; one storm ends at 115
		for range 11 {
			p.decide(&o, t0.Add(time.Duration(s)*time.Second), 1, nil)
			sent++
			if s == 65 && sent%11 == 5 {
				break // too few for a storm of their own
			}
		}
	}
	for _, st := range p.sweep(t0.Add(time.Hour), false) {
		told += st.seen
	}
	if told != uint64(sent) {
		t.Errorf("summaries tell of %d events, %d were sent", told, sent)
	}
}

// slowFleet has one storm that ended, and notes how long it may be told about it.
type slowFleet struct {
	ingest.Fleet
	asked, told time.Time
}

func (f *slowFleet) Up() bool   { return true }
func (f *slowFleet) Share() int { return 1 }

func (f *slowFleet) Ended(ctx context.Context) ([]ingest.EndedStorm, error) {
	f.asked, _ = ctx.Deadline()
	return []ingest.EndedStorm{{Ref: "r", Project: "shop", Seen: 100, Forwarded: 50}}, nil
}

func (f *slowFleet) Told(ctx context.Context, _ ingest.EndedStorm) error {
	f.told, _ = ctx.Deadline()
	return errors.Join(ctx.Err())
}

// Storing a summary may take longer than a sweep waits for the fleet. It is told
// all the same: another gateway would store it again.
func TestSummaryThatTookLongIsTold(t *testing.T) {
	f := &slowFleet{}
	emitted := time.Time{}
	c := control(t, Options{Fleet: f, Project: func(string) *ingest.Project { return shop }, Emit: func(*ingest.Batch) error {
		emitted = time.Now()
		return nil
	}}, Config{})
	c.Sweep(t0)
	if !f.told.After(f.asked) || f.told.Before(emitted.Add(sweepTime)) {
		t.Errorf("stored at %s, must be told by %s, as long as it was asked for (%s)", emitted, f.told, f.asked)
	}
}
